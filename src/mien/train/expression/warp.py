"""The geometry of augmentation: one warp for each picture."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

__all__ = ["nudged", "warp_between", "warped"]

# The second view of a consistency loss: what a face's crop differs by when its landmarks are found anew.
_NUDGE_SHIFT, _NUDGE_SCALE, _NUDGE_DEG = 0.06, 0.08, 8.0


def warped(pictures: torch.Tensor, warp: torch.Tensor) -> torch.Tensor:
    """Pictures (N, C, S, S) through warps (N, 2, 3); what lies outside is mirrored in."""
    grid = functional.affine_grid(warp, list(pictures.shape), align_corners=False)
    mode, padding = "bilinear", "reflection"
    warped: torch.Tensor = functional.grid_sample(pictures, grid, mode, padding, align_corners=False)
    return warped


def warp_between(
    *,
    mirrored: torch.Tensor,
    angle: torch.Tensor,
    log_scale: torch.Tensor,
    log_aspect: torch.Tensor,
    shift: torch.Tensor,
    zoom: torch.Tensor,
    corner: torch.Tensor,
) -> torch.Tensor:
    """From output to input coordinates, both in [-1, 1]: mirror, stretch, turn, then into the part that is cropped.

    All are of shape (N,), `shift` and `corner` of shape (2, N); angles are in radians. Returned is (N, 2, 3).
    """
    across = zoom * torch.exp(-log_scale - 0.5 * log_aspect) * torch.where(mirrored, -1.0, 1.0)
    down = zoom * torch.exp(-log_scale + 0.5 * log_aspect)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    offset = zoom * shift + (1.0 - zoom) * corner
    rows = [cosine * across, -sine * down, offset[0], sine * across, cosine * down, offset[1]]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def nudged(pictures: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Each picture slightly shifted, scaled and turned, as a crop is when the landmarks of a face are found anew.

    Parameters
    ----------
    pictures : float tensor of shape (N, C, S, S)
    uniform : float tensor of shape (4, N)
        In [0, 1).
    """
    x, y, scale, turn = (2.0 * uniform - 1.0).unbind()
    still = torch.zeros_like(x)
    warp = warp_between(
        mirrored=still > 0,
        angle=turn * math.radians(_NUDGE_DEG),
        log_scale=scale * _NUDGE_SCALE,
        log_aspect=still,
        shift=2.0 * _NUDGE_SHIFT * torch.stack([x, y]),
        zoom=still + 1.0,
        corner=torch.stack([still, still]),
    )
    return warped(pictures, warp)
