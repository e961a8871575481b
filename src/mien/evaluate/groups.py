"""Is a model as good for everybody? Scores by an attribute of the faces: gender, age, skin, the camera, ...

Groups differ in what they show: where children smile more than their grandparents, they are read better, since smiles
are. So a group is held against all other groups **at the same labels**: within each class the share of right answers
of the group less that of the others, averaged over the classes with weights n1 n0 / (n1 + n0) (Cochran, 1954; called
the difference of Mantel and Haenszel since Greenland and Robins, 1985); its interval after Sato (1989), its p value of
the Cochran-Mantel-Haenszel test. The same is done for each wrong answer: who is taken for angry, though labelled
otherwise?
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

_ROOM = 5.0
"""The hits inside a group that may be more, and fewer, than expected, from which their sum is about normal."""


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

    The difference of Mantel and Haenszel with the variance of Sato (Biometrics 45, 1989), which holds for many thin
    strata and for few thick ones. The interval is that after it happened once more, and once more not, on either side
    (as Agresti and Caffo, 2000, do for two shares): where it always happened it still has a width, and with few rows it
    is not centred on the difference. The p value is that of the Cochran-Mantel-Haenszel test, without correction for
    continuity; where that is too rough, since it hardly ever happens to the group (or hardly ever does not), it is that
    of the exact test, by Mantel's and Fleiss's rule (1980).

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
    difference = _difference(a, n1, b, n0)
    low, high = _interval(_with_one_more(a, n1), _with_one_more(b, n0))
    return StratifiedDifference(
        difference,
        (max(min(low, difference), -1.0), min(max(high, difference), 1.0)),
        _chance(a, n1, n0, a + b),
    )


def _difference(a: Counts, n1: Counts, b: Counts, n0: Counts) -> float:
    """Of how often it happened in how many rows of each stratum, inside less outside."""
    total = n1 + n0
    return float(((a * n0 - b * n1) / total).sum() / (n1 * n0 / total).sum())


def _chance(a: Counts, n1: Counts, n0: Counts, hits: Counts) -> float:
    """The two-sided p value: how likely so uneven a share of the hits is if the group is like the others."""
    total = n1 + n0
    expected = n1 * hits / total
    least, most = np.maximum(hits - n0, 0.0), np.minimum(n1, hits)
    if min((expected - least).sum(), (most - expected).sum()) >= _ROOM:
        spread = float((n1 * n0 * hits * (total - hits) / (total**2 * (total - 1))).sum())
        return math.erfc(abs(float((a - expected).sum())) / math.sqrt(2 * spread))
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, int(total.max()) + 1)))])
    chances = np.ones(1)
    for own, others, hit, low, high in np.stack([n1, n0, hits, least, most], axis=1).astype(np.int64).tolist():
        inside = np.arange(low, high + 1)
        parts = (inside, own - inside, hit - inside, others - hit + inside)
        logs = -np.sum([log_factorial[part] for part in parts], axis=0)
        here = np.exp(logs - logs.max())
        chances = np.convolve(chances, here / here.sum())
    observed = chances[round(float((a - least).sum()))]
    # Others that are as likely differ from it by rounding.
    return min(float(chances[chances <= observed * (1 + 1e-7)].sum()), 1.0)


def _with_one_more(happened: Counts, rows: Counts) -> tuple[Counts, Counts]:
    """Counts by stratum after it happened once more, and once more not, in strata as large as they are."""
    share = rows / rows.sum()
    return happened + share, rows + 2 * share


def _interval(own: tuple[Counts, Counts], others: tuple[Counts, Counts]) -> tuple[float, float]:
    """Sato's interval, from how often it happened in how many rows of each stratum on both sides."""
    (a, n1), (b, n0) = own, others
    total = n1 + n0
    difference = _difference(a, n1, b, n0)
    p = (n1**2 * b - n0**2 * a + n1 * n0 * (n0 - n1) / 2) / total**2
    q = (a * (n0 - b) + b * (n1 - a)) / (2 * total)
    variance = max(difference * float(p.sum()) + float(q.sum()), 0.0)
    half = QUANTILE_975 * math.sqrt(variance) / float((n1 * n0 / total).sum())
    return difference - half, difference + half


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
