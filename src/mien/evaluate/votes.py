"""Scores against annotators' votes: the majority protocols of FER+."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.ferplus import VOTE_LABELS, majority
from mien.labels import EXPRESSIONS
from mien.metrics.runs import accuracy_scores

__all__ = ["PROTOCOLS", "ferplus_plurality", "ferplus_protocols"]

FloatArray = npt.NDArray[np.floating[Any]]
ByteArray = npt.NDArray[np.uint8]

PROTOCOLS = {
    "majority": (
        "after Barsoum et al. (2016): single votes are dropped, then the class with more than half of the votes is the "
        "truth; rows without one, and rows whose majority is unknown or not a face, are left out"
    ),
    "plurality": (
        "the most voted class is the truth; rows in which two classes share the most votes, and rows led by unknown or "
        "not a face, are left out (more and harder rows than the paper's protocol; the figure on model cards)"
    ),
}
"""What each protocol does, as a sentence."""


def ferplus_plurality(scores: FloatArray, head_labels: tuple[str, ...], votes: ByteArray) -> dict[str, Any]:
    """Accuracy against the class that most annotators chose: the protocol ``plurality``.

    Rows are left out where two classes share the most votes or where the most votes went to "unknown" or "not a
    face".

    Parameters
    ----------
    scores : float array of shape (N, K), or (S, N, K) of S runs
        Logits or probabilities of a head; the answer is taken among the eight expressions.
    head_labels : tuple of K str
        All eight expressions are among them.
    votes : uint8 array of shape (N, 10)
        In the order of `mien.data.ferplus.VOTE_LABELS`; zeros where a row has none.

    Returns
    -------
    dict
        Number of images that count, and where there is one, the accuracy with its 95 % interval.
    """
    most = votes.max(axis=1, keepdims=True)
    best = votes.argmax(axis=1)
    kept = ((votes == most).sum(axis=1) == 1) & (best < len(EXPRESSIONS))
    if not kept.any():
        return {"images": 0}
    columns = [head_labels.index(name) for name in VOTE_LABELS[: len(EXPRESSIONS)]]
    right = scores[..., kept, :][..., columns].argmax(axis=-1) == best[kept]
    return {"images": int(kept.sum()), **accuracy_scores(right)}


def ferplus_protocols(scores: FloatArray, head_labels: tuple[str, ...], votes: ByteArray) -> dict[str, Any]:
    """For each of `PROTOCOLS` what it does, the number of images and the accuracy with its interval.

    Parameters are those of `ferplus_plurality`.
    """
    answers = scores[..., [head_labels.index(name) for name in EXPRESSIONS]].argmax(axis=-1)
    truth = majority(votes)
    kept = truth >= 0
    found: dict[str, Any] = {"majority": {"protocol": PROTOCOLS["majority"], "images": int(kept.sum())}}
    if kept.any():
        found["majority"] |= accuracy_scores(answers[..., kept] == truth[kept])
    plurality = ferplus_plurality(scores, head_labels, votes)
    return {**found, "plurality": {"protocol": PROTOCOLS["plurality"], **plurality}}
