"""What several rooms do with OpenCV: keep it quiet, turn pictures, encode PNG."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["encode_png", "quiet_opencv", "turned"]

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


def turned(image: npt.NDArray[np.uint8], clockwise_deg: int) -> npt.NDArray[np.uint8]:
    """The picture turned by a multiple of 90 degrees; `image` itself where that is 0."""
    return np.ascontiguousarray(np.rot90(image, -clockwise_deg // 90)) if clockwise_deg else image


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
