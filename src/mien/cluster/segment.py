"""A part of a video, from one time to another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import cv2

from mien.errors import InputError
from mien.result import Reading
from mien.source.capture import Capture, open_capture
from mien.source.container import read_container
from mien.source.video import EARLY_S, VideoSource, next_due_s
from mien.video import VideoReadings
from mien.video_options import VideoOptions

if TYPE_CHECKING:
    from mien.recognizer import Recognizer

__all__ = ["last_start_s", "read_segment"]

# Time stamps are rounded: a frame that is this little before its segment belongs to it.
_ROUNDING_S = 0.0005
_RUN_UP_S = 1.0
_SHORTEST_S = 1.0


def last_start_s(path: str) -> float | None:
    """Where the last segment of a video file may begin; None where its length is not known, or it cannot be opened.

    The last frame begins before the video ends: a short rest, such as of a minute with 1,799 frames, may have none.
    """
    try:
        source = VideoSource(path)
    except InputError:
        return None  # told by the worker that reads it
    source.close()
    length_s = source.info.duration_s
    if length_s is None:
        return None
    return length_s - max(_SHORTEST_S, 1.0 / source.info.frame_rate, read_container(path).last_frame_s)


def read_segment(
    recognizer: Recognizer,
    path: str,
    source: str,
    start_s: float | None,
    stop_s: float | None,
    options: dict[str, Any],
) -> Iterator[Reading]:
    """The readings of a segment of a video.

    Frames of all segments together are those of the whole video: each belongs to the segment in which its time lies.
    Tracking and averaging begin anew with each segment.

    Parameters
    ----------
    recognizer : Recognizer
    path : str
        The file.
    source : str
        How the readings name it.
    start_s, stop_s : float or None
        From, and up to but without; None for the beginning and the end.
    options : dict
        Of `VideoOptions`.

    Raises
    ------
    InputError
        If it cannot be opened; or, after the last frame, if it breaks off within the segment.
    """
    chosen = VideoOptions(**options)
    opened: list[_Segment] = []

    def opener(name: str) -> Capture:
        opened.append(_Segment(name, open_capture(name), start_s or 0.0, stop_s, chosen.interval_s))
        return opened[-1]

    try:
        video = VideoReadings(recognizer, path, chosen, opener=opener)
    except InputError as error:
        if opened and (opened[0].reached or opened[0].none_due or (start_s and not _must_reach(path))):
            return  # frames are rare, or few are asked for, or the sound alone goes on
        if opened and start_s:  # it could be opened, and the segment was empty
            raise InputError(source, f"holds no frames from {start_s:g} s on: the file is cut or damaged") from error
        raise
    first = round(opened[0].first_s * video.info.frame_rate)
    time_s = start_s or 0.0
    with video:
        for reading in video:
            time_s = reading.time_s or 0.0
            yield dataclasses.replace(reading, source=source, frame=(reading.frame or 0) + first)
    if stop_s is not None and not opened[0].reached and _must_reach(path):
        raise InputError(source, f"breaks off at {time_s:.1f} s of {stop_s:g} s: the file is cut or damaged there")


def _must_reach(path: str) -> bool:
    """Whether a video without frames up to its length is damaged; of some formats the length is that of the sound."""
    container = read_container(path)
    return container.cut or container.indexed


class _Segment:
    """A capture that begins and ends within the file."""

    def __init__(
        self, name: str, capture: Capture, start_s: float, stop_s: float | None, every_s: float | None
    ) -> None:
        self._name = name
        self._capture = capture
        self._start_s = start_s
        self._stop_s = stop_s
        self._every_s = every_s
        self._started = start_s <= 0
        self.first_s = start_s
        self.reached = False
        self.none_due = False

    def grab(self) -> bool:
        """Go to the next frame; False at the end of the segment."""
        if self._started:
            found = self._capture.grab()
        else:
            found = self._find_start()
            self.first_s = self._time_s()
            self._started = True
        self.reached = found and self._stop_s is not None and self._time_s() >= self._stop_s - _ROUNDING_S
        return found and not self.reached

    def retrieve(self) -> tuple[bool, Any]:
        """The frame that was grabbed."""
        return self._capture.retrieve()

    def get(self, propId: int, /) -> float:  # noqa: N803 - OpenCV's name
        """A property."""
        # The length is that of the whole file: only the last segment must reach it.
        inside = propId == cv2.CAP_PROP_FRAME_COUNT and self._stop_s is not None
        return 0.0 if inside else self._capture.get(propId)

    def release(self) -> None:
        """Close it."""
        self._capture.release()

    @property
    def damaged(self) -> int:
        """Frames of the segment that could not be decoded so far."""
        return int(getattr(self._capture, "damaged", 0))

    def _time_s(self) -> float:
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0

    def _find_start(self) -> bool:
        """Jump to before the start and go on frame by frame; from the beginning where the file cannot be jumped in."""
        seek: Callable[[int, float], bool] | None = getattr(self._capture, "set", None)
        if seek is not None and seek(cv2.CAP_PROP_POS_MSEC, max(0.0, self._start_s - _RUN_UP_S) * 1000.0):
            found = self._capture.grab()
            if found and self._time_s() < self._start_s - _ROUNDING_S:
                return self._go_on()
            self._capture.release()
            self._capture = open_capture(self._name)
        return self._capture.grab() and self._go_on()

    def _go_on(self) -> bool:
        """To the first frame of the segment that is due: the one of its turn may lie before the segment."""
        due_s = -math.inf
        while (time_s := self._time_s()) < max(self._start_s - _ROUNDING_S, due_s - EARLY_S):
            if time_s < self._start_s - _ROUNDING_S:
                due_s = next_due_s(time_s, self._every_s)
            if not self._capture.grab():
                self.none_due = time_s >= self._start_s - _ROUNDING_S
                return False
        return True
