"""Small convolutional networks that the field starts from.

The projects of the field give their layers, not always their widths; where they differ, the widths are ours.
"""

from __future__ import annotations

import torch
from torch import nn

from mien.train.architectures.network import Backbone
from mien.train.architectures.spec import NetworkSpec

__all__ = ["build_cnn2", "build_cnn4", "build_simple_cnn"]


class _Flat(Backbone):
    """Layers whose feature maps are flattened, and dense layers behind them."""

    def __init__(self, features: list[nn.Module], dense: list[nn.Module], out_features: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.dense = nn.Sequential(nn.Flatten(), *dense)
        self.out_features = out_features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of shape (N, out_features)."""
        features: torch.Tensor = self.dense(self.features(images))
        return features


def build_cnn2(spec: NetworkSpec, pretrained: object) -> Backbone:  # noqa: ARG001 - the signature of every builder
    """Two blocks of [convolution, batch norm, ReLU, max pool]; the head is the one linear layer."""
    features: list[nn.Module] = []
    channels = spec.in_channels
    for width in (32, 64):
        features += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        features.append(nn.MaxPool2d(2))
        channels = width
    return _Flat(features, [], channels * (spec.size_px // 4) ** 2)


def build_simple_cnn(spec: NetworkSpec, pretrained: object) -> Backbone:  # noqa: ARG001
    """Three times [convolution, ReLU, max pool], and a dense layer; the softmax is that of the loss."""
    features: list[nn.Module] = []
    channels = spec.in_channels
    for width in (32, 64, 128):
        features += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    dense = [nn.Linear(channels * (spec.size_px // 8) ** 2, 256), nn.ReLU()]
    return _Flat(features, dense, 256)


def build_cnn4(spec: NetworkSpec, pretrained: object) -> Backbone:  # noqa: ARG001
    """Four blocks of [convolution, batch norm, ReLU, dropout, max pool], two of [dense, batch norm, ReLU, dropout].

    The last dropout, before the heads, is the one that every network has.
    """
    drop = float(spec.options["block_dropout"])
    features: list[nn.Module] = []
    channels = spec.in_channels
    for width, kernel in ((64, 3), (128, 5), (512, 3), (512, 3)):
        features += [nn.Conv2d(channels, width, kernel, padding="same", bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        features += [nn.Dropout(drop), nn.MaxPool2d(2)]
        channels = width
    dense: list[nn.Module] = []
    width_in = channels * (spec.size_px // 16) ** 2
    for width in (256, 512):
        dense += [nn.Linear(width_in, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(drop)]
        width_in = width
    return _Flat(features, dense[:-1], width_in)
