"""The bounded buffer between the thread that decodes and the one that reads."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Buffer"]

T = TypeVar("T")


class Buffer(Generic[T]):
    """Hands items from one thread to another, and never holds more than a few.

    Parameters
    ----------
    capacity : int
        Items that are held at most.
    drop_old : bool
        When full, drop the oldest item instead of letting the writer wait: a live source must not fall behind.

    Attributes
    ----------
    dropped : int
        Items that were dropped so far.
    """

    def __init__(self, capacity: int, drop_old: bool) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._drop_old = drop_old
        self._changed = threading.Condition()
        self._ended = False
        self._stopped = False
        self.dropped = 0

    def put(self, item: T) -> bool:
        """Add an item; False once the reader has gone."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._stopped:
                if self._drop_old:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def end(self) -> None:
        """Say that no more items come; what is held can still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def get(self) -> T | None:
        """Take the oldest item, waiting for one; None at the end."""
        with self._changed:
            while not self._items and not self._ended and not self._stopped:
                # A time limit, so that the main thread stays open to Ctrl-C on every platform.
                self._changed.wait(0.5)
            if self._stopped or not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def stop(self) -> None:
        """The reader has gone: the writer stops at its next item."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether the reader has gone."""
        return self._stopped

    def wait_stopped(self, seconds: float) -> bool:
        """Sleep, but wake up when the reader goes; whether it has gone."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopped, seconds)
