"""The plain VGG-like networks that mien ships: 3x3 convolutions, nothing to branch or to skip.

At 48 x 48 pixels they are as accurate as residual networks of the same cost and run fastest on a CPU, since every
layer is one dense convolution that an int8 kernel does well.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from mien.errors import UsageError

__all__ = ["PlainConfig", "PlainNet"]


@dataclass(frozen=True)
class PlainConfig:
    """Shape of a `PlainNet` and the preprocessing that it was trained with.

    Attributes
    ----------
    widths : tuple of int
        Channels of each stage.
    convs_per_stage : int
        3x3 convolutions of each stage.
    size_px : int
        Side of the square gray input.
    mean, std : float
        Normalisation ``(pixel / 255 - mean) / std``; the defaults are those of the FER2013 Training split.
    fer7_classes, ferplus_classes : int
        Outputs of the two heads.
    dropout : float
        Probability of dropping a feature before the heads while training.
    """

    widths: tuple[int, ...]
    convs_per_stage: int = 2
    size_px: int = 48
    mean: float = 0.5077
    std: float = 0.255
    fer7_classes: int = 7
    ferplus_classes: int = 10
    dropout: float = 0.0

    def __post_init__(self) -> None:
        positive = (*self.widths, self.convs_per_stage, self.fer7_classes, self.ferplus_classes)
        if not self.widths or min(positive) < 1:
            raise UsageError(f"plain network: widths, convolutions and classes must be positive; got {self}")
        if self.size_px < 2 ** len(self.widths):
            raise UsageError(
                f"plain network: {len(self.widths)} stages halve the input {len(self.widths)} times, "
                f"but it has only {self.size_px} px; expected at least {2 ** len(self.widths)}"
            )
        if not self.std > 0 or not 0 <= self.dropout < 1:
            raise UsageError(f"plain network: expected std > 0 and dropout in [0, 1); got {self}")


class PlainNet(nn.Module):
    """Stages of [3x3 convolution, batch norm, ReLU] and a 2x2 max pool; global average; two linear heads.

    Parameters
    ----------
    config : PlainConfig
        Shape and preprocessing; kept as ``network.config``.
    """

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        channels = 1
        for width in config.widths:
            for _ in range(config.convs_per_stage):
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.fer_head = nn.Linear(channels, config.fer7_classes)
        self.ferplus_head = nn.Linear(channels, config.ferplus_classes)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Read normalised faces.

        Parameters
        ----------
        image : float tensor of shape (N, 1, size_px, size_px)
            Gray, normalised by `config.mean` and `config.std`.

        Returns
        -------
        (fer7, ferplus) : float tensors of shape (N, 7) and (N, 10)
            Logits of the two heads.
        """
        features = self.dropout(self.features(image).mean(dim=(2, 3)))
        return self.fer_head(features), self.ferplus_head(features)
