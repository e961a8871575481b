"""What a sink is, and what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from mien.errors import UsageError
from mien.result import Reading
from mien.source import Frame

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on

__all__ = ["Sink", "check_labels"]


class Sink(Protocol):
    """Takes readings one by one; leaving the context completes what was written.

    Those of mien inherit from it; one of your own need not.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def write(self, reading: Reading, frame: Frame | None = None) -> None:
        """Take one reading.

        Parameters
        ----------
        reading : Reading
            Of a photo or a frame; one with an `error` is passed over.
        frame : Frame, optional
            The image that it was read from, which sinks that draw need: see `Recognizer.stream_frames`.
        """
        ...


def check_labels(reading: Reading, labels: Sequence[str]) -> None:
    """Refuse a reading of other labels than those that a sink was made for: it would lose them (UsageError)."""
    read = reading.labels or (tuple(reading.faces[0].probabilities) if reading.faces else ())
    if read and set(read) != set(labels):
        raise UsageError(
            f"{reading.source}: was read with the labels {', '.join(read)}; this output is for {', '.join(labels)}. "
            "Make it with the scheme of the recognizer that reads (recognizer.scheme), and one for each scheme"
        )
