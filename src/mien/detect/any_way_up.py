"""Photos that lie on their side or stand on their head, as scans do, and photos that lost their EXIF data.

A face that stands on its head is often found, with a lower score, and is then read wrongly. So where no face of a photo
is clearly upright, it is searched turned by 90, 180 and 270 degrees, too.
"""

from __future__ import annotations

import numpy as np

from mien.detect.base import Detections, Detector, FloatArray, ImageArray
from mien.opencv import turned

__all__ = ["detect_any_way_up"]

TURNS_DEG = (90, 180, 270)
_SURER = 0.05
"""By how much a turned face must outdo one that is sure as it is. Faces on their heads are outdone by 0.09 and more,
round things that look alike from all sides by less."""


def detect_any_way_up(detector: Detector, image: ImageArray) -> tuple[Detections, int]:
    """Find the faces of a photo that may lie on its side or stand on its head.

    Parameters
    ----------
    detector : Detector
        One without a `sure_score` only sees the photo as it is.
    image : uint8 array of shape (H, W) or (H, W, 3)

    Returns
    -------
    Detections
        In pixels of `image`. Turned ones have their landmarks in the order of an upright face.
    int
        By how many degrees `image` must be turned clockwise to stand upright: 0, unless no face as it is reaches the
        detector's `upright_score` (that of a detector without one is its `sure_score`), and one that is turned is sure,
        and surer than all as they are.
    """
    found, upright_deg = detector.detect(image), 0
    sure = getattr(detector, "sure_score", None)
    if sure is None or _best(found) >= getattr(detector, "upright_score", sure):
        return found, upright_deg
    needed = sure if _best(found) < sure else _best(found) + _SURER
    for clockwise_deg in TURNS_DEG:
        other = detector.detect(turned(image, clockwise_deg))
        if _best(other) >= max(needed, _best(found)):
            found, upright_deg = _turned_back(other, clockwise_deg, image.shape), clockwise_deg
    return found, upright_deg


def _best(found: Detections) -> float:
    return float(found.score.max(initial=0.0))


def _turned_back(found: Detections, clockwise_deg: int, shape: tuple[int, ...]) -> Detections:
    """Finds in a turned image, as they lie in the image itself, whose shape is given."""
    corners = _points_back(found.box_xyxy.reshape(-1, 2, 2), clockwise_deg, shape)
    box_xyxy = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    return Detections(box_xyxy, found.score, _points_back(found.landmarks_xy, clockwise_deg, shape))


def _points_back(points_xy: FloatArray, clockwise_deg: int, shape: tuple[int, ...]) -> FloatArray:
    height, width = np.float32(shape[0]), np.float32(shape[1])
    x, y = points_xy[..., 0], points_xy[..., 1]
    back = {90: (y, height - x), 180: (width - x, height - y), 270: (width - y, x)}[clockwise_deg]
    return np.stack(back, axis=-1)
