"""One process at a time in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mien.errors import UsageError

__all__ = ["LOCK", "locked"]

LOCK = ".lock"
"""The file in the folder; it stays there."""


@contextlib.contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes out of a folder; the system frees it also when this one is killed.

    Parameters
    ----------
    folder : Path
        Must be there.
    what : str
        What runs in it, for the message: ``"run"``.

    Raises
    ------
    UsageError
        If another process holds the folder.
    """
    # Here, since the command line needs this module's names where the extra is not installed.
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise UsageError(
            f"{folder}: another process is at this {what}; wait for it or stop it, or name another folder with --out"
        ) from error
    except (OSError, NotImplementedError):
        pass  # a file system that knows no locks: better without than not at all
    try:
        yield
    finally:
        lock.release()
