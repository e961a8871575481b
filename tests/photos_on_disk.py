"""A small dataset of photos with one known face: the astronaut, at several sizes on several backgrounds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mien.data.photos import Photo, PhotoDataset, write_photos

# The face in examples/astronaut.jpg, by hand, and its landmarks in the order of `Detections`.
FACE_XYXY = np.asarray([179, 64, 272, 182], np.float32)
LANDMARKS_XY = np.asarray([[203, 101], [247, 103], [225, 127], [205, 142], [243, 143]], np.float32)


def astronaut_photo(image: np.ndarray, name: str, split: str, scale: float = 1.0, mirror: bool = False) -> Photo:
    """The astronaut scaled, with box and landmarks by a person."""
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    box, landmarks = FACE_XYXY * np.float32(scale), LANDMARKS_XY * np.float32(scale)
    if mirror:
        scaled = np.ascontiguousarray(scaled[:, ::-1])
        box = box[[2, 1, 0, 3]] * [-1, 1, -1, 1] + np.asarray([size[0], 0, size[0], 0])
        landmarks = landmarks[[1, 0, 2, 4, 3]] * [-1, 1] + np.asarray([size[0], 0])
    return Photo(
        cv2.imencode(".png", scaled)[1].tobytes(),
        name,
        "astronaut",
        split,
        box_xyxy=box[None].astype(np.float32),
        landmarks_xy=landmarks[None].astype(np.float32),
        box_from=("label",),
        landmarks_from=("label",),
    )


def empty_photo(name: str, split: str, seed: int) -> Photo:
    """Smooth noise without a face."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    image = cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC)
    return Photo(cv2.imencode(".png", image)[1].tobytes(), name, "empty", split)


def make_photos(path: Path, astronaut_bgr: np.ndarray) -> PhotoDataset:
    """Seven photos: four to learn from, three to choose by (one of them without a face)."""
    scales = {"train": (0.9, 0.6, 0.35), "validation": (1.0, 0.5)}
    photos = [
        astronaut_photo(astronaut_bgr, f"{split}-{scale:g}", split, scale, mirror=bool(number % 2))
        for split, own in scales.items()
        for number, scale in enumerate(own)
    ]
    photos += [empty_photo("empty-train", "train", 0), empty_photo("empty-validation", "validation", 1)]
    return write_photos(path, photos, {"step": "test"})
