"""Likely wrong labels: confident learning (Northcutt, Jiang, Chuang, 2021) by cleanlab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import import_extra

__all__ = ["LabelIssues", "find_label_issues"]

Floats = npt.NDArray[np.float64]
_FEWEST_ROWS = 50


@dataclass(frozen=True)
class LabelIssues:
    """Rows whose label is likely wrong.

    Attributes
    ----------
    rows : int64 array of shape (K,)
        Worst first.
    suggested : int64 array of shape (K,)
        The most probable class.
    quality : float64 array of shape (K,)
        The label's quality, in [0, 1]: how far its probability is above the best other class's (0.5: equal).
    judged : bool array of shape (N,)
        The rows that were looked at.
    """

    rows: npt.NDArray[np.int64]
    suggested: npt.NDArray[np.int64]
    quality: Floats
    judged: npt.NDArray[np.bool_]


def find_label_issues(label: npt.NDArray[np.int64], probabilities: Floats, groups: npt.NDArray[Any]) -> LabelIssues:
    """Find the rows whose label contradicts the probabilities.

    Parameters
    ----------
    label : int64 array of shape (N,)
    probabilities : float64 array of shape (N, K)
        Rows of NaN are not looked at.
    groups : array of shape (N,)
        Rows whose probabilities have different origins (in-sample or not) are judged apart: confident learning sets
        its thresholds by the mean confidence in each class, which is higher in-sample.

    Returns
    -------
    LabelIssues
        Fewer than 50 rows of one origin are too few to set thresholds; nothing is said of them.

    Raises
    ------
    MissingExtraError
        If cleanlab is not installed.
    """
    import_extra("Finding wrong labels", "cleanlab", "data")
    from cleanlab import filter as confident
    from cleanlab.rank import get_label_quality_scores

    judged = np.zeros(len(label), np.bool_)
    rows, quality = [], []
    for group in np.unique(groups):
        own = np.flatnonzero(np.isfinite(probabilities).all(axis=1) & (groups == group))
        # cleanlab wants every class to occur.
        present = np.unique(label[own])
        if len(own) < _FEWEST_ROWS or len(present) < 2:
            continue
        judged[own] = True
        given = np.searchsorted(present, label[own])
        inside = probabilities[np.ix_(own, present)]
        inside = inside / np.maximum(inside.sum(axis=1, keepdims=True), 1e-12)
        issues = confident.find_label_issues(given, inside, n_jobs=1)
        score = get_label_quality_scores(given, inside, method="normalized_margin")
        rows.append(own[issues])
        quality.append(np.asarray(score)[issues])
    if not rows:
        return LabelIssues(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), judged)
    every, worst = np.concatenate(rows), np.concatenate(quality)
    order = np.lexsort((every, worst))
    return LabelIssues(
        every[order].astype(np.int64),
        probabilities[every[order]].argmax(axis=1).astype(np.int64),
        worst[order].astype(np.float64),
        judged,
    )
