"""Mixup (Zhang et al. 2018, arXiv:1710.09412) and cutmix (Yun et al. 2019, arXiv:1905.04899), an image at a time.

Every image of a batch has its own coin, share and box. Its partner is its neighbour in the batch, which is as random as
any other, since batches come in random order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = ["Mix", "choose_mix", "inside_box", "mix_images", "mix_targets"]


class Mix(NamedTuple):
    """How each image of a batch is mixed with its neighbour.

    Attributes
    ----------
    keep : float tensor of shape (N,)
        How much of its own target an image keeps, at least about half; 1 where it is not mixed.
    box_xyxy : float tensor of shape (N, 4)
        Pixels that come from the neighbour; empty where the images are averaged instead.
    boxed : bool tensor of shape (N,)
        Whether the box counts (cutmix) or the average (mixup).
    """

    keep: torch.Tensor
    box_xyxy: torch.Tensor
    boxed: torch.Tensor


def choose_mix(
    uniform: torch.Tensor, gammas: torch.Tensor, size_px: int, share: torch.Tensor, *, mixup: bool, cutmix: bool
) -> Mix:
    """Turn random numbers into how images are mixed.

    Parameters
    ----------
    uniform : float tensor of shape (4, N)
        Evenly distributed in [0, 1).
    gammas : float tensor of shape (2, 2, N)
        Gamma variables: for mixup and for cutmix two each, of their alpha. Two of them make a share of
        Beta(alpha, alpha), of which the image keeps the larger part.
    size_px : int
        Side of the images.
    share : float tensor of shape ()
        Which share of the images is mixed.
    mixup, cutmix : bool
        Which ways there are; with both, half of the mixed images go each way.
    """
    coin, way, x, y = uniform.unbind()
    mixed = coin < share
    boxed = mixed & (way < (0.5 if mixup else 1.0) * float(cutmix))
    shares = (gammas[:, 0] / gammas.sum(dim=1).clamp_min(1e-30)).clamp(0.0, 1.0)
    # An image that kept less than half would be its neighbour once more, and its own face be missing from the batch.
    averages, boxes = torch.maximum(shares, 1.0 - shares).unbind()
    half = 0.5 * size_px * (1.0 - boxes).sqrt()
    edges = (x * size_px - half, y * size_px - half, x * size_px + half, y * size_px + half)
    box_xyxy = torch.stack(edges, dim=1).round().clamp(0, size_px) * boxed[:, None]
    inside = (box_xyxy[:, 2] - box_xyxy[:, 0]) * (box_xyxy[:, 3] - box_xyxy[:, 1]) / size_px**2
    keep = torch.where(boxed, 1.0 - inside, averages)
    return Mix(torch.where(mixed, keep, torch.ones_like(keep)), box_xyxy, boxed)


def mix_images(images: torch.Tensor, mix: Mix) -> torch.Tensor:
    """Mix each image with its neighbour.

    Parameters
    ----------
    images : float tensor of shape (N, C, S, S)
    mix : Mix

    Returns
    -------
    float tensor of shape (N, C, S, S)
    """
    inside = inside_box(mix.box_xyxy, images.shape[-1])
    own = torch.where(mix.boxed[:, None, None, None], 1.0 - inside, mix.keep[:, None, None, None])
    return images * own + images.roll(1, dims=0) * (1.0 - own)


def mix_targets(targets: torch.Tensor, mix: Mix) -> torch.Tensor:
    """Mix targets of shape (N, K) as `mix_images` mixed the images."""
    keep = mix.keep[:, None]
    return targets * keep + targets.roll(1, dims=0) * (1.0 - keep)


def inside_box(box_xyxy: torch.Tensor, size_px: int) -> torch.Tensor:
    """1 for the pixels inside each image's box and 0 outside, float of shape (N, 1, size_px, size_px)."""
    at = torch.arange(size_px, device=box_xyxy.device, dtype=box_xyxy.dtype)
    across = (at >= box_xyxy[:, 0:1]) & (at < box_xyxy[:, 2:3])
    down = (at >= box_xyxy[:, 1:2]) & (at < box_xyxy[:, 3:4])
    return (down[:, None, :, None] & across[:, None, None, :]).to(box_xyxy.dtype)
