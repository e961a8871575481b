"""The plain VGG-like networks that mien ships: 3x3 convolutions, nothing to branch or to skip.

At 48 x 48 pixels they are as accurate as residual networks of the same cost and run fastest on a CPU, since every
layer is one dense convolution that an int8 kernel does well.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from mien.errors import UsageError
from mien.train.architectures.network import Backbone
from mien.train.architectures.spec import NetworkSpec

__all__ = ["BlurPool", "PlainBackbone", "build"]


class BlurPool(nn.Module):
    """Halves the maps with less regard to where the grid lies: the average of four overlapping maxima.

    A plain 2x2 max pool keeps every other maximum, so what it gives changes when a face moves by one pixel. This one
    takes the maxima at every place, and averages before it leaves any out (Zhang 2019, arXiv:1904.11486, with the
    smallest of its filters: one average pool, which int8 kernels have). It has no weights: a network trained with one
    kind of pool can go on with the other.
    """

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps of shape (N, C, (H + 1) // 2, (W + 1) // 2) for (N, C, H, W)."""
        return functional.avg_pool2d(functional.max_pool2d(maps, 2, stride=1, padding=1), 2)


class PlainBackbone(Backbone):
    """Stages of [3x3 convolution, batch norm, ReLU] and a 2x2 pool; global average.

    Parameters
    ----------
    in_channels : int
    widths : tuple of int
        Channels of each stage.
    convs_per_stage : int
        3x3 convolutions of each stage.
    blur_pools : int
        How many of the stages, counted from the last, end with a `BlurPool`, and not with a max pool.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], convs_per_stage: int, *, blur_pools: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for stage, width in enumerate(widths):
            for _ in range(convs_per_stage):
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                channels = width
            layers.append(BlurPool() if stage >= len(widths) - blur_pools else nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.out_features = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of shape (N, last width)."""
        features: torch.Tensor = self.features(images).mean(dim=(2, 3))
        return features


def build(spec: NetworkSpec, pretrained: object) -> PlainBackbone:  # noqa: ARG001 - the signature of every builder
    """Build from the options ``widths``, ``convs_per_stage`` and ``blur_pools``."""
    widths, convs, blur_pools = (spec.options[name] for name in ("widths", "convs_per_stage", "blur_pools"))
    numbers = (*widths, convs) if isinstance(widths, tuple) and widths else (0,)
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        raise UsageError(
            f"architecture '{spec.architecture}': expected widths and convs_per_stage above 0, whole numbers; "
            f"got {widths} and {convs}"
        )
    if type(blur_pools) is not int or not 0 <= blur_pools <= len(widths):
        raise UsageError(
            f"architecture '{spec.architecture}': expected blur_pools from 0 to {len(widths)}, the number of stages; "
            f"got {blur_pools}"
        )
    if spec.size_px < 2 ** len(widths):
        raise UsageError(
            f"architecture '{spec.architecture}': {len(widths)} stages halve the input {len(widths)} times, "
            f"but it has only {spec.size_px} px; expected at least {2 ** len(widths)}"
        )
    return PlainBackbone(spec.in_channels, widths, convs, blur_pools=blur_pools)
