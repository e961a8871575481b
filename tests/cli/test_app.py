"""How the program ends, whatever ends it: one line on stderr at most, and the exit status that the guide names."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MIEN = [sys.executable, "-m", "mien"]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_reader_that_has_gone_is_no_traceback(as_json, astronaut_path):
    reading, writing = os.pipe()
    os.close(reading)
    command = [*MIEN, "recognize", astronaut_path, *(["--json"] if as_json else [])]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=120)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_full_disk_behind_stdout_is_one_line(astronaut_path):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*MIEN, "recognize", astronaut_path], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == 2
    assert done.stderr == "mien: <stdout>: cannot be written (No space left on device)\n"


def test_ctrl_c_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    process = subprocess.Popen([*MIEN, "recognize", tmp_path / "photo.jpg"], stderr=subprocess.PIPE, text=True)
    writing = None
    while writing is None and process.poll() is None:
        with contextlib.suppress(OSError):  # until mien, too, has opened it: then it waits for the photo
            writing = os.open(tmp_path / "photo.jpg", os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    os.close(writing)
    assert (process.returncode, said) == (130, "mien: interrupted\n")


def test_a_photo_in_place_of_a_command(astronaut_path):
    done = subprocess.run([*MIEN, "examples/astronaut.jpg"], cwd=astronaut_path.parent.parent, **_text())
    assert done.returncode == 2
    assert "To read it: mien recognize examples/astronaut.jpg" in done.stderr


def _text():
    return {"capture_output": True, "text": True, "timeout": 120, "env": {**os.environ, "COLUMNS": "200"}}
