"""Alignment of faces by a similarity transform (rotation, scale, shift; never a shear or a mirror image)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from mien.opencv import warped

__all__ = ["align_faces", "crop_corners_xy", "crop_sides_px", "similarity_transform"]


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


def crop_sides_px(
    landmarks_xy: npt.NDArray[np.floating], framing_xy: Sequence[tuple[float, float]], size_wh: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """How large the crops of `align_faces` are in the photo: the longer side in its pixels, float64 of shape (N,)."""
    matrices = similarity_transform(landmarks_xy, np.asarray(framing_xy, np.float64) * size_wh)
    sides_px: npt.NDArray[np.float64] = max(size_wh) / np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    return sides_px


def crop_corners_xy(
    landmarks_xy: npt.NDArray[np.floating], framing_xy: Sequence[tuple[float, float]], size_wh: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Where the crops of `align_faces` lie in the photo.

    Returns
    -------
    float64 array of shape (N, 4, 2)
        Top left, top right, bottom right and bottom left of each crop, in pixels of the photo, where (0, 0) is the
        outer corner of the first pixel.
    """
    matrices = similarity_transform(landmarks_xy, np.asarray(framing_xy, np.float64) * size_wh)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * size_wh
    # Of a row vector p the crop has p @ turn.T + shift.
    turn, shift = matrices[:, :, :2], matrices[:, None, :, 2]
    return np.asarray((corners - shift) @ np.linalg.inv(turn).transpose(0, 2, 1), np.float64)


def _warp(
    image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], size_wh: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    shrink = max(1, round(1.0 / scale))
    left, top, right, bottom = _bounds(matrix, size_wh, margin_px=3 * shrink)
    region, left, top = _cut(image, (left, top, right, bottom), shrink)
    to_crop = matrix @ np.array([[shrink, 0, left], [0, shrink, top], [0, 0, 1]])
    # Enlarged by cubic interpolation, small faces are read better than by linear (benchmarks/robustness.py --linear).
    interpolation = cv2.INTER_CUBIC if scale * shrink > 1.0 else cv2.INTER_LINEAR
    return warped(region, to_crop, size_wh, interpolation=interpolation, border=cv2.BORDER_REPLICATE)


def _bounds(matrix: npt.NDArray[np.float64], size_wh: tuple[int, int], margin_px: int) -> tuple[int, int, int, int]:
    """The part of the image plane that the crop shows, as left, top, right, bottom; it may lie outside the image."""
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    w, h = size_wh
    corners = (back @ np.array([[0, w, 0, w], [0, 0, h, h], [1, 1, 1, 1]], np.float64))[:2]
    left, top = (np.floor(corners.min(axis=1)) - margin_px).astype(int)
    right, bottom = (np.ceil(corners.max(axis=1)) + margin_px).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _cut(
    image: npt.NDArray[np.uint8], bounds: tuple[int, int, int, int], shrink: int
) -> tuple[npt.NDArray[np.uint8], int, int]:
    """Cut the bounds out of the image, averaged down by `shrink` and completed by reflection.

    Returns the region and where its left and top lie in the image, in pixels of the image.
    """
    height, width = image.shape[:2]
    (left, right), add_x = _inside(bounds[0], bounds[2], width)
    (top, bottom), add_y = _inside(bounds[1], bounds[3], height)
    region = image[top:bottom, left:right]
    if shrink > 1:
        columns, rows = max(1, region.shape[1] // shrink), max(1, region.shape[0] // shrink)
        region = region[: rows * shrink, : columns * shrink]
        region = np.asarray(cv2.resize(region, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    if any((*add_x, *add_y)):
        # Not left to warpAffine, which can take for ever to reflect at the border of a tiny image (OpenCV 5.0).
        add_x, add_y = [[-(-add // shrink) for add in adds] for adds in (add_x, add_y)]
        region = np.asarray(
            cv2.copyMakeBorder(region, add_y[0], add_y[1], add_x[0], add_x[1], cv2.BORDER_REFLECT_101), np.uint8
        )
    return region, left - add_x[0] * shrink, top - add_y[0] * shrink


def _inside(low: int, high: int, size: int) -> tuple[tuple[int, int], list[int]]:
    """Along one axis: what to take of the image, and how much to add by reflection before and after it."""
    add = [max(0, -low), max(0, high - size)]
    # Reflection needs something to reflect: at the border at least as much as lies outside is kept inside.
    start = min(max(low, 0), size - 1, size - 1 - min(add[1], size - 1))
    end = max(min(high, size), start + 1, min(add[0] + 1, size))
    # Nothing sensible lies further out than the image is large; the edge is continued there.
    return (start, end), [min(amount, 4 * (end - start)) for amount in add]
