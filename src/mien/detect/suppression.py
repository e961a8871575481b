"""Non-maximum suppression: one box for each face."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.detect.base import FloatArray

__all__ = ["iou_matrix", "suppress"]

# Far more than any photo has; bounds the work on an image that fires everywhere.
MAX_CANDIDATES = 6000


def iou_matrix(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """Intersection over union of each box of `a_xyxy` (N, 4) with each of `b_xyxy` (M, 4): float32 (N, M)."""
    inner, areas_a, areas_b = _overlap(a_xyxy, b_xyxy)
    union = areas_a[:, None] + areas_b[None, :] - inner
    result: FloatArray = (inner / np.maximum(union, 1e-9)).astype(np.float32)
    return result


def suppress(
    box_xyxy: FloatArray, rank: FloatArray, *, iou_threshold: float, inside_threshold: float = 1.0
) -> npt.NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Parameters
    ----------
    box_xyxy : float32 array of shape (N, 4)
        Candidates.
    rank : float32 array of shape (N,)
        What decides who stays: of two boxes for one face, the one with the higher rank.
    iou_threshold : float
        Two boxes that overlap by more than this are one face.
    inside_threshold : float
        A box of which more than this share lies inside a box that stays is taken for a part of that face,
        as an eye or a mouth read as a face of its own. 1 switches this off.

    Returns
    -------
    intp array
        Indices of the boxes that stay, best rank first.
    """
    order = np.argsort(-rank, kind="stable")[:MAX_CANDIDATES]
    keep: list[int] = []
    while len(order):
        best = order[0]
        keep.append(int(best))
        order = order[1:]
        if not len(order):
            break
        inner, (area,), areas = _overlap(box_xyxy[best : best + 1], box_xyxy[order])
        inside = inner[0] / np.maximum(areas, 1e-9)
        iou = inner[0] / np.maximum(area + areas - inner[0], 1e-9)
        order = order[(iou <= iou_threshold) & (inside <= inside_threshold)]
    return np.asarray(keep, np.intp)


def _overlap(a_xyxy: FloatArray, b_xyxy: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Areas shared by each pair, and the areas of the boxes themselves."""
    top_left = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    bottom_right = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    inner = np.maximum(bottom_right - top_left, 0).prod(axis=2)
    return inner, _area(a_xyxy), _area(b_xyxy)


def _area(box_xyxy: FloatArray) -> FloatArray:
    area: FloatArray = np.maximum(box_xyxy[:, 2:] - box_xyxy[:, :2], 0).prod(axis=1)
    return area
