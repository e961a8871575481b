"""Network architectures: their registry, their cards as data, and one file a family.

`spec` (what a network is), `card` (what is known of an architecture), `catalogue` (mien's own cards) and `registry`
(names) import no torch; `network` and the families do. The names here are loaded at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.lazy import lazy_names

if TYPE_CHECKING:
    from mien.train.architectures.card import ArchitectureCard
    from mien.train.architectures.network import Backbone, ExpressionNetwork
    from mien.train.architectures.registry import (
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

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "card": ["ArchitectureCard"],
            "network": ["Backbone", "ExpressionNetwork"],
            "registry": [
                "build_network",
                "find_architecture",
                "list_architectures",
                "make_spec",
                "register",
            ],
            "spec": ["FER7_HEAD", "FERPLUS_HEAD", "HeadSpec", "NetworkSpec"],
        },
    )
