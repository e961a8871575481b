"""The frames of a video from images that a program already has."""

from __future__ import annotations

import dataclasses
import itertools
import math
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from mien.errors import InputError, UsageError
from mien.opencv import turned
from mien.source.frame import Frame
from mien.source.image import DEFAULT_MAX_MEGAPIXELS, load_image, own_image
from mien.source.video import EARLY_S, VideoInfo, next_due_s

__all__ = ["FrameSource"]

_NAME = "<frames>"

_open: weakref.WeakValueDictionary[str, FrameSource] = weakref.WeakValueDictionary()
"""By their names: of those that are open together, and may be written into one table, each has its own."""
_lock = threading.Lock()


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
    name : str, optional
        What readings and errors call it. By default ``<frames>``; where another one is open ``<frames 2>``, and so on.

    Attributes
    ----------
    info : VideoInfo
        Size, frame rate and length, as far as they are known.

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
        name: str | None = None,
    ) -> None:
        self._images = iter(images)
        self._rate = frame_rate
        self._every_s = every_s
        self._start_s = start_s
        self._end_s = math.inf if end_s is None else end_s
        self._rotate_deg = rotate_deg
        self._max_megapixels = max_megapixels
        self._started = False
        self._name = _NAME if name is None else name
        try:
            first = next(self._images)
        except StopIteration:
            raise InputError(self._name, "holds no frames; is it a generator that was used up before?") from None
        image = self._load(first, 0)
        if name is None:
            self._take_free_name()
        self._first = dataclasses.replace(image, source=self._name)
        self.info = VideoInfo(self._name, image.size_wh, frame_rate, None, False)

    def __iter__(self) -> Iterator[Frame | InputError]:
        """Yield the frames; if one cannot be read, the last item is an InputError that says which and why."""
        if self._started:
            raise UsageError(f"{self._name}: frames can be read once; make them again")
        self._started = True
        try:
            yield from self._frames()
        finally:
            self._give_name_back()

    def _frames(self) -> Iterator[Frame | InputError]:
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
        self._give_name_back()
        if close := getattr(self._images, "close", None):
            close()

    def _take_free_name(self) -> None:
        with _lock:
            names = (_NAME if number == 1 else f"{_NAME[:-1]} {number}>" for number in itertools.count(1))
            self._name = next(name for name in names if name not in _open)
            _open[self._name] = self

    def _give_name_back(self) -> None:
        with _lock:
            if _open.get(self._name) is self:
                del _open[self._name]

    def _load(self, image: Any, index: int) -> Frame:
        try:
            if isinstance(image, InputError):
                raise image
            frame = image if isinstance(image, Frame) else load_image(own_image(image), self._max_megapixels)
        except InputError as error:
            raise InputError(self._name, f"frame {index}: {error}") from error
        time_s = index / self._rate
        until_s = min(max(next_due_s(time_s, self._every_s), time_s + 1.0 / self._rate), self._end_s)
        upright = turned(frame.image, self._rotate_deg)
        return dataclasses.replace(frame, image=upright, source=self._name, index=index, time_s=time_s, until_s=until_s)
