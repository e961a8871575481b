"""The shell around a program: commands to be copied into it, and pipes whose reader has gone."""

from __future__ import annotations

import errno
import shlex
import sys
from pathlib import Path

__all__ = ["is_closed_pipe", "program", "shell_words"]


def is_closed_pipe(error: OSError) -> bool:
    """Whether an error of writing says that the reader of a pipe has gone; Windows calls it an invalid argument."""
    if isinstance(error, BrokenPipeError):
        return True
    return sys.platform == "win32" and error.errno == errno.EINVAL and error.filename is None


def program() -> str:
    """How a command begins: ``mien``, or ``python mine.py`` where that registers things of its own and calls `main`."""
    file = Path(sys.argv[0])
    own = file.suffix == ".py" and file.name != "__main__.py"
    return shell_words("python", sys.argv[0]) if own else "mien"


def shell_words(*words: str) -> str:
    """Words as a shell takes them back. That of Windows knows double quotes only, and paths there have backslashes."""
    if sys.platform == "win32":
        from subprocess import list2cmdline

        return list2cmdline(words)
    else:
        return shlex.join(words)
