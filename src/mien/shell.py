"""Commands that a message names, to be copied into a shell."""

from __future__ import annotations

import shlex
import sys

__all__ = ["shell_words"]


def shell_words(*words: str) -> str:
    """Words as a shell takes them back. That of Windows knows double quotes only, and paths there have backslashes."""
    if sys.platform == "win32":
        from subprocess import list2cmdline

        return list2cmdline(words)
    return shlex.join(words)
