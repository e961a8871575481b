"""Which face of this frame is which person of the frames before.

A light tracker in numpy: constant velocity, overlap of boxes, distance of landmarks, and a small picture of each face
that tells two persons apart whose paths cross. supervision's ByteTrack does not look at the faces, and importing it
takes three times as long as the rest of mien's libraries together (`docs/video.md`).
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

__all__ = ["Tracker"]

FloatArray = npt.NDArray[np.float32]

_PATCH_PX = 16
# Cut wider than the box: hair and its outline tell persons apart better than eyes and mouth do.
_PATCH_MARGIN = 0.15
_LOOKS_S = 0.5
_VELOCITY_S = 0.15
# A person who is not seen goes on as before for this long, then waits.
_COAST_S = 0.5
# A pair must reach this much: the mean of place and looks.
_ENOUGH = 0.25
# From this gap on, place alone proves little: the looks must agree.
_SHORT_GAP_S = 0.3
_ALIKE = 0.35
# Intervals of rare frames that a person may be away: two, and a bit for frames that come unevenly.
_RARE_FRAMES = 2.5
# Overlapping faces hide each other: what is cut out there is not remembered.
_COVERED_IOU = 0.1
# Neighbouring frames that are less alike than this are of two scenes. Frames of one scene are at 0.9 and more; of pairs
# of photos that have nothing to do with each other, one in a hundred.
_SAME_SCENE = 0.5
# After a cut the place says nothing, and the face must look the same; of pairs of persons two in a hundred do.
_SAME_FACE = 0.7
_SCENE_PX = 64


@dataclass
class _Track:
    """One person; places are in units of pixels, sizes as logarithms."""

    track_id: int
    state: FloatArray  # centre x, centre y, log of size
    velocity: FloatArray  # the same, a second
    landmarks_xy: FloatArray | None  # relative to the centre, in sizes
    looks: FloatArray
    time_s: float
    aspect: float
    scene: int


class Tracker:
    """Gives each face the number of its person.

    Parameters
    ----------
    max_gap_s : float
        A person who was not seen for longer gets a new number; where frames come rarely (a slow network), not before
        the person was missing from two of them.
    """

    def __init__(self, max_gap_s: float = 1.0) -> None:
        self._max_gap_s = max_gap_s
        self._tracks: list[_Track] = []
        self._next_id = 1
        self._last_s: float | None = None
        self._interval_s = 0.0
        self._scene = 0
        self._scene_looks: FloatArray | None = None

    def update(self, faces: Sequence[Face], image: npt.NDArray[np.uint8], time_s: float) -> list[int]:
        """The track id of each face of the next frame.

        Parameters
        ----------
        faces : sequence of Face
        image : uint8 array of shape (H, W) or (H, W, 3)
            The frame.
        time_s : float
            Its time in seconds, not before that of the last one.
        """
        interval_s = 0.0 if self._last_s is None else time_s - self._last_s
        # Two long intervals, one after the other, are a slow source; one alone is a pause.
        rare_s = min(interval_s, self._interval_s)
        self._last_s, self._interval_s = time_s, interval_s
        longest_s = max(self._max_gap_s, _RARE_FRAMES * rare_s)
        self._tracks = [track for track in self._tracks if time_s - track.time_s <= longest_s]
        self._watch_for_cut(image)
        if not faces:
            return []
        box_xyxy = np.array([face.box_xyxy for face in faces], np.float32)
        state = _states(box_xyxy)
        looks = [_looks(image, box) for box in box_xyxy]
        landmarks = [_relative(face, place) for face, place in zip(faces, state, strict=True)]
        overlap = iou_matrix(box_xyxy, box_xyxy)
        np.fill_diagonal(overlap, 0)
        covered = overlap.max(axis=1, initial=0) > _COVERED_IOU
        ids = [0] * len(faces)
        for row, column in assign(self._affinity(box_xyxy, state, landmarks, looks, time_s)):
            track = self._tracks[row]
            _follow(track, state[column], landmarks[column], time_s)
            if not covered[column]:
                _remember(track, looks[column], time_s)
            track.time_s = time_s
            track.aspect = _aspect(box_xyxy[column])
            track.scene = self._scene
            ids[column] = track.track_id
        for column, track_id in enumerate(ids):
            if not track_id:
                ids[column] = self._next_id
                self._next_id += 1
                self._tracks.append(
                    _Track(
                        ids[column],
                        state[column],
                        np.zeros(3, np.float32),
                        landmarks[column],
                        looks[column],
                        time_s,
                        _aspect(box_xyxy[column]),
                        self._scene,
                    )
                )
        return ids

    @property
    def track_ids(self) -> set[int]:
        """Persons who were seen within the last `max_gap_s`, or two frames where frames come rarely."""
        return {track.track_id for track in self._tracks}

    def _watch_for_cut(self, image: npt.NDArray[np.uint8]) -> None:
        """Count the scenes: another begins where the whole picture is another one."""
        few = np.asarray(cv2.resize(image, (_SCENE_PX, _SCENE_PX), interpolation=cv2.INTER_NEAREST), np.uint8)
        looks = _looks(few, np.array((0, 0, _SCENE_PX, _SCENE_PX), np.float32))
        if self._scene_looks is not None and float(np.dot(self._scene_looks, looks)) < _SAME_SCENE:
            self._scene += 1
        self._scene_looks = looks

    def _affinity(
        self,
        box_xyxy: FloatArray,
        state: FloatArray,
        landmarks: list[FloatArray | None],
        looks: list[FloatArray],
        time_s: float,
    ) -> FloatArray:
        """How well tracks (rows) and faces (columns) fit, in [0, 1]; 0 where they cannot be the same person."""
        affinity = np.zeros((len(self._tracks), len(state)), np.float32)
        if not self._tracks:
            return affinity
        gap_s = np.array([time_s - track.time_s for track in self._tracks], np.float32)
        expected = np.stack([_predict(track, gap) for track, gap in zip(self._tracks, gap_s, strict=True)])
        overlap = iou_matrix(_boxes(expected, [track.aspect for track in self._tracks]), box_xyxy)
        size = np.exp((expected[:, None, 2] + state[None, :, 2]) / 2)
        distance = np.hypot(*(expected[:, None, :2] - state[None, :, :2]).transpose(2, 0, 1)) / size
        # Who is away for longer may have gone further: one face's width, and as much again in half a second.
        reach = 1.0 + 2.0 * np.minimum(gap_s, 1.0)[:, None]
        place = np.maximum(overlap, 0.9 * np.clip(1.0 - distance / reach, 0, 1))
        shape = np.exp(-np.abs(expected[:, None, 2] - state[None, :, 2]))
        for row, track in enumerate(self._tracks):
            for column, points in enumerate(landmarks):
                if place[row, column] <= 0 or shape[row, column] < 0.5:
                    continue
                alike = float(np.dot(track.looks, looks[column]))
                if gap_s[row] > _SHORT_GAP_S and alike < _ALIKE:
                    continue
                if track.scene != self._scene and alike < _SAME_FACE:
                    continue
                pose = _pose(track.landmarks_xy, points)
                fit = 0.5 * float(place[row, column]) * pose * float(shape[row, column]) ** 0.5 + 0.5 * alike
                if fit >= _ENOUGH:
                    affinity[row, column] = fit
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


def _follow(track: _Track, state: FloatArray, landmarks_xy: FloatArray | None, time_s: float) -> None:
    passed_s = time_s - track.time_s
    if passed_s > 0:
        share = np.float32(1.0 - math.exp(-passed_s / _VELOCITY_S))
        change = (state - track.state) / np.float32(passed_s)
        track.velocity = np.asarray(track.velocity + share * (change - track.velocity), np.float32)
    track.state = state
    track.landmarks_xy = landmarks_xy


def _remember(track: _Track, looks: FloatArray, time_s: float) -> None:
    share = np.float32(1.0 - math.exp(-(time_s - track.time_s) / _LOOKS_S))
    mixed = np.asarray(track.looks + share * (looks - track.looks), np.float32)
    track.looks = mixed / np.float32(max(float(np.linalg.norm(mixed)), 1e-6))


def _relative(face: Face, state: FloatArray) -> FloatArray | None:
    """The landmarks without the face's place and size: how it is turned and tilted."""
    if not face.landmarks_xy:
        return None
    return np.asarray((np.array(face.landmarks_xy, np.float32) - state[:2]) / np.exp(state[2]), np.float32)


def _pose(first: FloatArray | None, second: FloatArray | None) -> float:
    """How alike two faces are turned, in [0.5, 1]."""
    if first is None or second is None:
        return 1.0
    return max(0.5, 1.0 - float(np.abs(first - second).mean()))


def _looks(image: npt.NDArray[np.uint8], box: FloatArray) -> FloatArray:
    """A small picture of a face without its brightness and contrast: a vector of length 1."""
    margin = _PATCH_MARGIN * (box[2:] - box[:2])
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(box[:2] - margin), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(box[2:] + margin), (left + 1, top + 1), (width, height)).astype(int)
    cut = cv2.resize(image[top:bottom, left:right], (_PATCH_PX, _PATCH_PX), interpolation=cv2.INTER_AREA)
    if cut.ndim == 2:  # a program's own frames may be gray and coloured in turn
        cut = cv2.cvtColor(cut, cv2.COLOR_GRAY2BGR)
    patch = np.asarray(cut, np.float32).ravel()
    patch -= patch.mean()
    length = float(np.linalg.norm(patch))
    return patch / np.float32(length) if length > 1e-3 else np.full_like(patch, 1.0 / math.sqrt(patch.size))
