"""How many threads there are to be, and what they do for whoever waits."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mien.parallel import Opened, count_threads, ordered_map, usable_cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 16),
        ({"cpu.max": "max 100000\n"}, 16),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "5000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 16),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
    ],
)
def test_the_limit_of_a_container_counts(files, cores, tmp_path, monkeypatch):
    """It sees all cores of the machine, and would stand still most of the time with a thread for each."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr("mien.parallel._CGROUP", tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores() == cores
    assert (count_threads(None), count_threads(12)) == (min(cores, 8), 12)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("ahead", [1, 4])
def test_results_come_in_order_and_no_more_is_taken_than_said(threads, ahead):
    taken, together = [], threading.Barrier(threads)

    def items():
        for number in range(60):
            taken.append(number)
            yield number

    def work(number):
        together.wait(30)  # as many as there are threads
        time.sleep(0.002 * (number % 3 == 0))  # the first of each three is the last to be done
        return number

    results = ordered_map(work, items(), threads, ahead)
    assert taken == []
    for number, result in enumerate(results):
        assert result == number
        assert len(taken) - number <= (1 if threads == 1 else ahead * threads + 1)
    assert number == 59


def test_an_error_in_a_worker_reaches_the_caller():
    done = []

    def fail(number):
        if number == 5:
            raise ZeroDivisionError
        time.sleep(0.02)
        done.append(number)
        return number

    with pytest.raises(ZeroDivisionError):
        list(ordered_map(fail, range(1000), 2, ahead=100))
    assert len(done) < 100, "what was not begun yet is given up"


def test_a_thread_that_the_main_one_leaves_behind_works_to_its_end():
    """Pools take nothing from then on: a file that such a thread read ended with a RuntimeError."""
    program = (
        "import threading\n"
        "from mien.parallel import ordered_map\n"
        "def work():\n"
        "    results = ordered_map(lambda number: number, range(200), 2)\n"
        "    first = [next(results) for _ in range(3)]\n"
        "    threading.main_thread().join()\n"
        "    print([*first, *results] == list(range(200)))\n"
        "threading.Thread(target=work).start()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_stage_is_opened_once_for_each_number_of_threads_whoever_asks():
    built = []

    def build(threads):
        built.append(threads)
        time.sleep(0.05)
        return object()

    opened = Opened(build)
    with ThreadPoolExecutor(6) as pool:
        stages = list(pool.map(opened, [1, 2] * 3))
    assert sorted(built) == [1, 2]
    assert len(set(map(id, stages))) == 2
    assert opened(2) is stages[1]
