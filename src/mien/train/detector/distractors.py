"""Drawn things that are no faces: what small detectors take for one.

Stars, swirls, folds of cloth, text, circles, checks, and faces of cartoons: two dots and a mouth are no person.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["draw_distractor", "draw_pattern"]

GrayImage = npt.NDArray[np.uint8]
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&%?!"


def draw_pattern(width: int, height: int, rng: np.random.Generator) -> GrayImage:
    """An area without a face: smooth noise, stripes, folds, a swirl, checks or a plain gray; uint8 (height, width)."""
    kind = int(rng.integers(6))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    low, high = sorted(rng.uniform(0, 255, 2))
    if kind == 0:
        return np.full((height, width), int(low), np.uint8)
    if kind == 1:
        values = np.zeros((height, width), np.float32)
        for octave in (4, 8, 16):
            coarse = rng.random((max(2, height // octave), max(2, width // octave)), np.float32)
            values += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * octave
    elif kind == 2:
        angle, period = rng.uniform(0, math.pi), rng.uniform(4, 40)
        values = np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period)
    elif kind == 3:
        # Folds: stripes whose phase wanders, as on a sleeve.
        coarse = rng.random((4, 4), np.float32) * rng.uniform(4, 16)
        phase = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        values = np.sin(phase + (x + y) * rng.uniform(0.02, 0.25)) + 0.5 * np.sin(2.3 * phase)
    elif kind == 4:
        centre_x, centre_y = rng.uniform(0, width), rng.uniform(0, height)
        radius = np.hypot(x - centre_x, y - centre_y)
        turn = np.arctan2(y - centre_y, x - centre_x)
        values = np.sin(radius * rng.uniform(0.1, 0.8) + turn * int(rng.integers(0, 5)))
    else:
        period = rng.uniform(6, 40)
        values = np.sign(np.sin(x * math.pi / period) * np.sin(y * math.pi / period))
    least, most = float(values.min()), float(values.max())
    scaled = low + (values - least) * (high - low) / max(most - least, 1e-6)
    return np.asarray(np.clip(scaled, 0, 255), np.uint8)


def draw_distractor(image: GrayImage, box_xyxy: tuple[int, int, int, int], rng: np.random.Generator) -> None:
    """Draw one thing into a box of an image, in place."""
    left, top, right, bottom = box_xyxy
    part = np.ascontiguousarray(image[top:bottom, left:right])
    if min(part.shape, default=0) < 6:
        return
    _THINGS[int(rng.integers(len(_THINGS)))](part, rng)
    image[top:bottom, left:right] = part


def _shade(rng: np.random.Generator) -> int:
    return int(rng.integers(256))


def _middle(part: GrayImage) -> tuple[tuple[int, int], int]:
    height, width = part.shape
    return (width // 2, height // 2), max(2, min(height, width) // 2 - 1)


def _star(part: GrayImage, rng: np.random.Generator) -> None:
    (x, y), radius = _middle(part)
    points = int(rng.integers(4, 9))
    turn = rng.uniform(0, math.pi)
    inner = rng.uniform(0.3, 0.6)
    corners = [
        (x + radius * (1 if i % 2 else inner) * math.cos(turn + i * math.pi / points),
         y + radius * (1 if i % 2 else inner) * math.sin(turn + i * math.pi / points))
        for i in range(2 * points)
    ]  # fmt: skip
    if rng.random() < 0.5:
        cv2.circle(part, (x, y), radius, _shade(rng), -1, cv2.LINE_AA)
    cv2.fillPoly(part, [np.asarray(corners, np.int32)], _shade(rng), cv2.LINE_AA)


def _rings(part: GrayImage, rng: np.random.Generator) -> None:
    middle, radius = _middle(part)
    for share in np.linspace(1, 0.15, int(rng.integers(1, 6))):
        cv2.circle(part, middle, max(1, int(radius * share)), _shade(rng), -1 if rng.random() < 0.7 else 2, cv2.LINE_AA)


def _swirl(part: GrayImage, rng: np.random.Generator) -> None:
    (x, y), radius = _middle(part)
    turns = np.linspace(0, rng.uniform(2, 5) * 2 * math.pi, 80)
    away = radius * turns / turns[-1]
    points = np.stack((x + away * np.cos(turns), y + away * np.sin(turns)), axis=1)
    cv2.polylines(part, [points.astype(np.int32)], False, _shade(rng), int(rng.integers(1, max(2, radius // 6) + 1)),
                  cv2.LINE_AA)  # fmt: skip


def _text(part: GrayImage, rng: np.random.Generator) -> None:
    height, width = part.shape
    if rng.random() < 0.5:
        part[:] = _shade(rng)
    scale = rng.uniform(0.3, 1.0) * height / 30
    lines = int(rng.integers(1, 4))
    for line in range(lines):
        text = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 8))))
        place = (int(rng.uniform(0, width / 4)), int(height * (line + 0.8) / lines))
        cv2.putText(part, text, place, _FONTS[int(rng.integers(len(_FONTS)))], scale / lines, _shade(rng),
                    max(1, int(scale)), cv2.LINE_AA)  # fmt: skip


def _cartoon(part: GrayImage, rng: np.random.Generator) -> None:
    (x, y), radius = _middle(part)
    cv2.circle(part, (x, y), radius, _shade(rng), -1 if rng.random() < 0.7 else max(1, radius // 10), cv2.LINE_AA)
    ink = _shade(rng)
    eye = max(1, int(radius * rng.uniform(0.08, 0.22)))
    for side in (-1, 1):
        place = (int(x + side * radius * 0.38), int(y - radius * 0.25))
        cv2.circle(part, place, eye, ink, -1, cv2.LINE_AA)
    width, curve = int(radius * rng.uniform(0.3, 0.6)), max(1, int(radius * rng.uniform(0.1, 0.35)))
    start = 0 if rng.random() < 0.6 else 180
    cv2.ellipse(part, (x, int(y + radius * 0.3)), (max(1, width), curve), 0, start, start + 180, ink,
                max(1, radius // 12), cv2.LINE_AA)  # fmt: skip


def _blobs(part: GrayImage, rng: np.random.Generator) -> None:
    height, width = part.shape
    for _ in range(int(rng.integers(3, 12))):
        place = (int(rng.integers(width)), int(rng.integers(height)))
        size = (max(1, int(rng.uniform(0.03, 0.25) * width)), max(1, int(rng.uniform(0.03, 0.25) * height)))
        cv2.ellipse(part, place, size, rng.uniform(0, 180), 0, 360, _shade(rng), -1, cv2.LINE_AA)


def _pattern(part: GrayImage, rng: np.random.Generator) -> None:
    height, width = part.shape
    mask = np.zeros_like(part)
    cv2.ellipse(mask, (width // 2, height // 2), (max(1, width // 2 - 1), max(1, height // 2 - 1)), 0, 0, 360, 255, -1)
    part[mask > 0] = draw_pattern(width, height, rng)[mask > 0]


_THINGS: tuple[Callable[[GrayImage, np.random.Generator], None], ...] = (
    _star, _rings, _swirl, _text, _cartoon, _blobs, _pattern,
)  # fmt: skip
