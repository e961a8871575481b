"""The architectures that can be trained, by name. Imports no torch: a network's code is loaded when it is built."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mien.errors import MissingExtraError, UsageError
from mien.train.architectures.spec import FER7_HEAD, HeadSpec, NetworkSpec
from mien.zoo.card import PerChannel

if TYPE_CHECKING:
    from pathlib import Path

    from mien.train.architectures.network import Backbone, ExpressionNetwork

    Builder = Callable[["NetworkSpec", "bool | Path"], "Backbone"]

__all__ = [
    "Architecture",
    "ArchitectureCard",
    "build_network",
    "find_architecture",
    "list_architectures",
    "make_spec",
    "register",
]

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

    def to_dict(self) -> dict[str, Any]:
        """The card as plain Python values, for JSON."""
        spec = make_spec(self).to_dict()
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


_REGISTRY: dict[str, Architecture] = {}


def register(card: ArchitectureCard, build: Builder | str) -> None:
    """Add an architecture.

    Parameters
    ----------
    card : ArchitectureCard
    build : callable or str
        Takes a `NetworkSpec` (whose options are complete) and whether pretrained weights are wanted (or the file
        that holds them), and returns a
        `mien.train.architectures.network.Backbone`. As a string ``"module:function"`` it is imported when needed.

    Raises
    ------
    UsageError
        If the name is taken.
    """
    _fill()
    if card.name in _REGISTRY or card.name.startswith(TIMM):
        raise UsageError(f"architecture '{card.name}' is registered already; names must be unique")
    _REGISTRY[card.name] = Architecture(card, _later(build) if isinstance(build, str) else build)


def list_architectures() -> dict[str, ArchitectureCard]:
    """The cards by name, in the order of registration. Any ``timm:NAME`` can be built besides."""
    _fill()
    return {name: entry.card for name, entry in _REGISTRY.items()}


def find_architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises
    ------
    UsageError
        If there is none; the message names the nearest.
    MissingExtraError
        If a name of timm is asked for and timm is not installed.
    """
    _fill()
    if name in _REGISTRY:
        return _REGISTRY[name]
    if name.startswith(TIMM):
        _require("torch")
        _require("timm")
        from mien.train.architectures.timm_models import find_timm

        return find_timm(name)
    near = difflib.get_close_matches(name, _REGISTRY, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise UsageError(
        f"unknown architecture '{name}'; expected one of {', '.join(_REGISTRY)}, or timm:NAME for any of timm's{hint}"
    )


def make_spec(
    architecture: str | ArchitectureCard,
    heads: Sequence[HeadSpec] | None = None,
    *,
    size_px: int | None = None,
    channels: Literal["gray", "rgb"] | None = None,
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
    dropout: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> NetworkSpec:
    """A specification in which the architecture's card gives what is left out.

    Raises
    ------
    UsageError
        If the architecture or an option is unknown, or a value does not fit.
    """
    card = find_architecture(architecture).card if isinstance(architecture, str) else architecture
    channels = card.channels if channels is None else channels
    return NetworkSpec(
        architecture=card.name,
        heads=card.heads if heads is None else tuple(heads),
        size_px=card.size_px if size_px is None else size_px,
        channels=channels,
        mean=_for_channels(card.mean, channels) if mean is None else mean,
        std=_for_channels(card.std, channels) if std is None else std,
        dropout=card.dropout if dropout is None else dropout,
        options=_complete(card, options or {}),
    )


def build_network(spec: NetworkSpec, *, pretrained: bool | Path = False) -> ExpressionNetwork:
    """Build a network.

    Parameters
    ----------
    spec : NetworkSpec
        Options that it leaves out are those of the card.
    pretrained : bool or Path
        Start from weights that are fetched, or that lie in this file, instead of random ones.

    Returns
    -------
    ExpressionNetwork
        In training mode, on the CPU, in float32.

    Raises
    ------
    UsageError
        If the architecture is unknown, cannot be built so, or has no pretrained weights.
    DownloadError
        If pretrained weights cannot be fetched.
    ModelError
        If the file of pretrained weights is missing or of another network.
    MissingExtraError
        If torch or timm is not installed.
    """
    entry = find_architecture(spec.architecture)
    _require("torch")
    from mien.train.architectures.network import ExpressionNetwork

    card = entry.card
    if spec.size_px < card.min_size_px:
        raise UsageError(
            f"architecture '{card.name}' takes faces of at least {card.min_size_px} px; got size_px {spec.size_px}"
        )
    if pretrained and not card.timm:
        raise UsageError(
            f"architecture '{card.name}' has no pretrained weights; train it from scratch, or start from a checkpoint "
            "of mien (--start-from)"
        )
    if pretrained is True and not card.pretrained:
        raise UsageError(
            f"timm knows no pretrained weights of '{card.name}'; give a file of them (--pretrained-weights), or train "
            "from scratch"
        )
    spec = dataclasses.replace(spec, options=_complete(card, spec.options))
    return ExpressionNetwork(spec, entry.build(spec, pretrained))


def _for_channels(values: PerChannel, channels: str) -> PerChannel:
    return round(sum(values) / 3, 4) if isinstance(values, tuple) and channels == "gray" else values


def _complete(card: ArchitectureCard, given: Mapping[str, Any]) -> dict[str, Any]:
    for name in given:
        if name not in card.options:
            near = difflib.get_close_matches(name, card.options, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise UsageError(
                f"architecture '{card.name}' has no option '{name}'; it has {', '.join(card.options) or 'none'}{hint}"
            )
    return {**card.options, **given}


def _fill() -> None:
    """Register mien's own architectures, once (importing a module a second time does nothing)."""
    importlib.import_module("mien.train.architectures.catalogue")


def _later(address: str) -> Builder:
    module, function = address.split(":")

    def build(spec: NetworkSpec, pretrained: bool | Path) -> Backbone:
        backbone: Backbone = getattr(importlib.import_module(module), function)(spec, pretrained)
        return backbone

    return build


def _require(library: str) -> None:
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise MissingExtraError("Building a network", library, "train") from error
