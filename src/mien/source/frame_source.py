"""The frames of a video from images that a program already has."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any

from mien.errors import InputError, UsageError
from mien.opencv import turned
from mien.source.frame import Frame
from mien.source.image import DEFAULT_MAX_MEGAPIXELS, load_image, own_image
from mien.source.video import EARLY_S, VideoInfo, next_due_s

__all__ = ["FrameSource"]

_NAME = "<frames>"


class FrameSource:
    """Images that a program makes or gets from elsewhere, with the numbers and times of a video's frames, once.

    Parameters
    ----------
    images : iterable
        Each as `load_image` takes it, or a `Frame`, of which the image counts.
    frame_rate : float
        Frames a second.
    every_s : float, optional
        Read one frame in so many seconds; all by default.
    start_s, end_s : float, optional
        Yield only the frames from `start_s` on and before `end_s`, in seconds.
    rotate_deg : int
        Turn each image clockwise by 90, 180 or 270 degrees.
    max_megapixels : float
        Files that would decode to more are refused.

    Attributes
    ----------
    info : VideoInfo

    Raises
    ------
    InputError
        If there is no image, or the first one cannot be read.
    UsageError
        If the first one is of a type that is no image.
    """

    dropped = reconnects = 0

    def __init__(
        self,
        images: Iterable[Any],
        frame_rate: float,
        every_s: float | None = None,
        start_s: float = 0.0,
        end_s: float | None = None,
        rotate_deg: int = 0,
        max_megapixels: float = DEFAULT_MAX_MEGAPIXELS,
    ) -> None:
        self._images = iter(images)
        self._rate = frame_rate
        self._every_s = every_s
        self._start_s = start_s
        self._end_s = math.inf if end_s is None else end_s
        self._rotate_deg = rotate_deg
        self._max_megapixels = max_megapixels
        self._started = False
        try:
            first = next(self._images)
        except StopIteration:
            raise InputError(_NAME, "holds no frames; is it a generator that was used up before?") from None
        self._first = self._load(first, 0)
        self.info = VideoInfo(_NAME, self._first.size_wh, frame_rate, None, False)

    def __iter__(self) -> Iterator[Frame | InputError]:
        """Yield the frames; if one cannot be read, the last item is an InputError that says which and why."""
        if self._started:
            raise UsageError(f"{_NAME}: frames can be read once; make them again")
        self._started = True
        due_s = self._start_s
        if due_s <= EARLY_S:
            yield self._first
            due_s = next_due_s(0.0, self._every_s)
        for index, image in enumerate(self._images, 1):
            time_s = index / self._rate
            if time_s >= self._end_s - EARLY_S:
                return
            if time_s < due_s - EARLY_S:
                continue
            due_s = next_due_s(time_s, self._every_s)
            try:
                yield self._load(image, index)
            except InputError as error:
                yield error
                return

    def close(self) -> None:
        """Let go of a generator."""
        if close := getattr(self._images, "close", None):
            close()

    def _load(self, image: Any, index: int) -> Frame:
        try:
            if isinstance(image, InputError):
                raise image
            frame = image if isinstance(image, Frame) else load_image(own_image(image), self._max_megapixels)
        except InputError as error:
            raise InputError(_NAME, f"frame {index}: {error}") from error
        time_s = index / self._rate
        until_s = min(max(next_due_s(time_s, self._every_s), time_s + 1.0 / self._rate), self._end_s)
        upright = turned(frame.image, self._rotate_deg)
        return dataclasses.replace(frame, image=upright, source=_NAME, index=index, time_s=time_s, until_s=until_s)
