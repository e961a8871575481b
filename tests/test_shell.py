"""Commands that a message names, and pipes that are closed."""

import errno
import io
import shlex
import sys

import pytest

from mien.cli.app import _ending
from mien.errors import OutputError
from mien.shell import program, shell_words
from mien.sink import JsonLinesSink
from tests.fakes import make_face, make_reading


@pytest.mark.parametrize(
    ("platform", "shown"),
    [("linux", "mien recognize 'my photo.jpg' 'C:\\x.jpg'"), ("win32", 'mien recognize "my photo.jpg" C:\\x.jpg')],
)
def test_words_are_quoted_as_the_shell_wants_it(monkeypatch, platform, shown):
    monkeypatch.setattr("mien.shell.sys.platform", platform)
    words = ["mien", "recognize", "my photo.jpg", r"C:\x.jpg"]
    assert shell_words(*words) == shown
    assert platform == "win32" or shlex.split(shown) == words


class ClosedPipe(io.StringIO):
    """As Windows tells a writer that its reader has gone."""

    def write(self, text):
        raise OSError(errno.EINVAL, "Invalid argument")


def test_whoever_closes_a_pipe_on_windows_is_told_nothing(monkeypatch, capfd):
    """As ``mien recognize photos --json | more`` does, which is left by ``q``."""
    monkeypatch.setattr("mien.cli.app._drop_output", lambda: None)

    def write():
        JsonLinesSink(ClosedPipe()).write(make_reading(make_face()))

    with pytest.raises(OutputError, match="cannot be written"):
        write()
    monkeypatch.setattr("mien.shell.sys.platform", "win32")
    with pytest.raises(SystemExit) as ended, _ending():
        write()
    assert (ended.value.code, capfd.readouterr().err) == (141, "")


@pytest.mark.parametrize(
    ("started", "shown"),
    [
        ("/usr/bin/mien", "mien"),
        ("/lib/mien/__main__.py", "mien"),
        ("my net.py", "python 'my net.py'"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="quotes as a POSIX shell does")
def test_a_command_begins_as_the_program_did(monkeypatch, started, shown):
    """To continue with `mien train` was refused, since mien alone has no loss that a file of one's own registers."""
    monkeypatch.setattr(sys, "argv", [started, "train"])
    assert program() == shown
