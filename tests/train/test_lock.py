"""One process at a time in a folder."""

import subprocess
import sys

import pytest
from filelock import FileLock

from mien.errors import UsageError
from mien.train.lock import LOCK, locked

HOLDS = """
import sys
from pathlib import Path
from mien.train.lock import locked

with locked(Path(sys.argv[1]), "run"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_kept_out_until_it_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(UsageError, match="another process is at this run; wait for it or stop it"),
            locked(tmp_path, "run"),
        ):
            pass
        other.kill()
    with locked(tmp_path, "run"):
        pass


def test_it_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="mine"), locked(tmp_path, "run"):
        raise ValueError("mine")
    with locked(tmp_path, "run"):
        assert (tmp_path / LOCK).is_file()


@pytest.mark.parametrize(
    "error",
    [
        OSError(37, "No locks available"),
        # What filelock 3 makes of ENOSYS.
        NotImplementedError("FileSystem does not appear to support flock"),
    ],
)
def test_a_file_system_without_locks_stops_nobody(tmp_path, monkeypatch, error):
    def acquire(self, **_):
        raise error

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with locked(tmp_path, "run"):
        pass
