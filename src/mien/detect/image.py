"""What detectors accept: images and sizes, checked at the door."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mien.detect.base import ImageArray
from mien.errors import UsageError

__all__ = ["as_bgr", "as_gray", "check_image", "check_min_face_px"]


def check_image(image: ImageArray) -> None:
    """Refuse what is no gray or BGR image of 8 bits.

    Raises
    ------
    UsageError
        Says what came and what was expected.
    """
    is_array = isinstance(image, np.ndarray)
    fits = is_array and image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2:] == (3,))
    if not fits or not image.size:
        came = f"{image.dtype}{image.shape}" if is_array else type(image).__name__
        raise UsageError(f"the image is {came}; expected a uint8 array of shape (H, W) or (H, W, 3), not empty")


def check_min_face_px(min_face_px: float | None) -> None:
    """Refuse a smallest face size that is no size.

    Raises
    ------
    UsageError
        Says what came and what was expected.
    """
    if min_face_px is not None and not (math.isfinite(min_face_px) and min_face_px >= 1):
        raise UsageError(f"min_face_px is {min_face_px}; expected a size in pixels of at least 1")


def as_gray(image: ImageArray) -> ImageArray:
    """A gray or BGR image as gray (H, W)."""
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)


def as_bgr(image: ImageArray) -> ImageArray:
    """A gray or BGR image as BGR (H, W, 3)."""
    if image.ndim == 3:
        return image
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
