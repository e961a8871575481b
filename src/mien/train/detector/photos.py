"""The training photos of a detector in memory, with boxes in one convention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mien.data.photos import Photo, PhotoDataset
from mien.data.photos.dataset import FROM_LABEL, FROM_TEACHER
from mien.data.pixels import decode_gray
from mien.detect import open_detector
from mien.detect.suppression import iou_matrix
from mien.errors import UsageError
from mien.train.options.detector import DetectorData

__all__ = ["BoxRule", "CroppedFaces", "PhotoStore", "TrainingPhoto", "find_in_crops", "load_photos"]

_SURE_SCORE = 0.6
"""Of a face in a crop that is pasted into photos with its box and landmarks."""

FloatArray = npt.NDArray[np.float32]
GrayImage = npt.NDArray[np.uint8]

# Decoded photos are kept up to this, 2 GB; those beyond are decoded each time.
_KEPT_PIXELS = 2 << 30
# Fewer pairs of box and landmarks tell nothing about a convention.
_FEWEST_PAIRS = 50
_SAME_FACE_IOU = 0.35
# A photo whose faces fill less than this share of its shorter side is a scene.
_SCENE_SHARE = 0.33


class BoxRule:
    """Where a box lies around five landmarks, learned from boxes of one convention.

    Collections differ: some boxes hold the forehead, others end at the brows. A linear rule from the landmarks (freed
    of place and size) to the box's centre and size makes one convention of them.

    Parameters
    ----------
    box_xyxy : float array of shape (N, 4)
    landmarks_xy : float array of shape (N, 5, 2)
    """

    def __init__(self, box_xyxy: FloatArray, landmarks_xy: FloatArray) -> None:
        features, middle, scale = _normalised(landmarks_xy.astype(np.float64))
        centre = (box_xyxy[:, :2] + box_xyxy[:, 2:]) / 2
        target = np.concatenate((centre - middle, box_xyxy[:, 2:] - box_xyxy[:, :2]), axis=1) / scale[:, None]
        self._weights = np.linalg.lstsq(features, target, rcond=None)[0]

    def boxes(self, landmarks_xy: FloatArray) -> FloatArray:
        """The boxes around landmarks of shape (N, 5, 2): float32 (N, 4)."""
        features, middle, scale = _normalised(landmarks_xy.astype(np.float64))
        place = features @ self._weights * scale[:, None]
        centre, half = middle + place[:, :2], np.maximum(place[:, 2:], 0) / 2
        return np.concatenate((centre - half, centre + half), axis=1).astype(np.float32)

    @classmethod
    def learn(cls, photos: list[Photo]) -> BoxRule | None:
        """Learn the rule from the boxes that a teacher drew; None where there are too few."""
        boxes, landmarks = [], []
        for photo in photos:
            own = np.asarray([kind == FROM_TEACHER for kind in photo.box_from], bool)
            own &= np.isfinite(photo.landmarks_xy).all(axis=(1, 2))
            boxes.append(photo.box_xyxy[own])
            landmarks.append(photo.landmarks_xy[own])
        if sum(map(len, boxes)) < _FEWEST_PAIRS:
            return None
        return cls(np.concatenate(boxes), np.concatenate(landmarks))


def _normalised(landmarks_xy: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    middle = landmarks_xy.mean(axis=1)
    around = landmarks_xy - middle[:, None]
    scale = np.maximum(np.sqrt((around**2).sum(axis=(1, 2)) / 5), 1e-3)
    features = np.concatenate((around.reshape(-1, 10) / scale[:, None], np.ones((len(scale), 1))), axis=1)
    return features, middle, scale


@dataclass(frozen=True)
class TrainingPhoto:
    """The faces of one photo, as they are learned.

    Attributes
    ----------
    box_xyxy : float32 (N, 4)
    landmarks_xy : float32 (N, 5, 2)
        NaN where unknown.
    by_person : bool (N,)
        Whether a person set the landmarks.
    ignore_xyxy : float32 (M, 4)
    """

    box_xyxy: FloatArray
    landmarks_xy: FloatArray
    by_person: npt.NDArray[np.bool_]
    ignore_xyxy: FloatArray


class PhotoStore:
    """Training photos; the pixels are gray, and decoded at first use.

    Parameters
    ----------
    encoded : list of bytes
        Image files.
    photos : list of TrainingPhoto
    weights : float array of shape (N,)
        How often each photo is drawn, against the others.
    """

    def __init__(self, encoded: list[bytes], photos: list[TrainingPhoto], weights: npt.NDArray[np.float64]) -> None:
        self.encoded, self.photos, self.weights = encoded, photos, weights
        self._gray: dict[int, GrayImage] = {}
        self._kept_pixels = 0
        self._cumulative = np.cumsum(weights / weights.sum())

    def __len__(self) -> int:
        return len(self.photos)

    def draw(self, rng: np.random.Generator) -> int:
        """A photo by chance."""
        return min(int(np.searchsorted(self._cumulative, rng.random())), len(self) - 1)

    def decode(self) -> None:
        """Decode photos as long as they are kept."""
        for index in range(len(self)):
            self.gray(index)
            if index not in self._gray:
                break

    def gray(self, index: int) -> GrayImage:
        """A photo's pixels, uint8 (H, W)."""
        image = self._gray.get(index)
        if image is None:
            image = decode_gray(self.encoded[index], f"photo {index}")
            if self._kept_pixels + image.size <= _KEPT_PIXELS:
                self._kept_pixels += image.size
                self._gray[index] = image
        return image


def load_photos(path: Path, split: str, settings: DetectorData) -> PhotoStore:
    """Read the photos of one split to learn from.

    Raises
    ------
    InputError
        If the dataset cannot be read, or has no such split.
    UsageError
        If it has no face.
    """
    photos = list(PhotoDataset(path).photos(split))
    rule = BoxRule.learn(photos)
    learned = [_training_photo(photo, rule, settings) for photo in photos]
    if not sum(len(photo.box_xyxy) for photo in learned):
        raise UsageError(f"{path}: its split '{split}' has no face to learn from")
    weights = np.ones(len(photos))
    for number, (photo, own) in enumerate(zip(photos, learned, strict=True)):
        shape = cv2.imdecode(np.frombuffer(photo.image, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        side = 8 * min(shape.shape[:2]) if shape is not None else 1
        if len(own.box_xyxy):
            sides = own.box_xyxy[:, 2:] - own.box_xyxy[:, :2]
            if np.median(np.sqrt(np.maximum(sides.prod(axis=1), 0))) < _SCENE_SHARE * side:
                weights[number] = settings.scene_weight
    return PhotoStore([photo.image for photo in photos], learned, weights)


def _training_photo(photo: Photo, rule: BoxRule | None, settings: DetectorData) -> TrainingPhoto:
    box_xyxy, known = photo.box_xyxy.copy(), np.isfinite(photo.landmarks_xy).all(axis=(1, 2))
    drawn = known & np.asarray([kind == FROM_LABEL for kind in photo.box_from], bool)
    if rule is not None and settings.snap and drawn.any():
        moved = rule.boxes(photo.landmarks_xy[drawn])
        # Where the landmarks belong to another face, or are a bad guess, the box stays.
        near = iou_matrix(moved, box_xyxy[drawn]).diagonal() >= _SAME_FACE_IOU
        share = settings.snap * near[:, None]
        box_xyxy[drawn] = (1 - share) * box_xyxy[drawn] + share * moved
    promoted = photo.ignore_score >= settings.teacher_score
    return TrainingPhoto(
        np.concatenate((box_xyxy, photo.ignore_xyxy[promoted])).astype(np.float32),
        np.concatenate((photo.landmarks_xy, photo.ignore_landmarks_xy[promoted])),
        np.asarray([kind == FROM_LABEL for kind in photo.landmarks_from] + [False] * int(promoted.sum()), bool),
        photo.ignore_xyxy[~promoted],
    )


@dataclass(frozen=True)
class CroppedFaces:
    """Cropped faces: `images` uint8 (N, S, S), and in their pixels `box_xyxy` (N, 4), `landmarks_xy` (N, 5, 2)."""

    images: GrayImage
    box_xyxy: FloatArray
    landmarks_xy: FloatArray

    def __len__(self) -> int:
        return len(self.images)


def find_in_crops(images: Sequence[GrayImage]) -> CroppedFaces:
    """Find box and landmarks in cropped faces; those in which the shipped detector sees no sure face are left out.

    Parameters
    ----------
    images : sequence of uint8 arrays of shape (S, S), all of one size
    """
    detector = open_detector("mien", 1)
    enlarge, border = 3, 24
    kept, boxes, landmarks = [], [], []
    for number, image in enumerate(images):
        large = cv2.resize(image, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC)
        large = cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_REPLICATE)
        found = detector.detect(np.asarray(large, np.uint8))
        if len(found) != 1 or found.score[0] < _SURE_SCORE:
            continue
        kept.append(number)
        boxes.append((found.box_xyxy[0] - border) / enlarge)
        landmarks.append((found.landmarks_xy[0] - border) / enlarge)
    return CroppedFaces(
        np.asarray([images[number] for number in kept], np.uint8),
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(landmarks, np.float32).reshape(-1, 5, 2),
    )
