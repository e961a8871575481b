"""From a video to its readings: each frame read, each face given its person, each person's reading made steady."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from mien.background import within_c
from mien.errors import InputError
from mien.parallel import Closable
from mien.result import Reading
from mien.source import Frame, FrameSource, VideoInfo, VideoSource
from mien.source.capture import Capture, open_capture
from mien.track import Persons
from mien.video_options import FrameOptions, VideoOptions

__all__ = ["FrameReader", "VideoReadings", "frame_source"]


class FrameReader(Protocol):
    """The part of `mien.Recognizer` that is used here, which stands above this file."""

    def stream_frames(
        self, images: Iterable[Frame | InputError], *, live: bool
    ) -> Iterator[tuple[Frame | None, Reading]]:
        """The readings in the order of the frames, each with its frame; see `mien.Recognizer.stream_frames`."""
        ...


class VideoReadings(Iterator[Reading], contextlib.AbstractContextManager["VideoReadings"]):
    """The readings of a video, a camera, a network stream or your own frames: what `Recognizer.stream` returns.

    It closes at its end; to stop earlier, use `close` or a ``with`` block.

    Parameters
    ----------
    recognizer : Recognizer
        Reads the frames.
    video : path, str or FrameSource
        A video file, ``camera:0``, the address of a stream, or your own frames.
    options : VideoOptions
        Which frames are read, averaging over time, and tracking.
    opener : callable
        Opens the capture; tests give a fake.
    tell : callable, optional
        Takes a line when a camera or stream breaks off, and one when it is back; in a thread of its own.

    Raises
    ------
    InputError
        At once, if the video cannot be opened or has no frames. During reading, if the video breaks off: after the last
        frame that could be read.
    """

    def __init__(
        self,
        recognizer: FrameReader,
        video: str | os.PathLike[str] | FrameSource,
        options: VideoOptions | None = None,
        *,
        opener: Callable[[str], Capture] = open_capture,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        options = options or VideoOptions()
        self._source: FrameSource | VideoSource
        if isinstance(video, FrameSource):
            self._source = video
        else:
            self._source = VideoSource(
                os.fspath(video),
                every_s=options.interval_s,
                start_s=options.start_s,
                end_s=options.end_s,
                rotate_deg=options.rotate_deg,
                give_up_s=options.give_up_s,
                opener=opener,
                tell=tell,
            )
        # Where frames are left out, a person is gone only after missing in two that were read.
        max_gap_s = max(options.max_gap_s, 2.5 * (options.interval_s or 0.0))
        self._pairs = Closable(_read(recognizer, self._source, Persons(max_gap_s, options.smooth_s)))

    def __repr__(self) -> str:
        info = self.info
        return f"VideoReadings({info.source!r}, size_wh={info.size_wh}, frame_rate={info.frame_rate:g})"

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> Reading:
        return next(self._pairs)[1]

    def frames(self) -> Iterator[tuple[Frame, Reading]]:
        """The same readings, each together with its frame (`frame.image` is BGR)."""
        return self._pairs

    @property
    def info(self) -> VideoInfo:
        """Size, frame rate and length of the video, as far as they are known."""
        return self._source.info

    @property
    def dropped(self) -> int:
        """How many frames of a live source were dropped so far, because they came faster than they could be read."""
        return self._source.dropped

    @property
    def reconnects(self) -> int:
        """How often a camera or network stream was reopened."""
        return self._source.reconnects

    def close(self) -> None:
        """Stop reading. Another thread may do so: the one that waits for a reading gets the end in its place."""
        self._pairs.close()
        # Frames of one's own may come from a generator, in which another thread is.
        with contextlib.suppress(ValueError):
            self._source.close()


def frame_source(images: Iterable[Any], options: FrameOptions, max_megapixels: float) -> FrameSource:
    """A program's own frames as its options say, for `VideoReadings`; errors are those of `FrameSource`."""
    return FrameSource(
        images,
        options.frame_rate,
        every_s=options.interval_s,
        start_s=options.start_s,
        end_s=options.end_s,
        rotate_deg=options.rotate_deg,
        max_megapixels=max_megapixels,
        name=options.name,
    )


# No method: a generator that refers to its VideoReadings would keep it, and its thread, alive when it is let go of.
def _read(
    recognizer: FrameReader, source: VideoSource | FrameSource, persons: Persons
) -> Iterator[tuple[Frame, Reading]]:
    for frame, reading in recognizer.stream_frames(source, live=source.info.live):
        if reading.error is not None:
            raise InputError(reading.source, reading.error)
        if frame is None or frame.time_s is None:  # cannot be: a source's frames have both
            continue
        with within_c():
            steady = persons.update(reading, frame.image, frame.time_s)
        yield frame, steady
