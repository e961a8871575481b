"""What is kept of each person of a video: seconds by expression, probabilities over time, a few pictures.

Memory stays flat however long the video is: when the bins are used up, neighbours are merged and bins get twice as
long; of very many persons those who were seen for the longest time are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from mien.result import Face, Reading
from mien.sink.base import check_labels
from mien.source import Frame

__all__ = ["History", "Person", "Picture"]

MOST_BINS = 360
MOST_PERSONS = 400
_FIRST_BIN_S = 1 / 15
_PICTURE_PX = 104
_PICTURE_MARGIN = 0.3
_BETTER = 0.04
# How long the frame of a video of a single frame is shown.
_ONLY_FRAME_S = 0.04
# A pause of a live source (a stream that stalls) is nobody's time. The next frame of a file is due when it comes.
_LONGEST_FRAME_S = 1.0


@dataclass(frozen=True)
class Picture:
    """A person's face at one moment; `jpeg` are the bytes of a small square photo."""

    time_s: float
    quality: float
    jpeg: bytes


@dataclass
class Person:
    """One track.

    Attributes
    ----------
    track_id : int
    first_s, last_s : float
        From when and until when the person was seen.
    seconds : dict of str to float
        How long each expression was shown.
    sums : float array of shape (MOST_BINS, L)
        The probabilities in each bin of time, by label, times the seconds for which they were held there.
    held_s : float array of shape (MOST_BINS,)
        For how long of each bin the person was seen, in seconds.
    pictures : dict of str to Picture
        The best one for each expression.
    """

    track_id: int
    first_s: float
    last_s: float
    sums: npt.NDArray[np.float32]
    held_s: npt.NDArray[np.float64]
    seconds: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)

    @property
    def seen_s(self) -> float:
        """How long the person was seen, in seconds."""
        return sum(self.seconds.values())


class History:
    """Takes the readings of one video. Each one holds until the next frame that was read, or the end of the video.

    Parameters
    ----------
    labels : tuple of str
        Of the label scheme.
    with_pictures : bool
        Keep a small picture of each person and expression.
    """

    def __init__(self, labels: tuple[str, ...], with_pictures: bool) -> None:
        self.labels = labels
        self.bin_s = _FIRST_BIN_S
        self.persons: dict[int, Person] = {}
        self.forgotten = 0
        self.frames = 0
        self.start_s = self.end_s = 0.0
        self.size_wh = (0, 0)
        self._with_pictures = with_pictures
        self._first: Reading | None = None
        self._last: Reading | None = None
        self._until_s: float | None = None
        self._frame_s = 0.0

    @property
    def span_s(self) -> float:
        """From the start to the end, in seconds."""
        return self.end_s - self.start_s

    def begins_anew(self, reading: Reading) -> bool:
        """Whether this is no later frame, but the first one of another video of that name, such as a camera's."""
        first, last = (None if known is None else known.frame for known in (self._first, self._last))
        if first is None or last is None or reading.frame is None:
            return False
        return reading.frame <= first < last

    def add(self, reading: Reading, frame: Frame | None = None) -> None:
        """Take the next reading; those without a time are passed over."""
        if reading.time_s is None:
            return
        check_labels(reading, self.labels)
        self._hold_last(reading.time_s)
        self._last = reading
        self._until_s = None if frame is None else frame.until_s
        if self._first is None:
            self._first = reading
        if not self.frames:  # of a part of a video the clock begins with it, at a whole second
            self.start_s = float(math.floor(reading.time_s))
        self.frames += 1
        self.end_s = max(self.end_s, reading.time_s)
        self.size_wh = reading.size_wh
        for face in reading.faces:
            if face.track_id is not None:
                self._add_face(face, reading.time_s, frame)

    def finish(self) -> None:
        """Count the last frame too: until the video ends, or for as long as the one before."""
        if self._last is not None and self._last.time_s is not None:
            self._hold_last(self._until_s or self._last.time_s + (self._frame_s or _ONLY_FRAME_S))
            self._last = None

    def _hold_last(self, next_s: float) -> None:
        """Hold the last reading until the next one."""
        if self._last is None or self._last.time_s is None:
            return
        start_s = self._last.time_s
        frame_s = max(0.0, next_s - start_s)
        if self._until_s is None and self._frame_s:
            # Frames that come once in 5 s count for 5 s.
            frame_s = min(frame_s, max(_LONGEST_FRAME_S, 3 * self._frame_s))
        self._frame_s = frame_s
        stop_s = start_s + frame_s
        self.end_s = max(self.end_s, stop_s)
        while stop_s - self.start_s > self.bin_s * MOST_BINS:
            self._merge_bins()
        for face in self._last.faces:
            if face.track_id is not None:
                self._hold_face(self.persons[face.track_id], face, start_s, stop_s)

    def _hold_face(self, person: Person, face: Face, start_s: float, stop_s: float) -> None:
        person.last_s = max(person.last_s, stop_s)
        person.seconds[face.expression] = person.seconds.get(face.expression, 0.0) + stop_s - start_s
        start_s, stop_s = start_s - self.start_s, stop_s - self.start_s
        bins = slice(int(start_s / self.bin_s), min(math.ceil(stop_s / self.bin_s), MOST_BINS))
        edges_s = np.arange(bins.start, bins.stop + 1) * self.bin_s
        held_s = np.maximum(np.minimum(edges_s[1:], stop_s) - np.maximum(edges_s[:-1], start_s), 0.0)
        person.held_s[bins] += held_s
        person.sums[bins] += held_s[:, None] * np.array([face.probabilities[label] for label in self.labels])

    def _add_face(self, face: Face, time_s: float, frame: Frame | None) -> None:
        person = self.persons.get(face.track_id or 0)
        if person is None:
            self._make_room()
            sums = np.zeros((MOST_BINS, len(self.labels)), np.float32)
            person = Person(face.track_id or 0, time_s, time_s, sums, np.zeros(MOST_BINS))
            self.persons[person.track_id] = person
        if self._with_pictures and frame is not None:
            self._take_picture(person, face, time_s, frame)

    def _make_room(self) -> None:
        """Forget who was seen least, and is not in view any more."""
        if len(self.persons) < MOST_PERSONS:
            return
        present = {face.track_id for face in self._last.faces} if self._last is not None else set()
        gone = [person for track_id, person in self.persons.items() if track_id not in present]
        if gone:
            del self.persons[min(gone, key=lambda person: person.seen_s).track_id]
            self.forgotten += 1

    def _take_picture(self, person: Person, face: Face, time_s: float, frame: Frame) -> None:
        left, top, right, bottom = face.box_xyxy
        size_px = ((right - left) * (bottom - top)) ** 0.5
        quality = face.confidence * min(1.0, size_px / 80)
        known = person.pictures.get(face.expression)
        if known is not None and quality < known.quality + _BETTER:
            return
        half = size_px * (0.5 + _PICTURE_MARGIN)
        # To OpenCV the middle of a pixel is a whole number, to a box its outer corner is.
        centre = (left + right - 1) / 2, (top + bottom - 1) / 2
        # getRectSubPix continues the picture at its border, so that the cut is always square.
        side = max(2, round(2 * half))
        cut = cv2.getRectSubPix(frame.bgr, (side, side), centre)
        interpolation = cv2.INTER_AREA if side > _PICTURE_PX else cv2.INTER_CUBIC
        small = cv2.resize(cut, (_PICTURE_PX, _PICTURE_PX), interpolation=interpolation)
        jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
        person.pictures[face.expression] = Picture(time_s, quality, jpeg)

    def _merge_bins(self) -> None:
        self.bin_s *= 2
        half = MOST_BINS // 2
        for person in self.persons.values():
            for values in (person.sums, person.held_s):
                values[:half] = values[0::2] + values[1::2]
                values[half:] = 0
