"""What is known of an architecture before it is built. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mien.train.architectures.spec import FER7_HEAD, HeadSpec, NetworkSpec
from mien.zoo.card import PerChannel

if TYPE_CHECKING:
    from pathlib import Path

    from mien.train.architectures.network import Backbone

    Builder = Callable[[NetworkSpec, bool | Path], Backbone]

__all__ = ["TIMM", "Architecture", "ArchitectureCard"]

TIMM = "timm:"
"""Prefix of the names that timm knows."""


@dataclass(frozen=True)
class ArchitectureCard:
    """What there is to know about an architecture before it is built.

    Attributes
    ----------
    name : str
        How it is asked for.
    summary : str
        One sentence: its layers.
    origin : str
        The project or paper that it comes from.
    size_px : int
        Side of the square input that it is meant for, and the default.
    min_size_px : int
        The smallest side that it can be built for.
    channels : {"gray", "rgb"}
        The default; every architecture can be built for both.
    parameters : int or None
        Trained weights at the defaults of this card; None where only building it tells.
    licence : str
        Of its code, and of its pretrained weights where there are any.
    pretrained : str
        What its pretrained weights learned from and where they are fetched; empty where there are none.
    heads : tuple of HeadSpec
        The default.
    mean, std : float or tuple of three float
        The default normalisation; of one a channel, gray input takes the mean.
    dropout : float
        The default.
    options : mapping of str to value
        The architecture's own options with their defaults.
    timm : str
        The name that the library timm has for it, where timm builds it.
    """

    name: str
    summary: str
    origin: str
    size_px: int
    min_size_px: int
    parameters: int | None
    licence: str
    channels: Literal["gray", "rgb"] = "gray"
    pretrained: str = ""
    heads: tuple[HeadSpec, ...] = (FER7_HEAD,)
    mean: PerChannel = 0.5077
    std: PerChannel = 0.255
    dropout: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    timm: str = ""

    def spec(self, channels: Literal["gray", "rgb"] | None = None) -> NetworkSpec:
        """The network at the defaults of this card, for its own channels or for others."""
        channels = self.channels if channels is None else channels
        return NetworkSpec(
            architecture=self.name,
            heads=self.heads,
            size_px=self.size_px,
            channels=channels,
            mean=_for_channels(self.mean, channels),
            std=_for_channels(self.std, channels),
            dropout=self.dropout,
            options=self.options,
        )

    def to_dict(self) -> dict[str, Any]:
        """The card as plain Python values, for JSON."""
        spec = self.spec().to_dict()
        facts = {name: getattr(self, name) for name in ("name", "summary", "origin", "min_size_px", "parameters")}
        return facts | {key: spec[key] for key in spec if key != "architecture"} | {
            "licence": self.licence,
            "pretrained": self.pretrained,
        }  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """An entry of the registry: a card, and the function that builds the backbone."""

    card: ArchitectureCard
    build: Builder


def _for_channels(values: PerChannel, channels: str) -> PerChannel:
    return round(sum(values) / 3, 4) if isinstance(values, tuple) and channels == "gray" else values
