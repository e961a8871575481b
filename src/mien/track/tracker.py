"""Which face of this frame is which person of the frames before.

A light tracker in numpy: constant velocity beside the camera's own, overlap of boxes, distance of landmarks, and a
small picture of each face that tells two persons apart whose paths cross. Those of the package `trackers` do
not look at the faces, and importing supervision for them takes longer than all of mien's libraries (`docs/video.md`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mien.detect.suppression import iou_matrix
from mien.result import Face
from mien.track.assignment import assign
from mien.track.camera import Camera, portrait

__all__ = ["Tracker"]

FloatArray = npt.NDArray[np.float32]

# Cut wider than the box: hair and its outline tell persons apart better than eyes and mouth do.
_MARGIN = 0.15
_LOOKS_S = 0.5
_VELOCITY_S = 0.15
# A person who is not seen goes on as before for this long, then waits.
_COAST_S = 0.5
# A pair must reach this much: the mean of place and looks.
_ENOUGH = 0.25
# From this gap on, place alone proves little: the looks must agree.
_SHORT_GAP_S = 0.3
_ALIKE = 0.35
# From one frame to the next nobody looks this different, of pairs of persons two of three do: a cut that leaves the
# background as it is.
_NEXT_FRAME_S = 0.15
_UNLIKE = 0.4
# Intervals of rare frames that a person may be away: two, and a bit for frames that come unevenly.
_RARE_FRAMES = 2.5
# Overlapping faces hide each other: what is cut out there is not remembered.
_COVERED_IOU = 0.1
# After a cut or a pause the place says little, and the face must look the same; of pairs of persons 2 in 100 do.
_SAME_FACE = 0.7
# Who was away in fewer frames is not gone, however long they took: a video may pause, and a service be busy.
_FRAMES_AWAY = 2
# A smaller movement of the camera, in widths of the smallest face, needs no thought.
_STILL = 0.02


@dataclass
class _Track:
    """One person; places are in units of pixels, sizes as logarithms."""

    track_id: int
    state: FloatArray  # centre x, centre y, log of size
    velocity: FloatArray  # the same, a second
    landmarks_xy: FloatArray  # relative to the centre, in sizes; NaN where there are none
    looks: FloatArray  # as it has been for some time
    newest_looks: FloatArray
    time_s: float
    aspect: float
    scene: int
    frame: int


@dataclass(frozen=True)
class _Seen:
    """The N faces of one frame."""

    box_xyxy: FloatArray
    state: FloatArray
    landmarks_xy: FloatArray
    looks: FloatArray
    time_s: float

    @classmethod
    def of(cls, faces: Sequence[Face], image: npt.NDArray[np.uint8], time_s: float) -> _Seen:
        box_xyxy = np.array([face.box_xyxy for face in faces], np.float32)
        state = _states(box_xyxy)
        looks = np.stack([_looks(image, box) for box in box_xyxy])
        landmarks = np.stack([_relative(face, place) for face, place in zip(faces, state, strict=True)])
        return cls(box_xyxy, state, landmarks, looks, time_s)

    def covered(self) -> npt.NDArray[np.bool_]:
        """Which faces overlap with another one."""
        overlap = iou_matrix(self.box_xyxy, self.box_xyxy)
        np.fill_diagonal(overlap, 0)
        return np.asarray(overlap.max(axis=1, initial=0) > _COVERED_IOU, np.bool_)


class Tracker:
    """Gives each face the number of its person.

    Parameters
    ----------
    max_gap_s : float
        A person who was not seen for longer, and not in two frames, gets a new number.
    """

    def __init__(self, max_gap_s: float = 1.0) -> None:
        self._max_gap_s = max_gap_s
        self._tracks: list[_Track] = []
        self._next_id = 1
        self._last_s: float | None = None
        self._interval_s = 0.0
        self._longest_s = max_gap_s
        self._frame = 0
        self._camera = Camera()
        self._scene = 0

    def update(self, faces: Sequence[Face], image: npt.NDArray[np.uint8], time_s: float) -> list[int]:
        """The track id of each face of the next frame.

        Parameters
        ----------
        faces : sequence of Face
            What was found in the frame; places and landmarks in its pixels.
        image : uint8 array of shape (H, W) or (H, W, 3)
            The frame.
        time_s : float
            Its time in seconds, not before that of the last one.
        """
        interval_s = 0.0 if self._last_s is None else time_s - self._last_s
        # Two long intervals, one after the other, are a slow source; one alone is a pause.
        rare_s = min(interval_s, self._interval_s)
        self._last_s, self._interval_s = time_s, interval_s
        self._longest_s = max(self._max_gap_s, _RARE_FRAMES * rare_s)
        self._frame += 1
        self._tracks = [
            track
            for track in self._tracks
            if time_s - track.time_s <= self._longest_s or self._frame - track.frame <= _FRAMES_AWAY
        ]
        motion = self._camera.update(image)
        self._scene += motion.cut
        if not faces:
            self._move(motion.shift_xy)
            return []
        seen = _Seen.of(faces, image, time_s)
        covered = seen.covered()
        ids = [0] * len(faces)
        for row, column in self._pairs(seen, motion.shift_xy):
            track = self._tracks[row]
            _follow(track, seen, column)
            if not covered[column]:
                _remember(track, seen, column)
            track.newest_looks = seen.looks[column]
            track.time_s = time_s
            track.aspect = _aspect(seen.box_xyxy[column])
            track.scene = self._scene
            track.frame = self._frame
            ids[column] = track.track_id
        for column, track_id in enumerate(ids):
            if not track_id:
                ids[column] = self._begin(seen, column)
        return ids

    @property
    def track_ids(self) -> set[int]:
        """Persons who were seen within the last `max_gap_s`, or not long before the last frame."""
        return {track.track_id for track in self._tracks}

    def _move(self, shift_xy: FloatArray) -> None:
        """Take the persons along with the picture."""
        for track in self._tracks:
            track.state = np.append(track.state[:2] + shift_xy, track.state[2:])

    def _begin(self, seen: _Seen, column: int) -> int:
        """A person who was not known."""
        track = _Track(
            track_id=self._next_id,
            state=seen.state[column],
            velocity=np.zeros(3, np.float32),
            landmarks_xy=seen.landmarks_xy[column],
            looks=seen.looks[column],
            newest_looks=seen.looks[column],
            time_s=seen.time_s,
            aspect=_aspect(seen.box_xyxy[column]),
            scene=self._scene,
            frame=self._frame,
        )
        self._next_id += 1
        self._tracks.append(track)
        return track.track_id

    def _pairs(self, seen: _Seen, shift_xy: FloatArray) -> list[tuple[int, int]]:
        """Tracks and faces that belong together; the tracks are moved with the picture where that fits better.

        What moved may be a large face before a plain wall, and not the camera.
        """
        if not self._tracks:
            return []
        still = self._affinity(seen, np.zeros(2, np.float32))
        pairs = assign(still)
        if np.hypot(*shift_xy) <= _STILL * np.exp(seen.state[:, 2].min()):
            return pairs
        moved = self._affinity(seen, shift_xy)
        moved_pairs = assign(moved)
        if sum(moved[pair] for pair in moved_pairs) < sum(still[pair] for pair in pairs):
            return pairs
        self._move(shift_xy)
        return moved_pairs

    def _affinity(self, seen: _Seen, shift_xy: FloatArray) -> FloatArray:
        """How well tracks (rows), moved by a shift, and faces (columns) fit, in [0, 1]; 0: not the same person."""
        state = seen.state
        gap_s = np.array([seen.time_s - track.time_s for track in self._tracks], np.float32)
        expected = np.stack([_predict(track, gap) for track, gap in zip(self._tracks, gap_s, strict=True)])
        expected[:, :2] += shift_xy
        overlap = iou_matrix(_boxes(expected, [track.aspect for track in self._tracks]), seen.box_xyxy)
        size = np.exp((expected[:, None, 2] + state[None, :, 2]) / 2)
        distance = np.hypot(*(expected[:, None, :2] - state[None, :, :2]).transpose(2, 0, 1)) / size
        # Who is away for longer may have gone further: one face's width, and as much again in half a second.
        reach = 1.0 + 2.0 * np.minimum(gap_s, 1.0)[:, None]
        place = np.maximum(overlap, 0.9 * np.clip(1.0 - distance / reach, 0, 1))
        shape = np.exp(-np.abs(expected[:, None, 2] - state[None, :, 2]))
        alike = np.stack([track.looks for track in self._tracks]) @ seen.looks.T
        possible = (place > 0) & (shape >= 0.5)
        possible &= (gap_s[:, None] <= _SHORT_GAP_S) | (alike >= _ALIKE)
        newest = np.stack([track.newest_looks for track in self._tracks]) @ seen.looks.T
        possible &= (gap_s[:, None] > _NEXT_FRAME_S) | (np.maximum(alike, newest) >= _UNLIKE)
        elsewhere = np.array([track.scene != self._scene for track in self._tracks]) | (gap_s > self._longest_s)
        possible &= ~elsewhere[:, None] | (alike >= _SAME_FACE)
        rows, columns = np.nonzero(possible)
        pose = _pose(np.stack([track.landmarks_xy for track in self._tracks])[rows], seen.landmarks_xy[columns])
        fit = 0.5 * place[rows, columns] * pose * np.sqrt(shape[rows, columns]) + 0.5 * alike[rows, columns]
        affinity = np.zeros(possible.shape, np.float32)
        affinity[rows, columns] = np.where(fit >= _ENOUGH, fit, 0)
        return affinity


def _states(box_xyxy: FloatArray) -> FloatArray:
    centre = (box_xyxy[:, :2] + box_xyxy[:, 2:]) / 2
    sides = np.maximum(box_xyxy[:, 2:] - box_xyxy[:, :2], 1.0)
    return np.column_stack([centre, np.log(sides.prod(axis=1)) / 2]).astype(np.float32)


def _aspect(box: FloatArray) -> float:
    return float(max(box[2] - box[0], 1.0) / max(box[3] - box[1], 1.0))


def _boxes(state: FloatArray, aspect: list[float]) -> FloatArray:
    root = np.sqrt(np.array(aspect, np.float32))
    half = np.exp(state[:, 2:]) / 2 * np.column_stack([root, 1 / root])
    return np.concatenate([state[:, :2] - half, state[:, :2] + half], axis=1).astype(np.float32)


def _predict(track: _Track, gap_s: float) -> FloatArray:
    expected: FloatArray = track.state + track.velocity * np.float32(min(gap_s, _COAST_S))
    return expected


def _follow(track: _Track, seen: _Seen, column: int) -> None:
    passed_s = seen.time_s - track.time_s
    if passed_s > 0:
        share = np.float32(1.0 - math.exp(-passed_s / _VELOCITY_S))
        change = (seen.state[column] - track.state) / np.float32(passed_s)
        track.velocity = np.asarray(track.velocity + share * (change - track.velocity), np.float32)
    track.state = seen.state[column]
    track.landmarks_xy = seen.landmarks_xy[column]


def _remember(track: _Track, seen: _Seen, column: int) -> None:
    share = np.float32(1.0 - math.exp(-(seen.time_s - track.time_s) / _LOOKS_S))
    mixed = np.asarray(track.looks + share * (seen.looks[column] - track.looks), np.float32)
    track.looks = mixed / np.float32(max(float(np.linalg.norm(mixed)), 1e-6))


def _relative(face: Face, state: FloatArray) -> FloatArray:
    """The landmarks without the face's place and size: how it is turned and tilted."""
    if not face.landmarks_xy:
        return np.full((5, 2), np.nan, np.float32)
    return np.asarray((np.array(face.landmarks_xy, np.float32) - state[:2]) / np.exp(state[2]), np.float32)


def _pose(first: FloatArray, second: FloatArray) -> FloatArray:
    """How alike N faces and N others (N, 5, 2) are turned, in [0.5, 1]; 1 where one has no landmarks."""
    apart = np.abs(first - second).mean(axis=(1, 2))
    return np.where(np.isnan(apart), 1.0, np.maximum(0.5, 1.0 - apart)).astype(np.float32)


def _looks(image: npt.NDArray[np.uint8], box: FloatArray) -> FloatArray:
    """A small picture of a face and what is close around it."""
    margin = _MARGIN * (box[2:] - box[:2])
    size = np.array((image.shape[1], image.shape[0]))
    first = np.floor(box[:2] - margin).astype(int)
    last = np.maximum(np.ceil(box[2:] + margin).astype(int), first + 1)
    inner = np.clip(first, 0, size - 1)
    outer = np.clip(last, inner + 1, size)
    cut = image[inner[1] : outer[1], inner[0] : outer[0]]
    (left, top), (right, bottom) = np.maximum(inner - first, 0).tolist(), np.maximum(last - outer, 0).tolist()
    if left or top or right or bottom:  # the frame's border cuts the face: what is seen of it stays in its place
        cut = np.asarray(cv2.copyMakeBorder(cut, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
    return portrait(cut)
