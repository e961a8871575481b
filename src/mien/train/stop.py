"""Ctrl-C as a request: the step under way is finished and everything is saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from mien.errors import warn
from mien.train.process import is_first_process

__all__ = ["StopRequest"]


class StopRequest:
    """While it is open, the first Ctrl-C sets `requested`; a second one interrupts at once.

    Attributes
    ----------
    requested : bool
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None
        self._ours = False

    def __enter__(self) -> StopRequest:
        # Python handles signals in its main thread only; elsewhere it is up to whoever started the thread.
        self._ours = threading.current_thread() is threading.main_thread()
        if self._ours:
            self._before = signal.getsignal(signal.SIGINT)
            # A program that ignores Ctrl-C (a shell's background job) goes on doing so.
            self._ours = self._before is not signal.SIG_IGN and self._before is not None
        if self._ours:
            signal.signal(signal.SIGINT, self._heard)
        return self

    def _heard(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.requested = True
        signal.signal(signal.SIGINT, self._before)
        if is_first_process():
            warn("stopping after the step or the validation under way; Ctrl-C again stops at once, without saving")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._before)
