"""The part of `mien recognize` that reads photos, several at a time."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.late_bar import LateBar
from mien.cli.recognize_run import RecognizeRun
from mien.cli.terminal import counted, say
from mien.errors import InputError
from mien.sink.base import Sink
from mien.sink.draw import DrawSink
from mien.source import Frame, SourceFile
from mien.source.container import container_kind
from mien.source.header import read_header
from mien.source.image import decode_image

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

__all__ = ["PhotoRun", "open_pictures"]


class PhotoRun(RecognizeRun):
    """Reads photos and tells the terminal about them."""

    def read(self, photos: list[SourceFile | InputError], *, keep_frames: bool = False) -> tuple[int, int]:
        """Read the photos; returns how many were read, and how many could not be.

        A photo that is known to be unreadable is given as its error. With `keep_frames` the sinks get the images, too.
        The totals are printed below the table. Where there is no table, notes on photos go to stderr at the end, each
        once: thousands of photos may have the same.
        """
        sinks = [*self.sinks, *self._own_sinks([photo for photo in photos if isinstance(photo, SourceFile)])]
        images = (_image(photo, self.recognizer.max_megapixels) for photo in photos)
        # A single photo gets all threads inside each stage; of many, each gets one.
        threads = 1 if len(photos) == 1 else None
        notes: dict[str, tuple[str, int]] = {}
        start_s = time.monotonic()
        read = unread = faces = 0
        with (
            contextlib.ExitStack() as stack,
            LateBar(self.bar if len(photos) > 1 else None, len(photos), _columns) as bar,
        ):
            stack.callback(_tell, notes)  # after an interruption, too
            for frame, reading in self.recognizer.stream_frames(
                images, threads=threads, keep_frames=keep_frames or self.draw is not None
            ):
                if reading.error is not None:
                    unread += 1
                    say(f"cannot read {InputError(reading.source, reading.error)}")
                else:
                    read += 1
                    if reading.note and self.table is None:
                        first, count = notes.get(reading.note, (reading.source, 0))
                        notes[reading.note] = first, count + 1
                for sink in sinks:
                    sink.write(reading, frame)
                faces += len(reading.faces)
                bar.update(read + unread, read + unread)
        if photos and self.table is not None:
            totals = [counted(read, "photo"), counted(faces, "face"), *([f"{unread} not read"] if unread else [])]
            self.table.print(f"{', '.join(totals)} in {time.monotonic() - start_s:.1f} s", style="dim")
        return read, unread

    def _own_sinks(self, files: list[SourceFile]) -> list[Sink]:
        sinks: list[Sink] = []
        if self.table is not None:
            from mien.sink.table import TableSink

            sinks.append(TableSink(self.table, self.recognizer.scheme, [file.path for file in files]))
        if self.draw is not None:
            sinks.append(open_pictures(self.draw, self.into_folder, files))
        return sinks


def open_pictures(draw: Path, into_folder: bool, files: Iterable[SourceFile]) -> DrawSink:
    """Where the pictures of photos are written: below a folder under the photos' names, or as one file."""
    if into_folder:
        return DrawSink(draw, {file.path: file.relative for file in files})
    return DrawSink(draw.parent, {file.path: draw.name for file in files})


def _image(photo: SourceFile | InputError, max_megapixels: float) -> str | Frame | InputError:
    """What the recognizer takes of an input; ``-`` is read from stdin, here and once."""
    if isinstance(photo, InputError):
        return photo
    if photo.path != "-":
        return photo.path
    data = sys.stdin.buffer.read()
    try:
        return decode_image(data, "-", max_megapixels)
    except InputError as error:
        if read_header(data).format or not (kind := container_kind(data[:512])):
            return error
        return InputError(
            "-", f"is a video ({kind}); from stdin only a photo is read: write it to a file, and name that"
        )


def _tell(notes: dict[str, tuple[str, int]]) -> None:
    """Tell each note once: of the photo it is of, or of how many, and the first."""
    for note, (first, count) in notes.items():
        say(f"note: {first}: {note}" if count == 1 else f"note: {count:,} photos, such as {first}: {note}")


def _columns() -> list[str | ProgressColumn]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    return [
        "reading",
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} photos/s"),
        TimeRemainingColumn(),
    ]
