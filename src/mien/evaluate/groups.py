"""Is a model as good for everybody? Scores by an attribute of the faces: gender, age, skin, the camera, ...

Groups differ in what they show: where children smile more than their grandparents, they are read better, since smiles
are. So a group is held against all other groups **at the same labels**: within each class the share of right answers
of the group less that of the others, averaged over the classes with the weights of Mantel and Haenszel (1959); its
interval after Sato (1989), its p value of the Cochran-Mantel-Haenszel test. The same is done for each wrong answer: who
is taken for angry, though labelled otherwise?
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mien.data.attributes import MOST_GROUPS, split_groups
from mien.errors import UsageError
from mien.metrics.classification import QUANTILE_975, detailed_scores, rounded
from mien.metrics.paired import holm

__all__ = ["StratifiedDifference", "group_scores", "stratified_difference"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Counts = npt.NDArray[np.float64]


class StratifiedDifference(NamedTuple):
    """How much more often something happens in one group than in the others, at the same labels.

    Attributes
    ----------
    difference : float
        Of the two shares, in [-1, 1]; above 0 where it happens more often in the group.
    interval_95 : (float, float)
    p_value : float
        Two-sided, in [0, 1].
    """

    difference: float
    interval_95: tuple[float, float]
    p_value: float


def stratified_difference(happened: BoolArray, inside: BoolArray, stratum: IntArray) -> StratifiedDifference | None:
    """Compare a group with the others within strata.

    The difference of Mantel and Haenszel (1959) with the variance of Sato (Biometrics 45, 1989), which holds for many
    thin strata and for few thick ones. The interval's width is that after it happened once more, and once more not, on
    either side (as Agresti and Caffo, 2000, do for two shares): where it always happened it still has one. The p value
    is that of the Cochran-Mantel-Haenszel test, without correction for continuity.

    Parameters
    ----------
    happened : bool array of shape (N,)
        What is compared, such as a right answer.
    inside : bool array of shape (N,)
        The rows of the group; all other rows are "the others".
    stratum : int64 array of shape (N,)
        From 0: the label.

    Returns
    -------
    StratifiedDifference or None
        None where no stratum has rows on both sides.
    """
    strata = int(stratum.max()) + 1 if len(stratum) else 0

    def count(rows: BoolArray) -> npt.NDArray[np.float64]:
        return np.bincount(stratum[rows], minlength=strata).astype(np.float64)

    own, others = count(inside), count(~inside)
    shared = (own > 0) & (others > 0)
    if not shared.any():
        return None
    n1, n0 = own[shared], others[shared]
    a, b = count(inside & happened)[shared], count(~inside & happened)[shared]
    total = n1 + n0
    weight = float((n1 * n0 / total).sum())
    difference = float(((a * n0 - b * n1) / total).sum()) / weight
    half = _half_width(_with_one_more(a, n1), _with_one_more(b, n0))
    hits = a + b
    spread = float((n1 * n0 * hits * (total - hits) / (total**2 * np.maximum(total - 1, 1))).sum())
    chance = 1.0
    if spread > 0:
        chance = math.erfc(abs(float((a - n1 * hits / total).sum())) / math.sqrt(2 * spread))
    return StratifiedDifference(difference, (max(difference - half, -1.0), min(difference + half, 1.0)), chance)


def _with_one_more(happened: Counts, rows: Counts) -> tuple[Counts, Counts]:
    """Counts by stratum after it happened once more, and once more not, in strata as large as they are."""
    share = rows / rows.sum()
    return happened + share, rows + 2 * share


def _half_width(own: tuple[Counts, Counts], others: tuple[Counts, Counts]) -> float:
    """Half of Sato's interval, from how often it happened in how many rows of each stratum on both sides."""
    (a, n1), (b, n0) = own, others
    total = n1 + n0
    weight = float((n1 * n0 / total).sum())
    difference = float(((a * n0 - b * n1) / total).sum()) / weight
    p = (n1**2 * b - n0**2 * a + n1 * n0 * (n0 - n1) / 2) / total**2
    q = (a * (n0 - b) + b * (n1 - a)) / (2 * total)
    return QUANTILE_975 * math.sqrt(max(difference * float(p.sum()) + float(q.sum()), 0.0)) / weight


def group_scores(
    attributes: Mapping[str, npt.NDArray[np.str_]],
    truth: IntArray,
    answers: IntArray,
    confidence: npt.NDArray[np.float64],
    names: Sequence[str],
) -> dict[str, Any]:
    """Scores by each attribute's groups, and each group against the others.

    Parameters
    ----------
    attributes : mapping of str to str array of shape (N,)
    truth, answers : int64 arrays of shape (N,)
        The class of each face, and the one that was answered, in [0, C).
    confidence : float64 array of shape (N,)
        Probability of the answer.
    names : sequence of C str
        The classes.

    Returns
    -------
    dict
        For each attribute ``unknown`` (faces in no group) and ``groups``: for each the scores of `detailed_scores`,
        ``mean_confidence``, ``right`` (how much more often than in the other groups an answer is right, at the same
        labels) and ``taken_for`` (for each class, how much more often faces of other classes are taken for it). Where
        they cannot be compared, None. ``p_value_holm`` holds for all groups of all attributes together.

    Raises
    ------
    UsageError
        If an attribute has fewer than two groups, or too many.
    """
    found: dict[str, Any] = {}
    tests: list[list[dict[str, Any]]] = []
    for attribute, values in attributes.items():
        groups = _groups(attribute, values)
        known = np.logical_or.reduce(list(groups.values()))
        part: dict[str, Any] = {}
        for name, inside in groups.items():
            right = _compared(truth == answers, inside, known, truth)
            part[name] = {
                **detailed_scores(truth[inside], answers[inside], tuple(names)),
                "mean_confidence": rounded(confidence[inside].mean()),
                "right": right,
                "taken_for": {
                    other: _compared(answers == index, inside, known & (truth != index), truth)
                    for index, other in enumerate(names)
                },
            }
        found[attribute] = {"unknown": int((~known).sum()), "groups": part}
        rights = [own["right"] for own in part.values() if own["right"] is not None]
        # Of two groups the second comparison is the first one turned round.
        tests += [rights] if len(part) == 2 and rights else [[right] for right in rights]
    for test, adjusted in zip(tests, holm([test[0]["p_value"] for test in tests]), strict=True):
        for right in test:
            right["p_value_holm"] = adjusted
    return found


def _groups(attribute: str, values: npt.NDArray[np.str_]) -> dict[str, BoolArray]:
    groups = split_groups(values)
    if groups is None:
        known = np.unique(values[values != ""])
        raise UsageError(
            f"the attribute '{attribute}' has {len(known):,} values, such as {known[0]}; expected at most "
            f"{MOST_GROUPS} groups, or numbers, which are cut into groups"
        )
    if len(groups) < 2:
        raise UsageError(
            f"the attribute '{attribute}' has {f'only the value {next(iter(groups))}' if groups else 'no value'} in "
            "this split; expected two groups at least"
        )
    return groups


def _compared(happened: BoolArray, inside: BoolArray, counted: BoolArray, stratum: IntArray) -> dict[str, Any] | None:
    found = stratified_difference(happened[counted], inside[counted], stratum[counted])
    if found is None:
        return None
    return {
        "difference": rounded(found.difference),
        "interval_95": [rounded(value) for value in found.interval_95],
        "p_value": found.p_value,
    }
