"""Network architectures: their registry, their cards as data, and one file a family.

`spec` (what a network is), `registry` (names and cards) and `catalogue` (the cards) import no torch; `network` and the
families do. The names here are loaded at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.train.architectures.network import Backbone, ExpressionNetwork
    from mien.train.architectures.registry import (
        ArchitectureCard,
        build_network,
        find_architecture,
        list_architectures,
        make_spec,
        register,
    )
    from mien.train.architectures.spec import FER7_HEAD, FERPLUS_HEAD, HeadSpec, NetworkSpec

__all__ = [
    "FER7_HEAD",
    "FERPLUS_HEAD",
    "ArchitectureCard",
    "Backbone",
    "ExpressionNetwork",
    "HeadSpec",
    "NetworkSpec",
    "build_network",
    "find_architecture",
    "list_architectures",
    "make_spec",
    "register",
]

_HOMES = {
    "network": ["Backbone", "ExpressionNetwork"],
    "registry": [
        "ArchitectureCard",
        "build_network",
        "find_architecture",
        "list_architectures",
        "make_spec",
        "register",
    ],
    "spec": ["FER7_HEAD", "FERPLUS_HEAD", "HeadSpec", "NetworkSpec"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"mien.train.architectures.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'mien.train.architectures' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
