"""A bright blob at a known place, to a hundredth of a pixel: what shows whether pictures and points move alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def blob(
    size_wh: tuple[int, int], middle_xy: tuple[float, float], sigma_px: float, ground: int = 0
) -> npt.NDArray[np.uint8]:
    """A round blob of 255 on a plain ground; (0, 0) is the outer corner of the first pixel: uint8 (H, W)."""
    x, y = (np.arange(side) + 0.5 - middle for side, middle in zip(size_wh, middle_xy, strict=True))
    share = np.exp(-(x**2 + y[:, None] ** 2) / (2 * sigma_px**2))
    return np.rint(ground + (255 - ground) * share).astype(np.uint8)


def blob_middle_xy(image: npt.NDArray[np.uint8], ground: int = 0) -> npt.NDArray[np.float64]:
    """Where the blob of an image (H, W) lies, (2,)."""
    weight = np.maximum(image.astype(np.float64) - ground, 0)
    row, column = np.indices(image.shape) + 0.5
    return np.array(((weight * column).sum(), (weight * row).sum())) / weight.sum()
