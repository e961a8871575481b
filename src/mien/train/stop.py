"""Ctrl-C and SIGTERM as a request: the step under way is finished and everything is saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from mien.errors import warn

__all__ = ["StopRequest"]


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C; and what service managers, containers and the schedulers of clusters send before they kill."""


class StopRequest:
    """While it is open, the first Ctrl-C or SIGTERM sets `requested`; a second one ends the program at once.

    Parameters
    ----------
    told : bool
        Say so when it comes; one process of a run is enough.

    Attributes
    ----------
    requested : bool
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
