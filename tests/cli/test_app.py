"""How the program ends, whatever ends it: one line on stderr at most, and the exit status that the guide names."""

import contextlib
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MIEN = [sys.executable, "-m", "mien"]


@pytest.mark.parametrize(
    "command",
    [
        ["recognize", "astronaut.jpg"], ["recognize", "astronaut.jpg", "--json"],
        ["--help"], ["--version"], ["recognize", "--help"], ["data", "--help"], ["models"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_reader_that_has_gone_is_no_traceback(command, astronaut_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*MIEN, *command], cwd=astronaut_path.parent, stdout=writing, stderr=subprocess.PIPE, timeout=120
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("recognize astronaut.jpg --json >&-", 0, ""),
        ("recognize astronaut.jpg >&-", 0, ""),
        ("models >&-", 0, ""),
        ("recognize - -q <&-", 1, "mien: cannot read -: the file is empty (0 bytes)\n"),
        ("recognize none.jpg >&- 2>&-", 1, ""),
    ],
)
def test_a_stream_that_is_closed_from_the_beginning_is_no_traceback(command, status, said, astronaut_path):
    run = f"{shlex.join(MIEN)} {command}"
    done = subprocess.run(["sh", "-c", run], cwd=astronaut_path.parent, **_text())
    assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_full_disk_behind_stdout_is_one_line(astronaut_path):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*MIEN, "recognize", astronaut_path], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == 2
    assert done.stderr == "mien: <stdout>: cannot be written (No space left on device)\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_one_line_and_so_is_sigterm(tmp_path, number):
    os.mkfifo(tmp_path / "photo.jpg")
    process = subprocess.Popen([*MIEN, "recognize", tmp_path / "photo.jpg"], stderr=subprocess.PIPE, text=True)
    writing = None
    while writing is None and process.poll() is None:
        with contextlib.suppress(OSError):  # until mien, too, has opened it: then it waits for the photo
            writing = os.open(tmp_path / "photo.jpg", os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    os.close(writing)
    assert (process.returncode, said) == (130, "mien: interrupted\n")


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_import_swallows_no_interruption(tmp_path, number, times):
    """Python drops it within its own callbacks, and ONNX Runtime said "ImportError: initialization failed"."""
    (tmp_path / "slow.py").write_text(
        f"import os, time\ntry:\n    os.kill(os.getpid(), {int(number)})\n    time.sleep(0.2)\n"
        "except BaseException:\n    print('swallowed')\n"
        f"if {times} == 2:\n    for _ in range(2):\n        os.kill(os.getpid(), {int(number)})\n    time.sleep(60)\n"
    )
    program = (
        "import sys, time, types\nfrom mien.cli import main\n"
        "def models():\n    import slow\n    time.sleep(60)\n"
        "sys.modules['mien.cli.models'] = types.SimpleNamespace(models=models)\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", program, "models"], cwd=tmp_path, **_text(PYTHONPATH=str(tmp_path)))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mien: interrupted\n")


def test_an_interruption_of_an_import_that_comes_too_late_ends_nothing(tmp_path):
    """It waits for the import to end, and must not go off in a Python that is shutting down."""
    (tmp_path / "slow.py").write_text(f"import os\nos.kill(os.getpid(), {int(signal.SIGINT)})\n")
    program = (
        "import atexit, sys, time, types\nfrom mien.cli import main\natexit.register(time.sleep, 0.5)\n"
        "def models():\n    import slow\n"
        "sys.modules['mien.cli.models'] = types.SimpleNamespace(models=models)\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", program, "models"], cwd=tmp_path, **_text(PYTHONPATH=str(tmp_path)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_photo_in_place_of_a_command(astronaut_path):
    done = subprocess.run([*MIEN, "examples/astronaut.jpg"], cwd=astronaut_path.parent.parent, **_text())
    assert done.returncode == 2
    assert "To read it: mien recognize examples/astronaut.jpg" in done.stderr
    done = subprocess.run([*MIEN, "analyze", "my photo.jpg"], **_text())
    assert done.returncode == 2
    assert "'analyze' is not a command. To read faces: mien recognize 'my photo.jpg'" in " ".join(done.stderr.split())


NO_UNICODE = [
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("environment", NO_UNICODE, ids=["cp1252", "ascii", "posix"])
@pytest.mark.parametrize("command", [["train", "--help"], ["serve", "--help"], ["--help"], ["models"]])
def test_a_screen_without_unicode_shows_what_it_can(command, environment):
    done = subprocess.run([*MIEN, *command], **_text(COLUMNS="80", **environment))
    assert (done.returncode, done.stderr) == (0, "")
    assert "mien" in done.stdout


@pytest.mark.parametrize("environment", NO_UNICODE, ids=["cp1252", "ascii", "posix"])
def test_names_that_the_screen_does_not_have(environment, astronaut_path, tmp_path):
    (tmp_path / "ü写.jpg").write_bytes(astronaut_path.read_bytes())
    (tmp_path / "写.png").touch()
    command = ["recognize", ".", "--out", "rows.csv"]
    done = subprocess.run([*MIEN, *command], cwd=tmp_path, **_text(**environment))
    assert done.returncode == 1
    assert "happy" in done.stdout
    assert "1 photo, 1 face, 1 not read" in done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert len((tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()) == 2
    # JSON is for programs: no letter may be lost.
    done = subprocess.run([*MIEN, *command, "--json"], cwd=tmp_path, **_text(**environment))
    source = json.loads(done.stdout)["source"]
    assert Path(tmp_path, os.fsdecode(source.encode("utf-8", "surrogateescape"))).exists()


@pytest.mark.parametrize("command", [["models"], ["data", "photos"]], ids=" ".join)
def test_paragraphs_of_the_help_fill_their_lines(command):
    done = subprocess.run([*MIEN, *command, "--help"], **_text(COLUMNS="80"))
    lines = [line.strip() for line in done.stdout.partition("Arguments")[0].splitlines()[2:-1]]
    for line, following in itertools.pairwise(lines):
        if line and following:
            assert len(line) + 1 + len(following.split()[0]) > 78, f"'{following}' begins too late"


def test_errors_are_broken_between_words_on_a_terminal(tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 60, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    name = str(tmp_path / f"{50 * 'long'}  name.jpg")
    done = subprocess.run(
        [*MIEN, "recognize", name, "--model", "nope"],
        stdout=subprocess.PIPE,
        stderr=follower,
        env=environment,
        timeout=60,
    )
    os.close(follower)
    said = os.read(leader, 10_000).decode()
    os.close(leader)
    assert done.returncode == 2
    lines = said.splitlines()
    assert len(lines) > 2
    assert all(len(line) <= 60 for line in lines)
    piped = subprocess.run([*MIEN, "recognize", name, "--model", "nope"], **_text()).stderr
    assert " ".join(said.split()) == " ".join(piped.split())


def _text(**environment):
    environment = {"COLUMNS": "200", **environment}
    return {"capture_output": True, "text": True, "errors": "replace", "timeout": 120,
            "env": {**os.environ, **environment}}  # fmt: skip


@pytest.mark.parametrize(("command", "expanded"), [("batch", False), ("recognize", False), ("compare", True)])
def test_what_becomes_of_a_pattern_on_windows(command, expanded):
    """Typer would make files of each pattern, even in quotes: a source each for a batch, and Live Photos' clips, too.

    It would know ~, which Windows' shells do not.
    """
    program = (
        "import sys, typer.main; from mien.cli import main\n"
        "typer.main.get_command = lambda app: lambda **given: print(given, *sys.argv[2:])\n"
        "sys.platform = 'win32'\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", program, command, "~/photos/*"], **_text(HOME="me"))
    words = "~/photos/*" if expanded else "me/photos/*"
    assert (done.stdout, done.stderr) == (f"{{'windows_expand_args': {expanded}}} {words}\n", "")
