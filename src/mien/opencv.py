"""What several rooms do with OpenCV: keep it quiet, or to few threads; turn and complete pictures, change colours."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

__all__ = [
    "as_bgr",
    "as_gray",
    "completed",
    "encode_png",
    "missing_px",
    "opencv_threads",
    "quiet_opencv",
    "turned",
    "warped",
]

_LONGEST_STRIP_PX = 1024

_lock = threading.Lock()
_users = 0
_level_before = 0


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's own remarks off stderr: what is wrong is said once, by the error.

    The level is one for the whole process: the last thread that leaves sets it back.
    """
    global _users, _level_before  # noqa: PLW0603 - as the level is
    logging = cv2.utils.logging
    with _lock:
        if _users == 0:
            _level_before = logging.getLogLevel()
            logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                logging.setLogLevel(_level_before)


@contextlib.contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """OpenCV's own threads in the block: 1 where they would compete with ours. The number is the whole process's."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def as_gray(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image as (H, W); the array itself where it is gray already."""
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def as_bgr(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image as (H, W, 3); the array itself where it has colours already."""
    return image if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)


def turned(image: npt.NDArray[np.uint8], clockwise_deg: int) -> npt.NDArray[np.uint8]:
    """The picture turned by a multiple of 90 degrees; `image` itself where that is 0."""
    return np.ascontiguousarray(np.rot90(image, -clockwise_deg // 90)) if clockwise_deg else image


def warped(
    image: npt.NDArray[np.uint8],
    matrix: npt.NDArray[np.float64],
    size_wh: tuple[int, int],
    *,
    interpolation: int = cv2.INTER_LINEAR,
    border: int = cv2.BORDER_CONSTANT,
    fill: int = 0,
) -> npt.NDArray[np.uint8]:
    """The picture as an affine map shows it, by coordinates that count from the outer corner of the first pixel.

    So do boxes and landmarks everywhere in mien, and what `cv2.resize` does. `cv2.warpAffine` alone counts from the
    middle of the first pixel: by the matrix that moves the landmarks, it would show the picture up to 0.7 px (where it
    is mirrored 1 px, where it is enlarged more) beside them.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3)
    matrix : float array of shape (2, 3)
        From places in `image` to places in the result, both in pixels.
    size_wh : (int, int)
        Width and height of the result.
    interpolation, border : int
        OpenCV's constants. Nothing is averaged: a picture that shrinks is scaled down before.
    fill : int
        The value of all channels outside the image, where `border` is the default.

    Returns
    -------
    uint8 array of shape (h, w) or (h, w, 3)
    """
    turn = matrix[:, :2]
    between_middles = np.concatenate((turn, (matrix[:, 2] + turn.sum(axis=1) / 2 - 0.5)[:, None]), axis=1)
    result = cv2.warpAffine(
        image, between_middles, size_wh, flags=interpolation, borderMode=border, borderValue=(fill, fill, fill)
    )
    return np.asarray(result, np.uint8)


def missing_px(size_wh: tuple[int, int], proportion: float) -> tuple[int, int]:
    """How many columns and rows an image lacks for a width of `proportion` times its height."""
    width, height = size_wh
    return max(0, round(height * proportion) - width), max(0, round(width / proportion) - height)


def completed(image: npt.NDArray[np.uint8], proportion: float) -> npt.NDArray[np.uint8]:
    """The image with its border reflected on both sides, until it is `proportion` times as wide as high.

    A strip is continued by its edge instead; a long one is made shorter before.
    """
    height, width = image.shape[:2]
    add_x, add_y = missing_px((width, height), proportion)
    if add_x == add_y == 0:
        return image
    # Reflection cannot reach further than the image is wide; an extreme strip is continued by its edge.
    fits = add_x < 2 * (width - 1) and add_y < 2 * (height - 1)
    scale = _LONGEST_STRIP_PX / max(width, height)
    if not fits and scale < 1:  # the square of its length would be any number of times its own memory
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        shorter = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
        return completed(np.asarray(shorter, np.uint8), proportion)
    border = cv2.BORDER_REFLECT_101 if fits else cv2.BORDER_REPLICATE
    top, left = add_y // 2, add_x // 2
    return np.asarray(cv2.copyMakeBorder(image, top, add_y - top, left, add_x - left, border), np.uint8)


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file: lossless, far faster to write than lossless WebP, and a sixth larger for faces of 48 px.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3)
        Gray or BGR.
    """
    done, data = cv2.imencode(".png", image)
    if not done:
        raise ValueError(f"OpenCV cannot encode an array of shape {image.shape} as PNG")
    return data.tobytes()
