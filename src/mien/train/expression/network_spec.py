"""The network that a recipe asks for."""

from __future__ import annotations

import contextlib
from typing import Any

from mien.errors import UsageError
from mien.train.architectures import HeadSpec, NetworkSpec, find_architecture, make_spec
from mien.train.checkpoint import read_checkpoint
from mien.train.expression.rows import Rows, head_of, vote_head
from mien.train.options import ExpressionRecipe

__all__ = ["architecture_options", "make_network_spec"]


def make_network_spec(recipe: ExpressionRecipe, training: Rows) -> NetworkSpec:
    """The network that a recipe asks for, with the heads that its data can teach.

    Options that the recipe leaves out are those of the checkpoint that is started from, if it has the same
    architecture, and its `blur_pools` if both are plain networks: these hold no weights, so nobody would notice that
    they differ.

    Raises
    ------
    UsageError
        If the architecture or one of its options is unknown, or a value does not fit.
    ModelError
        If there is no checkpoint to start from.
    """
    model = recipe.model
    options = architecture_options(model.architecture_options)
    if model.start_from is not None:
        before = read_checkpoint(model.start_from).spec
        if before.architecture == model.architecture:
            options = {**before.options, **options}
        elif "blur_pools" in before.options and "blur_pools" in find_architecture(model.architecture).card.options:
            # Another plain network, such as a narrower one that takes the best channels.
            options = {"blur_pools": before.options["blur_pools"], **options}
    heads: list[HeadSpec] = [head_of(training.scheme)]
    votes = vote_head(training.faces) if recipe.loss.ferplus_weight else None
    if votes is not None:
        heads.append(votes)
    return make_spec(
        model.architecture,
        heads,
        size_px=model.size_px,
        channels=model.channels,  # type: ignore[arg-type] # checked by the options
        dropout=model.dropout,
        options=options,
    )


def architecture_options(items: tuple[str, ...]) -> dict[str, Any]:
    """The options ``NAME=VALUE`` of an architecture: whole numbers, numbers, true or false, words; ``64:128`` for two.

    Raises
    ------
    UsageError
        If one is not of this form.
    """
    options: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"architecture_options has '{item}'; expected NAME=VALUE, such as widths=64:128:256")
        parts = [_value(part) for part in value.split(":")]
        options[name.strip()] = tuple(parts) if len(parts) > 1 else parts[0]
    return options


def _value(text: str) -> Any:
    text = text.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
