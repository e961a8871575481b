"""The plain VGG-like networks that mien ships: 3x3 convolutions, nothing to branch or to skip.

At 48 x 48 pixels they are as accurate as residual networks of the same cost and run fastest on a CPU, since every
layer is one dense convolution that an int8 kernel does well. While they are trained, they may have branches.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mien.errors import UsageError
from mien.train.architectures.network import Backbone
from mien.train.architectures.spec import NetworkSpec

__all__ = ["BlurPool", "PlainBackbone", "RepVGGConv", "build"]

_MOST_CHANNELS = 4096
"""Eight times those of the largest shipped one; beyond, torch runs out of memory or numbers."""


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


class RepVGGConv(nn.Module):
    """A 3x3 convolution with branches beside it, to be trained; afterwards all of it is one 3x3 convolution.

    The branches, which are added up, are the 3x3 convolution, a 1x1 convolution and, if there are as many channels
    before as after, the input as it is, each with a batch norm (RepVGG, Ding et al. 2021, arXiv:2101.03697).

    Parameters
    ----------
    inputs, outputs : int
        Channels before and after.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        sides = (3, 1, 0) if inputs == outputs else (3, 1)
        self.branches = nn.ModuleList(_Branch(inputs, outputs, side) for side in sides)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps of shape (N, outputs, H, W) for (N, inputs, H, W)."""
        total: torch.Tensor = functools.reduce(operator.add, [branch(maps) for branch in self.branches])
        return total

    @torch.no_grad()
    def folded(self) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
        """The one 3x3 convolution with its batch norm that answers as the branches do in evaluation mode.

        In training mode it answers much like them: its mean is that of their sum, and its variance, too, as far as they
        vary independently of each other.
        """
        parts = [branch.scaled() for branch in self.branches if isinstance(branch, _Branch)]
        kernel, bias, mean, variance = (torch.stack(values).sum(dim=0) for values in zip(*parts, strict=True))
        conv, norm = _conv_norm(kernel.shape[1], kernel.shape[0])
        conv.load_state_dict({"weight": kernel})
        scale = (variance + norm.eps).sqrt()
        values = {"weight": scale, "bias": bias, "running_mean": mean, "running_var": variance}
        norm.load_state_dict({**norm.state_dict(), **values})
        return conv, norm


class _Branch(nn.Module):
    """A convolution with kernels of this side, or with none if it is 0, and a batch norm."""

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False) if side else nn.Identity()
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.norm(self.conv(maps))
        return normed

    def scaled(self) -> tuple[torch.Tensor, ...]:
        """What it does, in float64.

        Kernels of shape (outputs, inputs, 3, 3), with the norm's scale in them; and, of shape (outputs,), the norm's
        bias and the mean and variance of what the kernels give.
        """
        names = ("weight", "bias", "running_mean", "running_var")
        weight, bias, mean, variance = (self.norm.state_dict()[name].double() for name in names)
        scale = weight / (variance + self.norm.eps).sqrt()
        if isinstance(self.conv, nn.Conv2d):
            rim = 1 - self.conv.kernel_size[0] // 2
            kernel = self.conv.weight.double()
        else:
            rim = 1
            kernel = torch.diag(torch.ones_like(scale))[:, :, None, None]
        kernel = scale[:, None, None, None] * functional.pad(kernel, (rim,) * 4)
        return kernel, bias, scale * mean, scale.square() * variance


def _conv_norm(inputs: int, outputs: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)


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
    repvgg : bool
        Each convolution with its norm is a `RepVGGConv`, until `fold`.
    """

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, ...],
        convs_per_stage: int,
        *,
        blur_pools: int = 0,
        repvgg: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for stage, width in enumerate(widths):
            for _ in range(convs_per_stage):
                layers += [RepVGGConv(channels, width)] if repvgg else _conv_norm(channels, width)
                layers.append(nn.ReLU(inplace=True))
                channels = width
            layers.append(BlurPool() if stage >= len(widths) - blur_pools else nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.out_features = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of shape (N, last width)."""
        features: torch.Tensor = self.features(images).mean(dim=(2, 3))
        return features

    def fold(self) -> dict[str, Any]:
        """Replace each `RepVGGConv` by the convolution and the norm that it has become."""
        layers: list[nn.Module] = []
        for layer in self.features:
            layers += layer.folded() if isinstance(layer, RepVGGConv) else [layer]
        self.features = nn.Sequential(*layers)
        return {"repvgg": False}


def build(spec: NetworkSpec, pretrained: object) -> PlainBackbone:  # noqa: ARG001 - the signature of every builder
    """Build from the options ``widths``, ``convs_per_stage``, ``blur_pools`` and ``repvgg``."""
    names = ("widths", "convs_per_stage", "blur_pools", "repvgg")
    widths, convs, blur_pools, repvgg = (spec.options[name] for name in names)
    numbers = (*widths, convs) if isinstance(widths, tuple) and widths else (0,)
    if not all(isinstance(number, int) and 0 < number <= _MOST_CHANNELS for number in numbers):
        raise UsageError(
            f"architecture '{spec.architecture}': expected widths and convs_per_stage from 1 to {_MOST_CHANNELS:,}, "
            f"whole numbers; got {widths} and {convs}"
        )
    if type(blur_pools) is not int or not 0 <= blur_pools <= len(widths):
        raise UsageError(
            f"architecture '{spec.architecture}': expected blur_pools from 0 to {len(widths)}, the number of stages; "
            f"got {blur_pools}"
        )
    if not isinstance(repvgg, bool):
        raise UsageError(f"architecture '{spec.architecture}': expected repvgg to be true or false; got {repvgg}")
    if spec.size_px < 2 ** len(widths):
        raise UsageError(
            f"architecture '{spec.architecture}': {len(widths)} stages halve the input {len(widths)} times, "
            f"but it has only {spec.size_px} px; expected at least {2 ** len(widths)}"
        )
    return PlainBackbone(spec.in_channels, widths, convs, blur_pools=blur_pools, repvgg=repvgg)
