"""The architectures that can be trained, by name. Imports no torch: a network's code is loaded when it is built."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mien.errors import UsageError, import_extra
from mien.options import nearest_hint
from mien.train.architectures.card import TIMM, Architecture, ArchitectureCard
from mien.train.architectures.catalogue import CATALOGUE
from mien.train.architectures.spec import HeadSpec, NetworkSpec
from mien.zoo.card import PerChannel

if TYPE_CHECKING:
    from pathlib import Path

    from mien.train.architectures.card import Builder
    from mien.train.architectures.network import Backbone, ExpressionNetwork

__all__ = [
    "build_network",
    "find_architecture",
    "list_architectures",
    "make_spec",
    "register",
    "registered_builder",
]

_REGISTRY: dict[str, Architecture] = {}


def register(card: ArchitectureCard, build: Builder | str) -> None:
    """Add an architecture.

    Parameters
    ----------
    card : ArchitectureCard
        What is known of it; its name is what recipes ask for.
    build : callable or str
        Takes a `NetworkSpec` (whose options are complete) and whether pretrained weights are wanted (or the file that
        holds them), and returns a `mien.train.architectures.network.Backbone`. As a string ``"module:function"`` it is
        imported when needed.

    Raises
    ------
    UsageError
        If the name is taken.
    """
    if card.name in _REGISTRY or card.name.startswith(TIMM):
        raise UsageError(f"architecture '{card.name}' is registered already; names must be unique")
    _REGISTRY[card.name] = Architecture(card, _later(build) if isinstance(build, str) else build)


def list_architectures() -> dict[str, ArchitectureCard]:
    """The cards by name, in the order of registration. Any ``timm:NAME`` can be built besides."""
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
    if name in _REGISTRY:
        return _REGISTRY[name]
    if name.startswith(TIMM):
        import_extra("Building a network", "torch", "train")
        import_extra("Building a network", "timm", "train")
        from mien.train.architectures.timm_models import find_timm

        return find_timm(name)
    raise UsageError(
        f"unknown architecture '{name}'; expected one of {', '.join(_REGISTRY)}, timm:NAME for any of timm's, or one "
        "of your own that was registered before (mien.train.architectures.register)"
        f"{nearest_hint(name, _REGISTRY)}"
    )


def registered_builder(name: str) -> Builder | None:
    """What builds a registered architecture; None where there is none of that name, or timm builds it."""
    entry = _REGISTRY.get(name)
    return None if entry is None else entry.build


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
    """The specification of a network; what is left out is taken from the architecture's card.

    Parameters
    ----------
    architecture : str or ArchitectureCard
        A name of the registry, ``"timm:NAME"``, or a card.
    heads : sequence of HeadSpec, optional
        The outputs in order; the first one is the model's answer.
    size_px, channels, mean, std, dropout
        As in `NetworkSpec`; by default those of the card.
    options : mapping of str to value, optional
        Some of the architecture's own options.

    Raises
    ------
    UsageError
        If the architecture or an option is unknown, or a value does not fit.
    """
    card = find_architecture(architecture).card if isinstance(architecture, str) else architecture
    given = {"heads": heads, "size_px": size_px, "mean": mean, "std": std, "dropout": dropout}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(card.spec(channels), options=_complete(card, options or {}), **changes)


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
    import_extra("Building a network", "torch", "train")
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


def _complete(card: ArchitectureCard, given: Mapping[str, Any]) -> dict[str, Any]:
    for name in given:
        if name not in card.options:
            raise UsageError(
                f"architecture '{card.name}' has no option '{name}'; it has {', '.join(card.options) or 'none'}"
                f"{nearest_hint(name, card.options)}"
            )
    return {**card.options, **given}


def _later(address: str) -> Builder:
    module, function = address.split(":")

    def build(spec: NetworkSpec, pretrained: bool | Path) -> Backbone:
        backbone: Backbone = getattr(importlib.import_module(module), function)(spec, pretrained)
        return backbone

    build.__module__ = module  # where it really is from
    return build


# At the end: `register` and what it calls stand above.
for _card, _build in CATALOGUE:
    register(_card, _build)
