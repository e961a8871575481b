"""Photos of a dataset, as a detector is measured on them."""

from __future__ import annotations

import numpy as np

from mien.data.photos import Photo
from mien.data.photos.form import FROM_LABEL
from mien.evaluate.detection_metrics import Truth

__all__ = ["truth_of"]


def truth_of(photo: Photo) -> Truth:
    """The faces of a photo; landmarks count only where a person set them."""
    landmarks_xy = photo.landmarks_xy.copy()
    landmarks_xy[[kind != FROM_LABEL for kind in photo.landmarks_from]] = np.nan
    return Truth(photo.box_xyxy, landmarks_xy, photo.ignore_xyxy)
