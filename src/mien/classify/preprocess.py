"""THE preprocessing: how an image of a face becomes the input of an expression model.

Training, evaluation, export and recognition all come through here; what differs between models is on their cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mien.align import align_faces, crop_corners_xy, crop_sides_px
from mien.opencv import as_gray, completed, missing_px
from mien.zoo.card import InputSpec

__all__ = ["face_batch", "face_corners_xy", "face_sides_px", "whole_batch", "whole_corners_xy"]


def face_batch(
    image: npt.NDArray[np.uint8], landmarks_xy: npt.NDArray[np.floating], spec: InputSpec
) -> npt.NDArray[Any]:
    """Align the faces of one photo and make them a batch.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3)
        Gray or BGR; for a gray model give gray.
    landmarks_xy : float array of shape (N, 5, 2)
        In pixels of the image.
    spec : InputSpec
        Of the model's card.

    Returns
    -------
    array of shape (N, C, H, W)
        uint8, or normalised float32 where the card says so.
    """
    crops = align_faces(_channels(image, spec), landmarks_xy, spec.framing_xy, _size_wh(spec))
    return _to_batch(crops, spec)


def whole_batch(images: Sequence[npt.NDArray[np.uint8]], spec: InputSpec) -> npt.NDArray[Any]:
    """Make images that are cropped to the face already a batch.

    An image that is not of the model's proportions is completed by reflection of its border, so that no face is
    stretched; then it is scaled by area averages. An image of the model's own size passes unchanged.

    Parameters
    ----------
    images : sequence of uint8 arrays of shape (H, W) or (H, W, 3)
        Gray or BGR.
    spec : InputSpec
        Of the model's card.

    Returns
    -------
    array of shape (N, C, H, W)
        uint8, or normalised float32 where the card says so.
    """
    width, height = size_wh = _size_wh(spec)
    channels = () if spec.channels == "gray" else (3,)
    crops = np.empty((len(images), height, width, *channels), np.uint8)
    for crop, image in zip(crops, images, strict=True):
        framed = completed(_channels(image, spec), width / height)
        shrinks = framed.shape[0] > height or framed.shape[1] > width
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        crop[:] = framed if framed.shape[1::-1] == size_wh else cv2.resize(framed, size_wh, interpolation=interpolation)
    return _to_batch(crops, spec)


def face_sides_px(landmarks_xy: npt.NDArray[np.floating], spec: InputSpec) -> npt.NDArray[np.float64]:
    """How many pixels of the photo each crop of `face_batch` spans, float64 of shape (N,); the parameters are its."""
    return crop_sides_px(landmarks_xy, spec.framing_xy, _size_wh(spec))


def face_corners_xy(landmarks_xy: npt.NDArray[np.floating], spec: InputSpec) -> npt.NDArray[np.float64]:
    """Where the crops of `face_batch` lie in the photo: see `mien.align.crop_corners_xy`; the parameters are its."""
    return crop_corners_xy(landmarks_xy, spec.framing_xy, _size_wh(spec))


def whole_corners_xy(size_wh: tuple[int, int], spec: InputSpec) -> npt.NDArray[np.float64]:
    """Where the crop that `whole_batch` makes of an image lies: the image, with what completes its proportions.

    Parameters
    ----------
    size_wh : (int, int)
        Of the image, in pixels.
    spec : InputSpec
        Of the model's card.

    Returns
    -------
    float64 array of shape (4, 2)
        Top left, top right, bottom right and bottom left, in pixels of the image.
    """
    width, height = _size_wh(spec)
    add_x, add_y = missing_px(size_wh, width / height)
    left, top = -(add_x // 2), -(add_y // 2)
    right, bottom = left + size_wh[0] + add_x, top + size_wh[1] + add_y
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)


def _size_wh(spec: InputSpec) -> tuple[int, int]:
    if spec.size_wh is None:  # the card of an expression model refuses this
        raise ValueError("the model's card gives no input size")
    return spec.size_wh


def _channels(image: npt.NDArray[np.uint8], spec: InputSpec) -> npt.NDArray[np.uint8]:
    """The image as the model wants its channels: gray (H, W) or RGB (H, W, 3)."""
    if spec.channels == "gray":
        return as_gray(image)
    code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def _to_batch(crops: npt.NDArray[np.uint8], spec: InputSpec) -> npt.NDArray[Any]:
    batch = crops[:, None] if crops.ndim == 3 else crops.transpose(0, 3, 1, 2)
    batch = np.ascontiguousarray(batch)
    if spec.dtype == "float32":
        mean, std = (values.astype(np.float32) for values in spec.mean_and_std)
        return ((batch / np.float32(255.0) - mean) / std).astype(np.float32)
    return batch
