"""What detectors accept, checked at the door, and how images are scaled for them."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mien.detect.base import ImageArray
from mien.errors import UsageError

__all__ = ["brighten_dark", "check_image", "check_options", "resize"]

# A photo is dark if all but 1 % of it stays below the first; it is then brightened so that this 1 % begins at the
# second.
# Of 263 photos of scenes in plain light, the darkest had 183.
DARK_BELOW, BRIGHT_AT = 128, 200
_MOST_GAIN = 8.0
_LOOKED_AT_PIXELS = 1 << 13
# Larger photos are scaled down to be looked at, which takes the noise away by itself.
_SMOOTHED_UP_TO_PIXELS = 1_000_000


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


def check_options(min_face_px: float | None, score_threshold: float | None) -> None:
    """Refuse a smallest face that has no size, and a threshold that no score, or every one, would reach.

    Raises
    ------
    UsageError
        Says what came and what was expected.
    """
    if min_face_px is not None and not (math.isfinite(min_face_px) and min_face_px >= 1):
        raise UsageError(f"min_face_px is {min_face_px}; expected a size in pixels of at least 1")
    if score_threshold is not None and not 0 < score_threshold < 1:
        raise UsageError(f"score_threshold is {score_threshold}; expected a number between 0 and 1")


def brighten_dark(gray: ImageArray) -> ImageArray:
    """A photo taken with too little light, brightened and smoothed a little; any other as it is.

    Detectors are trained on photos with light in them. With 15 % of the light, and the noise that a camera then has,
    the shipped one finds far more faces in a photo that was brightened (docs/detector.md).

    Parameters
    ----------
    gray : uint8 array of shape (H, W)
    """
    step = max(1, math.isqrt(gray.size // _LOOKED_AT_PIXELS))
    looked_at = gray[::step, ::step].ravel()
    ninety_ninth = int(0.99 * (looked_at.size - 1))
    # Ten times as fast as np.percentile, which every photo would pay for.
    bright = float(np.partition(looked_at, ninety_ninth)[ninety_ninth])
    if bright >= DARK_BELOW:
        return gray
    lifted = cv2.convertScaleAbs(gray, alpha=min(BRIGHT_AT / max(bright, 1.0), _MOST_GAIN))
    if gray.size <= _SMOOTHED_UP_TO_PIXELS:
        lifted = cv2.GaussianBlur(lifted, (0, 0), 0.7)
    return lifted.astype(np.uint8, copy=False)


def resize(image: ImageArray, size_wh: tuple[int, int]) -> ImageArray:
    """Scale a gray or BGR image: area averages where it shrinks, cubic where it grows."""
    height, width = image.shape[:2]
    if size_wh == (width, height):
        return image
    # Halving is many times as fast as any other reduction, and the average of averages is the same average. An odd
    # last row or column is left out, which moves nothing by as much as a pixel of the result.
    while size_wh[0] * 2 <= width and size_wh[1] * 2 <= height:
        width, height = width // 2, height // 2
        halved = cv2.resize(image[: height * 2, : width * 2], (width, height), interpolation=cv2.INTER_AREA)
        image = halved.astype(np.uint8, copy=False)
    if size_wh == (width, height):
        return image
    shrinks = size_wh[0] <= width and size_wh[1] <= height
    # Linear interpolation blurs faces of a few pixels: of those of 10 to 14 px a tenth was missed for that alone.
    scaled = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return scaled.astype(np.uint8, copy=False)
