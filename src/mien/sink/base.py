"""What a sink is."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from mien.result import Reading
from mien.source import Frame

__all__ = ["Sink"]


class Sink(Protocol):
    """Takes readings one by one; leaving the context completes what was written."""

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, reading: Reading, frame: Frame | None = None) -> None:
        """Take one reading, and the image it was read from where the sink draws."""
        ...
