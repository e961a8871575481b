"""Losses and augmentations of one's own, by the names that a recipe gives them. No torch here.

Architectures of one's own have the same door: `mien.train.architectures.register`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mien.errors import UsageError
from mien.options import nearest_hint

if TYPE_CHECKING:
    import torch

    Augmentation = Callable[[torch.Tensor, float, torch.Generator], torch.Tensor]
    Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

__all__ = [
    "LOSSES",
    "find_augmentation",
    "find_loss",
    "origin_of",
    "register_augmentation",
    "register_loss",
]

F = TypeVar("F")

LOSSES = ("cross-entropy", "focal")
"""The losses on the labels that mien has."""
_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)

_losses: dict[str, Loss] = {}
_augmentations: dict[str, Augmentation] = {}


def register_loss(name: str, loss: Loss) -> None:
    """Add a loss on the labels, for ``loss: NAME`` in a recipe.

    Parameters
    ----------
    name : str
        By which recipes ask for it: a word of letters, digits, ``-`` and ``_``.
    loss : callable
        Takes the logits, a float32 tensor of shape (N, K), and the target mass, a float tensor of the same shape:
        the probability of each class, smoothed and mixed, times the weight of the face. Returns a tensor of shape (N,),
        each face's loss times its weight; mien divides their sum by the sum of the masses. The cross entropy is
        ``-(mass * logits.log_softmax(dim=1)).sum(dim=1)``.

    Raises
    ------
    UsageError
        If the name is taken, or is no word.
    """
    _register("loss", name, loss, _losses, LOSSES)


def register_augmentation(name: str, augment: Augmentation) -> None:
    """Add an augmentation, for ``own_augmentations: {NAME: STRENGTH}`` in a recipe.

    Parameters
    ----------
    name : str
        By which recipes ask for it: a word of letters, digits, ``-`` and ``_``.
    augment : callable
        Takes faces, a float32 tensor of shape (N, C, S, S) in [0, 1] on the device; the strength, a number above 0
        (the recipe's, less towards the end of the run); and a `torch.Generator` on the device, the only source of
        random numbers, so that a resumed run sees the same. Returns faces of the same shape. What leaves [0, 1] is
        clipped.

    Raises
    ------
    UsageError
        If the name is taken, or is no word.
    """
    _register("augmentation", name, augment, _augmentations, ())


def find_loss(name: str) -> Loss | None:
    """The registered loss of that name; None for one of mien's (UsageError if there is neither)."""
    return None if name in LOSSES else _find("loss", name, _losses, LOSSES)


def find_augmentation(name: str) -> Augmentation:
    """The registered augmentation of that name (UsageError if there is none)."""
    return _find("augmentation", name, _augmentations, ())


def origin_of(function: Any) -> str:
    """The module or program that a function is from; empty for mien's own."""
    module = str(getattr(function, "__module__", None) or type(function).__module__)
    if module.split(".")[0] == __name__.split(".")[0]:
        return ""
    file = getattr(sys.modules.get(module), "__file__", None)
    if module != "__main__" or file is None:
        return module
    path = Path(file).resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else os.fspath(path)


def _register(what: str, name: str, function: F, known: dict[str, F], others: tuple[str, ...]) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what} is called {name!r}; expected a word of letters, digits, '-' and '_'")
    if not callable(function):
        raise UsageError(f"{what} '{name}' is {function!r}; expected a function")
    if name in known or name in others:
        raise UsageError(f"{what} '{name}' is registered already; names must be unique")
    known[name] = function


def _find(what: str, name: str, known: dict[str, F], others: tuple[str, ...]) -> F:
    if name in known:
        return known[name]
    names = [*others, *known]
    raise UsageError(
        f"unknown {what} '{name}'; expected {' or '.join([', '.join(names), 'one'] if names else ['one'])} of your own "
        f"that was registered before (mien.train.register_{what}){nearest_hint(name, names)}"
    )
