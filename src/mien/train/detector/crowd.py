"""Crowds put together from heads of other photos, and things that hide a part of a face.

Photos of crowds with boxes are rare, and small faces that are partly hidden are what a small detector misses most. At
the size of a face in a crowd, a head cut out of a portrait and scaled down looks like one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mien.detect.base import MIRRORED_LANDMARKS
from mien.detect.image import resize
from mien.train.detector.photos import PhotoStore, TrainingPhoto
from mien.train.detector.pixels import change_light

__all__ = ["CrowdFace", "cover_face", "draw_crowd"]

FloatArray = npt.NDArray[np.float32]
GrayImage = npt.NDArray[np.uint8]

# Faces of fewer pixels are not sharp once they are scaled; and a head is enlarged by no more than this.
_SHARP_PX = 20.0
_MAX_ENLARGE = 1.2
# How far a head reaches beyond the box of its face, in widths and heights of the box: sides, top, bottom.
_SIDES, _TOP, _BOTTOM = (0.15, 0.5), (0.2, 0.45), (0.1, 0.7)
_TRIES = 4


@dataclass(frozen=True)
class CrowdFace:
    """One face of a crowd, in pixels of the image that was drawn into.

    Attributes
    ----------
    box_xyxy : float32 (4,)
    landmarks_xy : float32 (5, 2)
    by_person : bool
        Whether a person set the landmarks.
    seen_share : float
        How much of the box nobody in front hides.
    """

    box_xyxy: FloatArray
    landmarks_xy: FloatArray
    by_person: bool
    seen_share: float


@dataclass(frozen=True)
class _Head:
    pixels: GrayImage
    box_xyxy: FloatArray
    landmarks_xy: FloatArray
    by_person: bool


def draw_crowd(
    image: GrayImage, store: PhotoStore, light: float, sizes_px: tuple[float, float], rng: np.random.Generator
) -> list[CrowdFace]:
    """Draw rows of heads into an image, in place, from the back to the front, where they are larger.

    Parameters
    ----------
    image : uint8 (H, W)
        The background.
    store : PhotoStore
        Where the heads come from.
    light : float
        Strength of the changes of light; see `mien.train.detector.pixels.change_light`.
    sizes_px : (float, float)
        Smallest and largest face of the crowd's front row.
    rng : numpy Generator

    Returns
    -------
    list of CrowdFace
        All of them, from the back to the front, also those that others hide.
    """
    height, width = image.shape
    owner = np.full(image.shape, -1, np.int32)
    front_px = math.exp(rng.uniform(*np.log(sizes_px)))
    back_share = rng.uniform(0.5, 1.0)
    apart_x, apart_y, missing = rng.uniform(1.3, 2.4), rng.uniform(0.9, 2.0), rng.uniform(0.0, 0.4)
    faces: list[CrowdFace] = []
    middle_y = rng.uniform(0.0, 0.5) * height
    while middle_y < height:
        depth = middle_y / height
        size_px = front_px * (back_share + (1 - back_share) * depth)
        middle_x = rng.uniform(-0.5, 0.5) * size_px
        while middle_x < width:
            if rng.random() >= missing:
                head = _draw_head(store, size_px * math.exp(rng.normal(0, 0.12)), light, rng)
                place = (middle_x + rng.normal(0, 0.2) * size_px, middle_y + rng.normal(0, 0.2) * size_px)
                if head is not None:
                    faces.append(_put(image, owner, len(faces), head, place))
            middle_x += apart_x * size_px
        middle_y += apart_y * size_px
    return [
        CrowdFace(face.box_xyxy, face.landmarks_xy, face.by_person, _seen_share(owner, number, face.box_xyxy))
        for number, face in enumerate(faces)
    ]


def _draw_head(store: PhotoStore, size_px: float, light: float, rng: np.random.Generator) -> _Head | None:
    """A head by chance whose face has a certain size; None where a few photos have none that is large enough."""
    for _ in range(_TRIES):
        index = store.draw(rng)
        photo = store.photos[index]
        if not len(photo.box_xyxy):
            continue
        chosen = int(rng.integers(len(photo.box_xyxy)))
        box = photo.box_xyxy[chosen]
        own_px = math.sqrt(max(float((box[2] - box[0]) * (box[3] - box[1])), 1.0))
        if own_px < max(_SHARP_PX, size_px / _MAX_ENLARGE):
            continue
        gray = store.gray(index)
        w, h = float(box[2] - box[0]), float(box[3] - box[1])
        around = [box[0] - w * rng.uniform(*_SIDES), box[1] - h * rng.uniform(*_TOP),
                  box[2] + w * rng.uniform(*_SIDES), box[3] + h * rng.uniform(*_BOTTOM)]  # fmt: skip
        left, top = (max(0, int(value)) for value in around[:2])
        right, bottom = min(gray.shape[1], int(around[2])), min(gray.shape[0], int(around[3]))
        if min(right - left, bottom - top) < _SHARP_PX or _others_inside(photo, chosen, (left, top, right, bottom)):
            continue
        scale = size_px / own_px
        size = (max(3, round((right - left) * scale)), max(3, round((bottom - top) * scale)))
        pixels = resize(np.ascontiguousarray(gray[top:bottom, left:right]), size)
        factor = np.asarray([size[0] / (right - left), size[1] / (bottom - top)], np.float32)
        box = (box - np.asarray([left, top, left, top], np.float32)) * np.tile(factor, 2)
        points = (photo.landmarks_xy[chosen] - np.asarray([left, top], np.float32)) * factor
        if rng.random() < 0.5:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
            box = np.asarray([size[0] - box[2], box[1], size[0] - box[0], box[3]], np.float32)
            points = (points * [-1, 1] + [size[0], 0])[MIRRORED_LANDMARKS]
        pixels = change_light(pixels, light, rng)
        return _Head(pixels, box.astype(np.float32), points.astype(np.float32), bool(photo.by_person[chosen]))
    return None


def _others_inside(photo: TrainingPhoto, chosen: int, part_xyxy: tuple[int, int, int, int]) -> bool:
    """Whether another face, or what may be one, would come along."""
    others = np.concatenate((np.delete(photo.box_xyxy, chosen, axis=0), photo.ignore_xyxy))
    left, top, right, bottom = part_xyxy
    return bool(((others[:, 0] < right) & (others[:, 2] > left) & (others[:, 1] < bottom) & (others[:, 3] > top)).any())


def _put(
    image: GrayImage, owner: npt.NDArray[np.int32], number: int, head: _Head, middle_xy: tuple[float, float]
) -> CrowdFace:
    """Blend a head in, the middle of its face at a place; what lies outside the image is cut off."""
    height, width = image.shape
    rows, columns = head.pixels.shape
    left = round(middle_xy[0] - float(head.box_xyxy[0] + head.box_xyxy[2]) / 2)
    top = round(middle_xy[1] - float(head.box_xyxy[1] + head.box_xyxy[3]) / 2)
    face = CrowdFace(
        head.box_xyxy + np.asarray([left, top, left, top], np.float32),
        head.landmarks_xy + np.asarray([left, top], np.float32),
        head.by_person,
        1.0,
    )
    inner = (max(0, left), max(0, top), min(width, left + columns), min(height, top + rows))
    if inner[2] <= inner[0] or inner[3] <= inner[1]:
        return face
    # Round above and square below, where the shoulders are; the edge fades.
    x = np.abs((np.arange(columns, dtype=np.float32) + 0.5) / columns * 2 - 1)
    y = np.abs(np.minimum((np.arange(rows, dtype=np.float32) + 0.5) / rows * 2 - 1, 0.0))
    alpha = np.clip((1.05 - (x[None] ** 3 + y[:, None] ** 3)) / 0.35, 0, 1)
    cut = np.s_[inner[1] - top : inner[3] - top, inner[0] - left : inner[2] - left]
    into = np.s_[inner[1] : inner[3], inner[0] : inner[2]]
    alpha = alpha[cut]
    image[into] = (alpha * head.pixels[cut] + (1 - alpha) * image[into]).astype(np.uint8)
    owner[into] = np.where(alpha > 0.5, number, owner[into])
    return face


def _seen_share(owner: npt.NDArray[np.int32], number: int, box_xyxy: FloatArray) -> float:
    left, top, right, bottom = (round(float(value)) for value in box_xyxy)
    inside = owner[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    return float((inside <= number).sum()) / max((right - left) * (bottom - top), 1)


def cover_face(image: GrayImage, box_xyxy: FloatArray, thing: GrayImage, rng: np.random.Generator) -> None:
    """Hide a part of a face behind something, in place: from a side, at most about two fifths.

    Parameters
    ----------
    image : uint8 (H, W)
    box_xyxy : float (4,)
        The face.
    thing : uint8 (h, w)
        What hides it; scaled to what is needed.
    rng : numpy Generator
    """
    width, height = float(box_xyxy[2] - box_xyxy[0]), float(box_xyxy[3] - box_xyxy[1])
    turn = rng.uniform(0, 2 * math.pi)
    # From below more often than from above: hands, cups, microphones, scarves, the head in front.
    direction = np.asarray([math.cos(turn), abs(math.sin(turn)) if rng.random() < 0.75 else -abs(math.sin(turn))])
    depth = rng.uniform(0.1, 0.4)
    middle = (box_xyxy[:2] + box_xyxy[2:]) / 2
    reach = rng.uniform(0.3, 0.6)
    place = middle + direction * np.asarray([width, height]) * (0.5 + reach - depth)
    axes = (max(1, int(width * rng.uniform(0.25, 0.8))), max(1, int(height * reach)))
    mask = np.zeros(image.shape, np.uint8)
    centre = (int(place[0]), int(place[1]))
    angle = math.degrees(math.atan2(direction[1], direction[0])) - 90
    if rng.random() < 0.6:
        cv2.ellipse(mask, centre, axes, angle, 0, 360, 1, -1)
    else:
        corners = cv2.boxPoints(((float(place[0]), float(place[1])), (2.0 * axes[0], 2.0 * axes[1]), angle))
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    filled = resize(np.ascontiguousarray(thing), (int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1))
    image[part] = np.where(mask[part] > 0, filled, image[part])
