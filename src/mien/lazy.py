"""Packages whose public names are loaded at first use (PEP 562), so that the command line starts quickly."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package.

    To be called under ``if not TYPE_CHECKING``: a type checker that sees a ``__getattr__`` believes that every name
    exists.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping of str to sequence of str
        The modules inside it, and the public names that each of them holds.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name in home_of:
            return getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)
        inside = not name.startswith("_") and importlib.util.find_spec(f"{package}.{name}") is not None
        hint = f"; it is a module of its own: import {package}.{name}" if inside else ""
        raise AttributeError(f"module '{package}' has no attribute '{name}'{hint}")

    def names() -> list[str]:
        # Without what the package itself imports, which completion would offer: `os`, `TYPE_CHECKING`.
        held = vars(sys.modules[package])
        own = {name for name in held if name.startswith("__") or f"{package}.{name}" in sys.modules}
        return sorted(own | home_of.keys())

    return get, names
