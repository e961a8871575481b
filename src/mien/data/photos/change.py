"""What happens to photos and their boxes in training and in measuring alike: tilts, and too little light."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["darken", "tilted_box"]

FloatArray = npt.NDArray[np.float32]
GrayImage = npt.NDArray[np.uint8]


def tilted_box(box_xyxy: FloatArray, matrix: npt.NDArray[np.float64]) -> FloatArray:
    """Boxes after a rotation with scaling: what holds the ellipse that filled the box before.

    A head is round: the box of a tilted face is that of the turned ellipse, not the much larger one that holds the
    corners of the old box.

    Parameters
    ----------
    box_xyxy : float array of shape (N, 4)
    matrix : float array of shape (2, 3)
        From old places to new ones.
    """
    centre = (box_xyxy[:, :2] + box_xyxy[:, 2:]) / 2
    half = (box_xyxy[:, 2:] - box_xyxy[:, :2]) / 2
    centre = centre @ matrix[:, :2].T + matrix[:, 2]
    half = np.sqrt(half**2 @ (matrix[:, :2] ** 2).T)
    return np.concatenate((centre - half, centre + half), axis=1).astype(np.float32)


def darken(image: GrayImage, rng: np.random.Generator, share: float | None = None) -> GrayImage:
    """What a camera gives with too little light: a fraction of the brightness, and noise that stays.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3)
    rng : numpy Generator
    share : float, optional
        Of the light that is left; by default from 0.12 to 0.5 by chance.
    """
    share = share or math.exp(rng.uniform(math.log(0.12), math.log(0.5)))
    values = image.astype(np.float32) * share
    # Shot noise grows with the root of the light, read noise does not.
    values += rng.standard_normal(image.shape, np.float32) * (0.25 * np.sqrt(values) + rng.uniform(0.5, 3.0))
    return np.asarray(np.clip(values, 0, 255), np.uint8)
