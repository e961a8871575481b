"""Ctrl-C and SIGTERM as a request: the step under way is finished and everything is saved."""

from __future__ import annotations

import atexit
import contextlib
import signal
import threading
import weakref
from collections.abc import Iterator
from multiprocessing import active_children, resource_tracker
from multiprocessing.process import BaseProcess
from types import FrameType, TracebackType
from typing import Any

from mien.errors import warn

__all__ = ["StopRequest", "ignore_stops", "shielded_workers"]


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C; and what service managers, containers and the schedulers of clusters send before they kill."""


class StopRequest:
    """While it is open, the first Ctrl-C or SIGTERM sets `requested`; a second one ends the program at once.

    Parameters
    ----------
    told : bool
        Say so when it comes; one process of a run is enough.
    """

    def __init__(self, told: bool = True) -> None:
        self.requested = False
        self._told = told
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        # Python handles signals in its main thread only; elsewhere it is up to whoever started the thread.
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                before = signal.getsignal(number)
                # A program that ignores Ctrl-C (a shell's background job) goes on doing so.
                if before is not signal.SIG_IGN and before is not None:
                    self._before[number] = before
                    signal.signal(number, self._heard)
        return self

    def _heard(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.requested = True
        self._restore()
        if self._told:
            warn("stopping after the step or the validation under way; Ctrl-C again stops at once, without saving")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


_shielded: weakref.WeakSet[BaseProcess] = weakref.WeakSet()


@contextlib.contextmanager
def shielded_workers() -> Iterator[None]:
    """Processes that are started in here go on at Ctrl-C and SIGTERM, which come to all processes of a group alike.

    They have to work until the step under way is done; whoever started them ends them. Give them `ignore_stops`, too.
    """
    known = set(active_children())
    # A signal that is held back comes afterwards, and is held back in new processes from their first moment on.
    # Windows cannot.
    holds = hasattr(signal, "pthread_sigmask")
    if holds:
        # Its own start would end the holding.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        if holds:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _shielded.update(set(active_children()) - known)


def ignore_stops(worker: int = 0) -> None:
    """In a worker process: leave Ctrl-C and SIGTERM to whoever started it. Torch's loaders give its number."""
    del worker
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def _end_the_shielded() -> None:
    """End workers that are still there, before `multiprocessing` sends them SIGTERM and waits."""
    if _shielded and hasattr(signal, "SIGCHLD"):
        # Torch takes the end of a worker for a failure, and raises an error wherever the program is.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for process in list(_shielded):
        process.kill()
