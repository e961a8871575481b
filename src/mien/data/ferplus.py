"""Annotators' votes, and labels made of them; first of all those of FER+ (Barsoum et al., 2016, arXiv:1608.01041)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.errors import InputError
from mien.labels import EXPRESSIONS, NOT_FACE, LabelScheme

__all__ = [
    "VOTES_HEADER",
    "VOTE_LABELS",
    "ferplus_votes",
    "majority",
    "not_face_share",
    "read_votes_csv",
    "scheme_shares",
    "vote_distribution",
    "vote_entropy_bits",
    "vote_shares",
]

VOTE_LABELS = (
    "neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "not_face",
)  # fmt: skip
"""What the annotators of FER+ could choose, in the order of its file."""

VOTES_HEADER = (
    "usage", "image name", "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt",
    "unknown", "nf",
)  # fmt: skip
"""The columns of its file, in small letters."""

_NO_EXPRESSION = 2
_MOST_LABELS = 3


def read_votes_csv(path: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Read ``fer2013new.csv``.

    Returns
    -------
    list of (str, tuple of ten int)
        Each row's ``Usage``, and its votes in the order of `VOTE_LABELS`.

    Raises
    ------
    InputError
        If the file is not of this form; the row is named.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(path), f"cannot be read as a CSV file of FER+ votes ({error})") from error
    header = [name.strip().lower() for name in lines[0]] if lines else []
    if tuple(header) != VOTES_HEADER:
        raise InputError(
            str(path), f"its columns are {', '.join(header) or 'none'}; expected {', '.join(VOTES_HEADER)}"
        )
    return [
        (cells[0].strip(), parse_votes(cells[2:], f"{path.name} row {row} (line {row + 2})"))
        for row, cells in enumerate(lines[1:])
    ]


def parse_votes(cells: Sequence[str], where: str) -> tuple[int, ...]:
    """The ten counts of a row, in the order of `VOTE_LABELS` (InputError)."""
    try:
        counts = tuple(int(cell) for cell in cells)
        if len(counts) != len(VOTE_LABELS) or not all(0 <= count <= 255 for count in counts):
            raise ValueError
    except ValueError:
        raise InputError(where, f"votes {cells}; expected ten whole numbers") from None
    return counts


def ferplus_votes(votes: npt.NDArray[np.uint8] | None, vote_labels: Sequence[str]) -> npt.NDArray[np.uint8] | None:
    """Votes of shape (N, V) in the order of `VOTE_LABELS`; None without any, or where annotators chose among others."""
    if votes is None or set(vote_labels) != set(VOTE_LABELS):
        return None
    return votes[:, [list(vote_labels).index(name) for name in VOTE_LABELS]]


def _without_outliers(votes: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """A single vote for a class counts as a slip of the annotator."""
    counts = np.asarray(votes, np.int64)
    return np.where(counts <= 1, 0, counts)


def majority(votes: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """The class with more than half of the votes, after single votes are dropped.

    This is the paper's majority voting: the rest, and rows whose majority is "unknown" or "not a face", have no
    label and are left out of training and of the test.

    Parameters
    ----------
    votes : int array of shape (N, 10)
        In the order of `VOTE_LABELS`.

    Returns
    -------
    int64 array of shape (N,)
        Index into `mien.labels.EXPRESSIONS`; -1 for rows that are left out.
    """
    counts = _without_outliers(votes)
    best = counts.argmax(axis=1)
    clear = 2 * counts.max(axis=1) > counts.sum(axis=1)
    faces = best < len(VOTE_LABELS) - _NO_EXPRESSION
    order = np.array([EXPRESSIONS.index(name) for name in VOTE_LABELS[:-_NO_EXPRESSION]] + [-1] * _NO_EXPRESSION)
    return np.asarray(np.where(clear & faces, order[best], -1))


def vote_distribution(votes: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The votes as probabilities, as the paper's probability and cross-entropy schemes use them.

    Single votes are dropped. Classes are then taken from the most voted down until they hold three quarters of the
    votes, three at most. A row is left out where "unknown" or "not a face" comes first among them, where what was
    taken is no more than half of the votes, or where a draw brings in a fourth class.

    Parameters
    ----------
    votes : int array of shape (N, 10)
        In the order of `VOTE_LABELS`.

    Returns
    -------
    distribution : float64 array of shape (N, 8)
        In the order of `mien.labels.EXPRESSIONS`; rows sum to 1 (to 0 where left out).
    kept : bool array of shape (N,)
    """
    left = _without_outliers(votes)
    total = left.sum(axis=1)
    classes = len(VOTE_LABELS) - _NO_EXPRESSION
    taken = np.zeros((len(left), classes), np.float64)
    number = np.zeros(len(left), np.int64)
    going = total > 0
    for _ in range(_MOST_LABELS):
        going &= (taken.sum(axis=1) < 0.75 * total) & (number < _MOST_LABELS)
        most = left.max(axis=1, keepdims=True)
        drawn = (left == most) & (most > 0) & going[:, None]
        taken += np.where(drawn[:, :classes], left[:, :classes], 0)
        number += drawn[:, :classes].sum(axis=1)
        # "unknown" or "not a face" ends the search; what was taken before it stays.
        going &= ~drawn[:, classes:].any(axis=1)
        left = np.where(drawn, 0, left)
    kept = (taken.sum(axis=1) > 0.5 * total) & (number <= _MOST_LABELS)
    order = [VOTE_LABELS.index(name) for name in EXPRESSIONS]
    distribution = np.where(kept[:, None], taken, 0.0)[:, order]
    scale = np.maximum(distribution.sum(axis=1, keepdims=True), 1e-12)
    return distribution / scale, np.asarray(kept)


def vote_entropy_bits(votes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """How much annotators disagree: the entropy of the votes in bits, of shape (N,); 0 where all agree."""
    counts = np.asarray(votes, np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    logs = np.log2(share, out=np.zeros_like(share), where=share > 0)
    return np.asarray(np.abs((share * logs).sum(axis=1)))


def not_face_share(votes: npt.NDArray[np.integer] | None, vote_labels: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Which share of each row's votes, of shape (N, V), is for "not a face"; None where nobody could say so."""
    if votes is None or NOT_FACE not in vote_labels:
        return None
    against = votes[:, list(vote_labels).index(NOT_FACE)]
    return np.asarray(against / np.maximum(votes.sum(axis=1, dtype=np.float64), 1.0))


def vote_shares(
    votes: npt.NDArray[np.integer], vote_labels: Sequence[str], labels: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Annotators' votes as probabilities of some classes.

    Votes for other classes are left out, and what remains is renormalised.

    Parameters
    ----------
    votes : int array of shape (N, V)
        Zeros where a row has none.
    vote_labels : sequence of V str
    labels : sequence of K str
        The classes that are wanted; one that nobody could vote for has no votes.

    Returns
    -------
    shares : float64 array of shape (N, K)
        Rows sum to 1, or to 0 where nothing remains.
    known : bool array of shape (N,)
        Where something remains.
    """
    names = list(vote_labels)
    counts = np.zeros((len(votes), len(labels)))
    for index, label in enumerate(labels):
        if label in names:
            counts[:, index] = votes[:, names.index(label)]
    total = counts.sum(axis=1)
    return counts / np.maximum(total, 1.0)[:, None], np.asarray(total > 0)


def scheme_shares(
    votes: npt.NDArray[np.integer], vote_labels: Sequence[str], scheme: LabelScheme
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """As `vote_shares`, for labels of which each may be the sum of several classes."""
    classes = [name for names in scheme.members.values() for name in names]
    shares, known = vote_shares(votes, vote_labels, classes)
    merged = np.zeros((len(shares), len(scheme.members)))
    for index, names in enumerate(scheme.members.values()):
        merged[:, index] = shares[:, [classes.index(name) for name in names]].sum(axis=1)
    return merged, known
