"""The plain VGG-like networks that mien ships: 3x3 convolutions, nothing to branch or to skip.

At 48 x 48 pixels they are as accurate as residual networks of the same cost and run fastest on a CPU, since every
layer is one dense convolution that an int8 kernel does well.
"""

from __future__ import annotations

import torch
from torch import nn

from mien.errors import UsageError
from mien.train.architectures.network import Backbone
from mien.train.architectures.spec import NetworkSpec

__all__ = ["PlainBackbone", "build"]


class PlainBackbone(Backbone):
    """Stages of [3x3 convolution, batch norm, ReLU] and a 2x2 max pool; global average.

    Parameters
    ----------
    in_channels : int
    widths : tuple of int
        Channels of each stage.
    convs_per_stage : int
        3x3 convolutions of each stage.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], convs_per_stage: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for width in widths:
            for _ in range(convs_per_stage):
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.out_features = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of shape (N, last width)."""
        features: torch.Tensor = self.features(images).mean(dim=(2, 3))
        return features


def build(spec: NetworkSpec, pretrained: object) -> PlainBackbone:  # noqa: ARG001 - the signature of every builder
    """Build from the options ``widths`` and ``convs_per_stage``."""
    widths, convs = spec.options["widths"], spec.options["convs_per_stage"]
    numbers = (*widths, convs) if isinstance(widths, tuple) and widths else (0,)
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        raise UsageError(
            f"architecture '{spec.architecture}': expected widths and convs_per_stage above 0, whole numbers; "
            f"got {widths} and {convs}"
        )
    if spec.size_px < 2 ** len(widths):
        raise UsageError(
            f"architecture '{spec.architecture}': {len(widths)} stages halve the input {len(widths)} times, "
            f"but it has only {spec.size_px} px; expected at least {2 ** len(widths)}"
        )
    return PlainBackbone(spec.in_channels, widths, convs)
