"""Blur and low resolution as matrices: both are linear, and the same along rows and along columns.

A face that is 20 px wide in a photo is enlarged before a model reads it. Averaging a sharp face down to 20 px and
enlarging it again gives just that picture. Each side has its own pair of matrices, so a batch in which every image has
another resolution is one pair of matrix products, with no loop and no shape that changes.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

__all__ = ["apply_matrices", "area_weights", "blur_matrices", "resolution_bank"]


def area_weights(size_px: int, side_px: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """The matrix that averages a line of `size_px` pixels down to `side_px`: float32 of shape (side_px, size_px).

    Its weights are those of OpenCV's area averages, also where a pixel falls to two others: torch's own ("area") gives
    both all of it. Made where it is used: numbers sent to a GPU would make the host wait for it.
    """
    ratio = size_px / side_px
    left = torch.arange(side_px, dtype=torch.float64, device=device)[:, None] * ratio
    pixel = torch.arange(size_px, dtype=torch.float64, device=device)
    covered = torch.minimum(left + ratio, pixel + 1.0) - torch.maximum(left, pixel)
    return (covered.clamp_min(0.0) / ratio).float()


def resolution_bank(size_px: int, sides_px: tuple[int, ...]) -> torch.Tensor:
    """The matrices that average a line of `size_px` pixels down to each of some sides and enlarge it again.

    The weights are OpenCV's own, by area averages and cubic interpolation, as `mien.classify.preprocess` scales.

    Parameters
    ----------
    size_px : int
    sides_px : tuple of int
        In [1, size_px]; `size_px` itself gives the unit matrix.

    Returns
    -------
    float32 tensor of shape (len(sides_px), size_px, size_px)
        Rows sum to 1.
    """
    unit = np.eye(size_px, dtype=np.float32)
    bank = np.empty((len(sides_px), size_px, size_px), np.float32)
    for number, side in enumerate(sides_px):
        down = cv2.resize(unit, (size_px, side), interpolation=cv2.INTER_AREA)
        bank[number] = cv2.resize(down, (size_px, size_px), interpolation=cv2.INTER_CUBIC) if side < size_px else unit
    return torch.from_numpy(bank)


def blur_matrices(sigma_px: torch.Tensor, size_px: int) -> torch.Tensor:
    """Gaussian blur of a line of `size_px` pixels, by each of some standard deviations.

    Parameters
    ----------
    sigma_px : float tensor of shape (N,)
        0 gives the unit matrix.
    size_px : int

    Returns
    -------
    float32 tensor of shape (N, size_px, size_px)
        Rows sum to 1, also at the border.
    """
    at = torch.arange(size_px, device=sigma_px.device, dtype=torch.float32)
    squared = (at[:, None] - at[None, :]).square()
    weights = torch.exp(-squared / (2.0 * sigma_px.float().square() + 1e-6)[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)


def apply_matrices(images: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Each image with its own matrix along its rows and its columns.

    Parameters
    ----------
    images : float tensor of shape (N, C, S, S)
    matrices : float tensor of shape (N, T, S)
        Or (1, T, S), one for all.

    Returns
    -------
    float tensor of shape (N, C, T, T)
    """
    along = matrices[:, None]
    return along @ images @ along.transpose(2, 3)
