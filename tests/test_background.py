"""Threads that hang in C: Ctrl-C is heard beside them, and Python ends after them."""

import _thread
import os
import subprocess
import sys
import threading
import time

import pytest

from mien.background import Worker, answer_of, any_left


def ctrl_c_after(seconds):
    threading.Timer(seconds, _thread.interrupt_main).start()


def wait_until(true, seconds=10.0):
    end_s = time.monotonic() + seconds
    while not true() and time.monotonic() < end_s:
        time.sleep(0.01)
    return true()


def test_the_answer_or_the_error_of_a_call_comes_back():
    discarded = []
    assert answer_of(lambda: 7, discarded.append, "test") == 7
    with pytest.raises(ValueError, match="of the call"):
        answer_of(lambda: int("of the call"), discarded.append, "test")
    assert discarded == []


def test_ctrl_c_does_not_wait_for_a_call_and_its_answer_is_discarded():
    hangs, discarded = threading.Event(), []
    ctrl_c_after(0.2)
    start_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        answer_of(lambda: hangs.wait(30), discarded.append, "test")
    assert time.monotonic() - start_s < 5
    assert any_left()
    assert discarded == []
    hangs.set()
    assert wait_until(lambda: discarded == [True])
    assert wait_until(lambda: not any_left())


def test_who_leaves_does_not_wait_for_a_worker_that_hangs():
    hangs, told = threading.Event(), []
    worker = Worker(lambda: hangs.wait(30), lambda: told.append("stop"), "test")
    worker.start()
    start_s = time.monotonic()
    worker.leave()
    assert 0.4 < time.monotonic() - start_s < 5
    assert told == ["stop"]
    assert worker.is_alive()
    assert any_left()
    hangs.set()
    worker.join(10)
    assert not any_left()


@pytest.mark.parametrize(
    "program",
    [
        # A worker that is told to stop, within a call.
        "told = threading.Event()\n"
        "Worker(lambda: (told.wait(10), print('told'), time.sleep(0.5), print('ended')), told.set, 'test').start()\n",
        # A thread of the program, within a call; it gets into no other one.
        "def read():\n"
        "    while True:\n"
        "        with within_c():\n"
        "            started.set(), print('told'), time.sleep(0.5), print('ended')\n"
        "started = threading.Event()\n"
        "threading.Thread(target=read, daemon=True).start()\n"
        "started.wait(10)\n",
    ],
)
def test_python_ends_after_the_call_that_a_thread_is_in(program):
    imports = "import threading, time; from mien.background import Worker, within_c"
    done = subprocess.run([sys.executable, "-c", f"{imports}\n{program}"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["told", "ended"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_the_end_of_a_forked_child_waits_for_nobody():
    """The threads of its parent, one of them within a call, are not there."""
    program = (
        "import os, threading, time; from mien.background import within_c\n"
        "def read():\n"
        "    with within_c():\n"
        "        time.sleep(3)\n"
        "threading.Thread(target=read, daemon=True).start()\n"
        "time.sleep(0.2)\n"
        "if os.fork():\n"
        "    start_s = time.monotonic()\n"
        "    os.wait()\n"
        "    print(time.monotonic() - start_s < 2)\n"
    )
    quiet = [sys.executable, "-W", "ignore", "-c", program]  # Python from 3.12 on warns of such a fork
    done = subprocess.run(quiet, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_what_a_program_wants_at_its_end_gets_through():
    program = (
        "import atexit\n"
        "def last():\n"
        "    with within_c():\n"
        "        print('last')\n"
        "atexit.register(last)\n"  # before that of mien, and so called after it
        "from mien.background import within_c\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("last\n", "")
