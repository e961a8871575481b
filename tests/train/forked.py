"""The toy program in forked processes: torch and Lightning are loaded once, which takes ten seconds of a core."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["lightning.fabric", "torch._dynamo", "mien.train.curves", "tests.train.toy"])


class Forked:
    """A program that runs, as `subprocess.Popen`."""

    def __init__(self, words, env=None):
        self._words = list(map(str, words))
        self._said = tempfile.TemporaryDirectory()
        self._process = _FORKS.Process(target=_run, args=(self._words, {**os.environ, **(env or {})}, self._said.name))
        self._process.start()

    def finish(self, limit_s):
        """What came of it, with all that it and those it started have said; when all of them have ended."""
        until_s = time.monotonic() + limit_s
        self._process.join(limit_s)
        out, err = (Path(self._said.name) / name for name in ("out", "err"))
        with err.open() as file:
            while not _is_free(file):
                assert time.monotonic() < until_s, out.read_text() + err.read_text()
                time.sleep(0.05)
        done = CompletedProcess(self._words, self._process.exitcode, out.read_text(), err.read_text())
        self._said.cleanup()
        return done


def _is_free(file):
    """Whether no process holds the file any more that has locked it or was forked from one that had."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Child:
    """What `mien.train.peers` starts, as `subprocess.Popen`: this program again, with other variables."""

    def __init__(self, words, env):
        self.returncode = None
        self._id = os.fork()
        if not self._id:
            os.environ.clear()
            os.environ.update(env)
            os._exit(_status(words))

    def poll(self):
        if self.returncode is None:
            found, status = os.waitpid(self._id, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if found else None
        return self.returncode

    def kill(self):
        if self.poll() is None:
            os.kill(self._id, signal.SIGKILL)


def _run(words, env, folder):
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        os.dup2(os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream.fileno())
        fcntl.flock(stream, fcntl.LOCK_SH)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["toy", *words]
    from mien.train import peers

    peers.subprocess = SimpleNamespace(Popen=lambda command, env: _Child(words, env))
    os._exit(_status(words))


def _status(words):
    from tests.train.toy import main

    try:
        return main(words)
    except SystemExit as end:
        return end.code or 0
    except BaseException:  # noqa: BLE001 - as Python itself
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
