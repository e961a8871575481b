"""What reading photos and reading videos have in common: what comes in, and where the readings go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mien.recognizer import Recognizer
from mien.sink.base import Sink

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["RecognizeRun"]


@dataclass
class RecognizeRun:
    """Where the readings of one `mien recognize` go.

    Attributes
    ----------
    recognizer : Recognizer
    sinks : sequence of Sink
        Shared by all inputs: rows, a timeline.
    draw : Path or None
        A folder for annotated copies, or one file.
    into_folder : bool
        Whether it is a folder; folders may have the name of a file.
    table : rich.console.Console or None
        Where what was read is printed for a person; None prints nothing.
    bar : rich.console.Console or None
        Where a progress bar is drawn.
    """

    recognizer: Recognizer
    sinks: Sequence[Sink]
    draw: Path | None
    into_folder: bool
    table: Console | None
    bar: Console | None
