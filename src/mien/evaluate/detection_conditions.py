"""The same photos under harder conditions, with their faces moved along."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from mien.data.photos.change import darken, tilted_box
from mien.detect.base import ImageArray
from mien.metrics.detection import Truth
from mien.opencv import as_gray, warped

__all__ = ["CONDITIONS", "FRAME_PX", "Condition", "fill_frame", "in_gray", "in_low_light", "tilt"]

Condition = Callable[[ImageArray, Truth, int], "tuple[ImageArray, Truth] | None"]
"""Takes a photo, its faces and its number; None where the condition makes no sense for it."""

FRAME_PX = 640
_LARGE_FACE_PX = 90.0
_FRAME_MARGIN = 0.05
_LIGHT_LEFT = 0.15


def in_gray(image: ImageArray, truth: Truth, number: int) -> tuple[ImageArray, Truth]:
    """Without colour."""
    del number
    return as_gray(image), truth


def in_low_light(image: ImageArray, truth: Truth, number: int) -> tuple[ImageArray, Truth]:
    """15 % of the light, with the noise that a camera then has; the same noise for the same number."""
    return np.asarray(darken(image, np.random.default_rng([1, number]), _LIGHT_LEFT), np.uint8), truth


def tilt(image: ImageArray, truth: Truth, angle_deg: float) -> tuple[ImageArray, Truth]:
    """Turned about its middle on a larger, gray canvas; boxes are those of turned ellipses (`tilted_box`)."""
    height, width = image.shape[:2]
    angle = math.radians(angle_deg)
    cosine, sine = math.cos(angle), math.sin(angle)
    size = (
        math.ceil(width * abs(cosine) + height * abs(sine)),
        math.ceil(width * abs(sine) + height * abs(cosine)),
    )
    matrix = np.asarray([[cosine, -sine, 0.0], [sine, cosine, 0.0]])
    matrix[:, 2] = np.asarray(size) / 2 - matrix[:, :2] @ (width / 2, height / 2)
    turned = warped(image, matrix, size, fill=127)
    moved = (truth.landmarks_xy @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return turned, Truth(tilted_box(truth.box_xyxy, matrix), moved, tilted_box(truth.ignore_xyxy, matrix))


def fill_frame(image: ImageArray, truth: Truth, number: int) -> tuple[ImageArray, Truth] | None:
    """Cut to the largest face with a margin of 5 %, enlarged to 640 px: as a selfie held too near.

    None where no face has 90 px. What is left of other faces is neutral.
    """
    del number
    size = truth.size_px
    if not len(size) or size.max() < _LARGE_FACE_PX:
        return None
    chosen = int(size.argmax())
    left, top, right, bottom = truth.box_xyxy[chosen].tolist()
    margin = _FRAME_MARGIN * float(size[chosen])
    left, top = max(0, round(left - margin)), max(0, round(top - margin))
    right, bottom = min(image.shape[1], round(right + margin)), min(image.shape[0], round(bottom + margin))
    part = image[top:bottom, left:right]
    if min(part.shape[:2]) < _LARGE_FACE_PX / 2:
        return None
    scale = FRAME_PX / max(part.shape[:2])
    wh = (round(part.shape[1] * scale), round(part.shape[0] * scale))
    frame = np.asarray(cv2.resize(part, wh, interpolation=cv2.INTER_CUBIC), np.uint8)
    origin = np.asarray([left, top], np.float32)
    boxes = (truth.box_xyxy - np.tile(origin, 2)) * np.float32(scale)
    others = np.delete(boxes, chosen, axis=0)
    ignored = (truth.ignore_xyxy - np.tile(origin, 2)) * np.float32(scale)
    return frame, Truth(
        boxes[chosen : chosen + 1],
        ((truth.landmarks_xy[chosen : chosen + 1] - origin) * np.float32(scale)).astype(np.float32),
        np.concatenate((others, ignored)),
    )


def _tilted(angle_deg: float) -> Condition:
    def condition(image: ImageArray, truth: Truth, number: int) -> tuple[ImageArray, Truth]:
        # Every second photo to the other side.
        return tilt(image, truth, angle_deg if number % 2 else -angle_deg)

    return condition


CONDITIONS: dict[str, Condition] = {
    "gray": in_gray,
    "tilted 15 degrees": _tilted(15),
    "tilted 30 degrees": _tilted(30),
    "tilted 45 degrees": _tilted(45),
    "low light": in_low_light,
    "face fills the frame": fill_frame,
}  # fmt: skip
"""By name; `fill_frame` keeps only photos with a face of 90 px and more."""
