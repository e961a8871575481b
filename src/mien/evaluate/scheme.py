"""Which labels are compared: what the model knows, what the dataset has, and what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import InputError
from mien.labels import FER7, NO_EXPRESSION, SCHEMES, LabelScheme, find_scheme
from mien.zoo.card import Head, ModelCard

__all__ = ["EvaluationTask", "choose_task"]


@dataclass(frozen=True)
class EvaluationTask:
    """What is asked of every model.

    Attributes
    ----------
    scheme : LabelScheme
        The labels that are compared.
    heads : tuple of Head
        For each model the output that serves them.
    target : int64 array of shape (N,)
        Each row's label in the scheme; -1 for rows whose class is in none of its labels.
    left_out : dict of str to int
        Those rows, by class.
    """

    scheme: LabelScheme
    heads: tuple[Head, ...]
    target: npt.NDArray[np.int64]
    left_out: dict[str, int]


def choose_task(
    spec: str | None,
    cards: Sequence[ModelCard],
    labels: tuple[str, ...],
    label: npt.NDArray[np.int64],
    source: str,
) -> EvaluationTask:
    """Find the labels on which models and dataset meet.

    Parameters
    ----------
    spec : str or None
        A label scheme; None for the classes of the dataset where the first model has an output of just these, else
        for all expressions of an output whose classes the dataset has. Fewer classes must be asked for.
    cards : sequence of ModelCard
        The models, at least one.
    labels : tuple of str
        The dataset's classes.
    label : int64 array of shape (N,)
        Index into `labels`.
    source : str
        The dataset, for errors.

    Raises
    ------
    InputError
        If the dataset lacks classes of the scheme, or no row is left.
    ModelError
        If a model lacks classes of the scheme.
    UsageError
        If `spec` is no label scheme.
    """
    scheme = find_scheme(spec, labels) if spec is not None else _shared_scheme(cards[0], labels, source)
    heads = tuple(card.head_for(scheme) for card in cards)
    missing = [
        name for merged, names in scheme.members.items() if merged not in labels for name in names if name not in labels
    ]
    if missing:
        raise _lacking(source, f"the label scheme '{scheme.name}'", missing, labels, cards)
    position = {name: i for i, names in enumerate(scheme.members.values()) for name in names}
    position |= {merged: i for i, merged in enumerate(scheme.labels)}
    target = np.array([position.get(name, -1) for name in labels], np.int64)[label]
    counts = np.bincount(label[target < 0], minlength=len(labels))
    left_out = {name: int(count) for name, count in zip(labels, counts, strict=True) if count}
    if not (target >= 0).any():
        raise InputError(
            source, f"no row has one of the labels {', '.join(scheme.labels)}; its rows are {', '.join(left_out)}"
        )
    return EvaluationTask(scheme, heads, target, left_out)


def _shared_scheme(card: ModelCard, labels: tuple[str, ...], source: str) -> LabelScheme:
    have = set(labels)
    own = [tuple(name for name in head.labels if name not in NO_EXPRESSION) for head in card.heads]
    for scheme in SCHEMES.values():
        # Labels that no model has as classes (positive, negative) can only mean this scheme. A dataset that merely
        # lacks classes (happy, sad, neutral) is an easier task, which must be asked for.
        merged = not set(scheme.labels) <= scheme.classes
        if merged and set(scheme.labels) == have and any(scheme.classes <= set(names) for names in own):
            return scheme
    for names in sorted(own, key=lambda names: set(names) != have):
        if set(names) <= have:
            return SCHEMES["fer7"] if set(names) == set(FER7) else LabelScheme.of(names)
    missing = [name for name in own[0] if name not in have]
    raise _lacking(source, f"model '{card.name}'", missing, labels, [card])


def _lacking(
    source: str, whose: str, missing: Sequence[str], labels: tuple[str, ...], cards: Sequence[ModelCard]
) -> InputError:
    common = [name for name in labels if all(any(name in head.labels for head in card.heads) for card in cards)]
    plural = "es" if len(missing) > 1 else ""
    hint = f"; evaluate on those that both have: --labels {','.join(common)}" if len(common) > 1 else ""
    return InputError(
        source,
        f"lacks the class{plural} {', '.join(missing)} of {whose}; it has {', '.join(labels) or 'no class'}{hint}",
    )
