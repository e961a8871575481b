"""How well faces were found: matching, average precision, recall at few false finds, landmark error.

A find counts for a face that it overlaps enough, the surest find first, each face once. Faces below the smallest size
that counts, and places to ignore, are neutral: who finds them gains nothing and loses nothing. What is left over is a
false find, a second find of the same face too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.data.photos import Photo
from mien.data.photos.dataset import FROM_LABEL
from mien.detect import Detections
from mien.detect.pyramid import face_size_px
from mien.detect.suppression import iou_matrix

__all__ = [
    "FALSE_FINDS_A_PHOTO",
    "SIZES_PX",
    "Finds",
    "Truth",
    "average_precision",
    "bootstrap_weights",
    "landmark_errors",
    "match",
    "pool",
    "recall_at_false_finds",
    "share_found",
    "truth_of",
]

FALSE_FINDS_A_PHOTO = 0.1
"""Where recall is read: one false find every ten photos."""

SIZES_PX = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0, np.inf)
"""Bounds of the sizes by which results are told, in pixels of the photo: the root of the box's area."""

FloatArray = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# A find that lies in a place to ignore by this share of its area, or overlaps it so, is neutral.
_INSIDE_SHARE = 0.5
_IGNORE_IOU = 0.3
# Eyes nearer to each other than this, in shares of the face's size, belong to a profile: no measure of length.
_LEAST_EYE_DISTANCE = 0.2


@dataclass(frozen=True)
class Truth:
    """The faces of one photo.

    Attributes
    ----------
    box_xyxy : float32 (N, 4)
    landmarks_xy : float32 (N, 5, 2)
        NaN where unknown, or not to be measured against.
    ignore_xyxy : float32 (M, 4)
    """

    box_xyxy: FloatArray
    landmarks_xy: FloatArray
    ignore_xyxy: FloatArray

    @property
    def size_px(self) -> FloatArray:
        """The size of each face, (N,)."""
        return face_size_px(self.box_xyxy)


def truth_of(photo: Photo) -> Truth:
    """The faces of a photo of a dataset; landmarks count only where a person set them."""
    landmarks_xy = photo.landmarks_xy.copy()
    landmarks_xy[[kind != FROM_LABEL for kind in photo.landmarks_from]] = np.nan
    return Truth(photo.box_xyxy, landmarks_xy, photo.ignore_xyxy)


@dataclass(frozen=True)
class Finds:
    """The finds of many photos against the truth, the surest first.

    Attributes
    ----------
    score : float32 (D,)
    hit : int8 (D,)
        1 a face, 0 a false find, -1 neutral.
    photo : int64 (D,)
        From which photo.
    place : int64 (D,)
        Which of its photo's finds.
    face : int64 (D,)
        Index of the face in the list of all faces of all photos; -1 for none.
    landmark_error : float32 (D,)
        Mean distance of the five landmarks in shares of the distance between the eyes; NaN where it is not known.
    size_px : float32 (F,)
        Sizes of all faces.
    face_photo : int64 (F,)
        The photo of each.
    counts : bool (F,)
        Whether each counts.
    photos : int
        How many photos there are.
    """

    score: FloatArray
    hit: npt.NDArray[np.int8]
    photo: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    face: npt.NDArray[np.int64]
    landmark_error: FloatArray
    size_px: FloatArray
    face_photo: npt.NDArray[np.int64]
    counts: npt.NDArray[np.bool_]
    photos: int


def match(
    found: Detections, truth: Truth, iou_threshold: float, counts: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Hold the finds of one photo against its faces.

    Parameters
    ----------
    found : Detections
        In any order.
    truth : Truth
    iou_threshold : float
        The least overlap with a face.
    counts : bool array of shape (N,)
        Which faces count; the others are neutral.

    Returns
    -------
    hit : int8 array of shape (D,)
        1 a face, 0 a false find, -1 neutral.
    face : int64 array of shape (D,)
        Which face, -1 for none.
    """
    hit = np.zeros(len(found), np.int8)
    face = np.full(len(found), -1, np.int64)
    iou = iou_matrix(found.box_xyxy, truth.box_xyxy)
    free = np.ones(len(truth.box_xyxy), bool)
    for row in np.argsort(-found.score, kind="stable"):
        fits = free & (iou[row] >= iou_threshold)
        # A face that counts goes before one that does not.
        for group in (fits & counts, fits & ~counts):
            if group.any():
                best = int(np.where(group, iou[row], -1).argmax())
                free[best] = False
                face[row], hit[row] = best, 1 if counts[best] else -1
                break
    lost = np.flatnonzero(hit == 0)
    hit[lost[_in_ignored(found.box_xyxy[lost], truth.ignore_xyxy)]] = -1
    return hit, face


def _in_ignored(box_xyxy: FloatArray, ignore_xyxy: FloatArray) -> npt.NDArray[np.bool_]:
    if not len(box_xyxy) or not len(ignore_xyxy):
        return np.zeros(len(box_xyxy), bool)
    inner = np.minimum(box_xyxy[:, None, 2:], ignore_xyxy[None, :, 2:]) - np.maximum(
        box_xyxy[:, None, :2], ignore_xyxy[None, :, :2]
    )
    area = np.maximum((box_xyxy[:, 2:] - box_xyxy[:, :2]).prod(axis=1), 1e-9)
    inside = np.maximum(inner, 0).prod(axis=2) / area[:, None] >= _INSIDE_SHARE
    near: npt.NDArray[np.bool_] = (inside | (iou_matrix(box_xyxy, ignore_xyxy) >= _IGNORE_IOU)).any(axis=1)
    return near


def pool(found: Sequence[Detections], truth: Sequence[Truth], *, iou_threshold: float, min_face_px: float) -> Finds:
    """Match photo by photo and put all finds into one list, the surest first.

    Parameters
    ----------
    found : sequence of Detections
        Of each photo.
    truth : sequence of Truth
        Of the same photos.
    iou_threshold : float
    min_face_px : float
        Smaller faces are neutral.
    """
    parts, sizes, counted, owners = [], [], [], []
    first = 0
    for number, (own, faces) in enumerate(zip(found, truth, strict=True)):
        size = faces.size_px
        counts = size >= min_face_px
        hit, face = match(own, faces, iou_threshold, counts)
        error = landmark_errors(own.landmarks_xy, faces, face)
        rows = (np.full(len(own), number), np.arange(len(own)), np.where(face >= 0, face + first, -1))
        parts.append((own.score, hit, *rows, error))
        sizes.append(size)
        counted.append(counts)
        owners.append(np.full(len(size), number))
        first += len(size)
    if not parts:
        raise ValueError("there is no photo to measure on")
    score, hit, photo, place, face, error = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(-score, kind="stable")
    photo, place, face = (column[order].astype(np.int64) for column in (photo, place, face))
    return Finds(
        score[order], hit[order], photo, place, face, error[order],
        np.concatenate(sizes), np.concatenate(owners).astype(np.int64), np.concatenate(counted), len(found),
    )  # fmt: skip


def landmark_errors(landmarks_xy: FloatArray, truth: Truth, face: npt.NDArray[np.int64]) -> FloatArray:
    """Mean distance of the landmarks of finds (D, 5, 2) from those of their faces in eye distances, (D,)."""
    errors = np.full(len(face), np.nan, np.float32)
    rows = np.flatnonzero(face >= 0)
    own = truth.landmarks_xy[face[rows]]
    eyes = np.linalg.norm(own[:, 0] - own[:, 1], axis=1)
    wide = eyes >= _LEAST_EYE_DISTANCE * truth.size_px[face[rows]]
    distance = np.linalg.norm(landmarks_xy[rows] - own, axis=2).mean(axis=1)
    errors[rows] = np.where(wide, distance / np.maximum(eyes, 1e-6), np.nan)
    return errors


def average_precision(finds: Finds) -> float | None:
    """Area under precision over recall, at every score that there is; None without a face that counts."""
    faces = int(finds.counts.sum())
    if not faces:
        return None
    last = _last_of_equal(finds.score)
    hits = np.cumsum(finds.hit == 1)[last]
    false = np.cumsum(finds.hit == 0)[last]
    precision = hits / np.maximum(hits + false, 1)
    # At each recall the best precision at that recall or beyond.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.concatenate(([0.0], hits / faces))
    return float(np.sum(np.diff(recall) * precision))


def recall_at_false_finds(
    finds: Finds, false_finds_a_photo: float = FALSE_FINDS_A_PHOTO, weights: Doubles | None = None
) -> tuple[Doubles, Doubles]:
    """Share of the faces that are found where the score is cut so that false finds stay this rare.

    Parameters
    ----------
    finds : Finds
    false_finds_a_photo : float
    weights : float64 array of shape (R, photos), optional
        How often each photo counts, for R samples of the photos; by default once, one sample.

    Returns
    -------
    recall, threshold : float64 arrays of shape (R,)
        The score from which finds are taken; recall is NaN without a face.
    """
    if weights is None:
        weights = np.ones((1, finds.photos))
    faces = weights[:, finds.face_photo[finds.counts]].sum(axis=1)
    # Neutral finds change nothing.
    own = finds.hit >= 0
    score, photo, hit = finds.score[own], finds.photo[own], finds.hit[own]
    last = _last_of_equal(score)
    recall = np.zeros(len(weights))
    threshold = np.ones(len(weights))
    for row, weight in enumerate(weights):
        each = weight[photo]
        false = np.cumsum(each * (hit == 0))[last]
        within = np.flatnonzero(false <= false_finds_a_photo * weight.sum() + 1e-9)
        if len(within):
            cut = last[within[-1]]
            recall[row] = np.sum((each * (hit == 1))[: cut + 1])
            threshold[row] = score[cut]
    return np.where(faces > 0, recall / np.maximum(faces, 1e-9), np.nan), threshold


def _last_of_equal(score: FloatArray) -> npt.NDArray[np.intp]:
    """Where finds can be cut, by their scores in order: a cut cannot lie between equal ones."""
    return np.flatnonzero(np.append(np.diff(score) != 0, True)) if len(score) else np.zeros(0, np.intp)


def share_found(finds: Finds, threshold: float, of: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """How many of some faces are found at a score or above, and how many of them there are.

    Parameters
    ----------
    of : bool array of shape (F,)
        Which faces.
    """
    taken = finds.face[(finds.score >= threshold) & (finds.face >= 0)]
    return int(of[taken].sum()), int(of.sum())


def bootstrap_weights(photos: int, samples: int) -> Doubles:
    """How often each photo is drawn in samples of all photos with repetition: float64 (samples, photos)."""
    rng = np.random.default_rng(0)
    return rng.multinomial(photos, np.full(photos, 1 / photos), size=samples).astype(np.float64)
