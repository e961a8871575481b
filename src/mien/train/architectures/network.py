"""A backbone with its heads: the module that is trained, kept and exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mien.train.architectures.spec import NetworkSpec

__all__ = ["Backbone", "ExpressionNetwork"]


class Backbone(nn.Module):
    """Everything before the heads: normalised faces in, features out.

    Attributes
    ----------
    out_features : int
        Channels of the features.
    """

    out_features: int

    def new_head(self, classes: int) -> nn.Module:
        """A fresh head: features in, logits of shape (N, classes) out. One linear layer, unless overridden."""
        return nn.Linear(self.out_features, classes)

    def fold(self) -> Mapping[str, Any]:
        """Merge layers that only training needs into those beside them, in place: see `ExpressionNetwork.fold`.

        Returns
        -------
        mapping of str to value
            Options of the specification that are others afterwards. By default there is nothing to fold.
        """
        return {}


class ExpressionNetwork(nn.Module):
    """A backbone, dropout, and a head for each output of its specification.

    Parameters
    ----------
    spec : NetworkSpec
        Kept as ``network.spec``.
    backbone : Backbone
        Kept as ``network.backbone``.
    """

    def __init__(self, spec: NetworkSpec, backbone: Backbone) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        self.dropout = nn.Dropout(spec.dropout)
        self.heads = nn.ModuleList(backbone.new_head(len(head.labels)) for head in spec.heads)
        self._frozen = False
        # Tensors on the device: numbers from Python would make a GPU wait. Not saved: the specification has them.
        for name, values in zip(("_mean", "_std"), spec.input_spec().mean_and_std, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    _mean: torch.Tensor
    _std: torch.Tensor

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Read normalised faces.

        Parameters
        ----------
        images : float tensor of shape (N, C, size_px, size_px)
            One or three (RGB) channels, normalised by the specification's `mean` and `std`: see `normalise`.

        Returns
        -------
        tuple of float tensors of shape (N, classes)
            Logits, one tensor a head, in the order of the specification.
        """
        features = self.dropout(self.backbone(images))
        return tuple(head(features) for head in self.heads)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Images as float32 input of the network.

        Parameters
        ----------
        images : uint8 tensor of shape (N, C, size_px, size_px)
            Or float in [0, 1].
        """
        pictures = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        return (pictures - self._mean) / self._std

    @property
    def parameter_count(self) -> int:
        """Number of trained weights, frozen ones included."""
        return sum(weight.numel() for weight in self.parameters())

    def fold(self) -> None:
        """Become the network that is used: branches that only training needs go into the layers beside them.

        Answers in evaluation mode stay as they are, but for rounding.
        """
        changed = self.backbone.fold()
        self.spec = dataclasses.replace(self.spec, options={**self.spec.options, **changed})

    def freeze_backbone(self, frozen: bool = True) -> None:
        """Train the heads only: the backbone's weights and its batch statistics stay as they are.

        ``freeze_backbone(False)`` lets the backbone learn again.
        """
        self._frozen = frozen
        self.backbone.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> ExpressionNetwork:
        """Switch to training mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self._frozen:
            self.backbone.eval()
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        """See `forward`."""
        logits: tuple[torch.Tensor, ...] = super().__call__(*args, **kwargs)
        return logits
