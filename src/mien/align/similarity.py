"""Alignment of faces by a similarity transform (rotation, scale, shift; never a shear or a mirror image)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["align_faces", "similarity_transform"]


def similarity_transform(
    source_xy: npt.NDArray[np.floating], target_xy: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """The similarity transforms that bring N sets of points nearest to a target, in the least-squares sense.

    With points as complex numbers a similarity is ``z -> a z + b``, and the least squares have a closed form
    (the planar case of Umeyama, 1991, without reflection).

    Parameters
    ----------
    source_xy : float array of shape (N, P, 2)
        Points of each face.
    target_xy : float array of shape (P, 2)
        Where they should come to lie.

    Returns
    -------
    float64 array of shape (N, 2, 3)
        Each ``[[re a, -im a, re b], [im a, re a, im b]]``. Where all points of a set coincide (no scale can be told)
        the scale is that of points one pixel apart.
    """
    source = np.asarray(source_xy, np.float64)
    target = np.asarray(target_xy, np.float64)
    z = source[..., 0] + 1j * source[..., 1]
    w = target[..., 0] + 1j * target[..., 1]
    z_mean = z.mean(axis=-1, keepdims=True)
    w_mean = w.mean()
    spread = (np.abs(z - z_mean) ** 2).sum(axis=-1)
    a = (np.conj(z - z_mean) * (w - w_mean)).sum(axis=-1)
    flat = spread < 1e-6
    a = np.where(flat, np.sqrt((np.abs(w - w_mean) ** 2).sum()), a / np.where(flat, 1.0, spread))
    b = w_mean - a * z_mean[..., 0]
    return np.stack([np.stack([a.real, -a.imag, b.real], -1), np.stack([a.imag, a.real, b.imag], -1)], -2)


def align_faces(
    image: npt.NDArray[np.uint8],
    landmarks_xy: npt.NDArray[np.floating],
    framing_xy: Sequence[tuple[float, float]],
    size_wh: tuple[int, int],
) -> npt.NDArray[np.uint8]:
    """Cut the faces out of an image, upright, each with its landmarks at the framing's places.

    A face much larger than the crop is averaged down first, so that nothing is aliased. Where the crop reaches
    past the border of the image, it is filled by reflection.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, C)
    landmarks_xy : float array of shape (N, 5, 2)
        In pixels, where (0, 0) is the outer corner of the first pixel.
    framing_xy : sequence of five (float, float)
        Where the landmarks belong, as fractions of the crop.
    size_wh : (int, int)
        Width and height of the crop in pixels.

    Returns
    -------
    uint8 array of shape (N, h, w) or (N, h, w, C)
    """
    width, height = size_wh
    target = np.asarray(framing_xy, np.float64) * (width, height)
    crops = np.empty((len(landmarks_xy), height, width, *image.shape[2:]), np.uint8)
    for crop, matrix in zip(crops, similarity_transform(landmarks_xy, target), strict=True):
        crop[:] = _warp(image, matrix, size_wh)
    return crops


def _warp(
    image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], size_wh: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    shrink = max(1, round(1.0 / scale))
    left, top, right, bottom = _region(image, matrix, size_wh, margin_px=2 * shrink)
    region = image[top:bottom, left:right]
    to_source = np.vstack([matrix, [0, 0, 1]]) @ _shift(left, top)
    if shrink > 1 and min(region.shape[:2]) >= shrink:
        rows, columns = region.shape[0] // shrink, region.shape[1] // shrink
        region = np.asarray(
            cv2.resize(region[: rows * shrink, : columns * shrink], (columns, rows), interpolation=cv2.INTER_AREA),
            np.uint8,
        )
        to_source = to_source @ np.diag([shrink, shrink, 1.0])
    # OpenCV puts pixel centres at whole numbers; landmarks count from the corner of the first pixel.
    centred = _shift(-0.5, -0.5) @ to_source @ _shift(0.5, 0.5)
    return np.asarray(
        cv2.warpAffine(region, centred[:2], size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
        np.uint8,
    )


def _region(
    image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], size_wh: tuple[int, int], margin_px: int
) -> tuple[int, int, int, int]:
    """The part of the image that the crop needs, as left, top, right, bottom, at least one pixel large."""
    height, width = image.shape[:2]
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    w, h = size_wh
    corners = (back @ np.array([[0, w, 0, w], [0, 0, h, h], [1, 1, 1, 1]], np.float64))[:2]
    low = np.floor(corners.min(axis=1)) - margin_px
    high = np.ceil(corners.max(axis=1)) + margin_px
    left, right = np.clip([low[0], high[0]], 0, width).astype(int)
    top, bottom = np.clip([low[1], high[1]], 0, height).astype(int)
    # Reflection needs something to reflect: at the border at least as much as lies outside is kept inside.
    if low[0] < 0:
        right = min(width, max(right, int(np.ceil(-low[0]))))
    if high[0] > width:
        left = max(0, min(left, int(np.floor(2 * width - high[0]))))
    if low[1] < 0:
        bottom = min(height, max(bottom, int(np.ceil(-low[1]))))
    if high[1] > height:
        top = max(0, min(top, int(np.floor(2 * height - high[1]))))
    left, top = min(left, width - 1), min(top, height - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _shift(x: float, y: float) -> npt.NDArray[np.float64]:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
