"""Stratified splits and folds in which copies of one picture, or one person, never sit on both sides."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.copies import RowGroups, copy_groups, find_copies
from mien.data.dataset import Dataset, as_dataset, check_new
from mien.data.info import TRAIN
from mien.data.options import SplitOptions
from mien.errors import UsageError, import_extra, warn
from mien.options import given_options

__all__ = ["cut_shares", "dataset_groups", "join_groups", "make_folds", "split_dataset"]

IntArray = npt.NDArray[np.int64]
FINEST = 20
"""Folds at most into which rows are cut for shares of them."""
_LARGE_FOLD = 1.5
"""Of the rows that a fold should have."""
_LARGE_GROUP = 0.5
"""Of the smallest share asked for."""


def make_folds(label: IntArray, groups: IntArray, folds: int, seed: int = 0) -> IntArray:
    """Number rows by fold: classes spread evenly, no group in two folds.

    Parameters
    ----------
    label : int64 array of shape (N,)
        Each row's class, from 0.
    groups : int64 array of shape (N,)
        Rows with the same number stay together.
    folds : int
        How many folds, from 2 on.
    seed : int
        The same seed gives the same folds.

    Returns
    -------
    int64 array of shape (N,)
        From 0 to ``folds - 1``.

    Raises
    ------
    UsageError
        If there are fewer groups than folds.
    """
    import_extra("Splitting datasets", "sklearn", "data")
    from sklearn.model_selection import StratifiedGroupKFold

    if len(np.unique(groups)) < folds:
        raise UsageError(
            f"{folds} folds of {len(np.unique(groups))} different pictures, or persons; expected as many at least"
        )
    # A class with fewer rows than folds is missing from some of them; that is no reason to refuse.
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    result = np.zeros(len(label), np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        try:
            for fold, (_, held) in enumerate(splitter.split(np.zeros(len(label)), label, groups)):
                result[held] = fold
        except ValueError as error:
            raise UsageError(f"cannot make {folds} folds: {error}") from error
    return result


def evenly(total: int, most: int) -> IntArray:
    """At most so many of `total` rows, ascending, with even distances from the first to the last; int64."""
    return np.linspace(0, total - 1, min(most, total)).round().astype(np.int64)


def dataset_groups(dataset: Dataset) -> IntArray:
    """Number the groups of exact, near and mirrored copies of a dataset, all of whose images are read for that.

    Returns
    -------
    int64 array of shape (N,)
        As from `copy_groups`.
    """
    images = dataset.images()
    return copy_groups(len(images), find_copies(images))


def join_groups(groups: IntArray, values: npt.NDArray[np.str_]) -> IntArray:
    """Join groups of rows that have a value in common, such as the person in the picture.

    Parameters
    ----------
    groups : int64 array of shape (N,)
        As from `dataset_groups`.
    values : str array of shape (N,)
        Rows without a value (empty) are joined by nothing.

    Returns
    -------
    int64 array of shape (N,)
        For each row the first row of its group.
    """
    joined, every = RowGroups(len(groups)), np.arange(len(groups))
    for numbers, rows in ((groups, every), (values, np.flatnonzero(values != ""))):
        _, first, place = np.unique(numbers[rows], return_index=True, return_inverse=True)
        joined.join(rows, rows[first][place])
    return joined.of(every)


def split_dataset(
    dataset: Dataset | str | os.PathLike[str],
    dest: str | os.PathLike[str],
    options: SplitOptions | None = None,
    *,
    groups: IntArray | None = None,
    **kwargs: Any,
) -> Dataset:
    """Write a dataset with new splits, or with a column of folds.

    It warns where rows were repeated before, which would be held out as often.

    Parameters
    ----------
    dataset : Dataset, or path
        It is not changed.
    dest : path
        The Parquet file to write; it appears whole or not at all.
    options : SplitOptions, optional
        Or its fields as keywords.
    groups : int64 array of shape (N,), optional
        Rows that must stay together; by default the groups of copies are found.

    Raises
    ------
    UsageError
        If options do not fit the dataset, or nothing can be written at `dest`.
    """
    dataset, options = as_dataset(dataset), given_options(SplitOptions, options, kwargs)
    check_new(dest, dataset)
    if options.only is not None and options.only not in dataset.splits:
        raise UsageError(f"there is no split '{options.only}'; expected one of {', '.join(dataset.splits)}")
    if options.folds is None:
        _require_room(dataset, options)
    repeated = any(step["step"] == "balance" and step.get("oversample") for step in dataset.info.history)
    if repeated and options.only in (None, TRAIN):
        warn(
            f"{dataset.path} holds rows that 'mien data balance --oversample' repeated: those that are held out of "
            "them are repeated too, and a score on them means little; split first, then oversample"
        )
    rows = np.flatnonzero(dataset.split == options.only) if options.only else np.arange(len(dataset))
    values = None if options.together is None else _values(dataset, options.together)
    groups = dataset_groups(dataset) if groups is None else groups
    if values is not None:
        groups = join_groups(groups, values)
    label, own = dataset.label[rows], groups[rows]
    every = np.arange(len(dataset))
    facts: dict[str, Any] = {
        "source": dataset.path.name,
        "only": options.only,
        "together": options.together,
        "seed": options.seed,
        "groups": len(np.unique(own)),
    }
    if options.folds is not None:
        fold: list[int | None] = [None] * len(dataset)
        for row, value in zip(rows.tolist(), make_folds(label, own, options.folds, options.seed).tolist(), strict=True):
            fold[row] = value
        info = dataset.info.with_columns("fold").after("folds", folds=options.folds, **facts)
        return dataset.write_rows(dest, every, info, replace={"fold": fold})
    split = dataset.split.astype(object)
    split[rows] = cut_shares(label, own, options.shares, options.seed)
    facts |= {"validation": options.shares["validation"], "test": options.shares["test"]}
    info = dataset.info.after("split", **facts)
    return dataset.write_rows(dest, every, info, replace={"split": split.tolist()})


def _values(dataset: Dataset, attribute: str) -> npt.NDArray[np.str_]:
    known = dataset.attributes
    if attribute in known:
        return known[attribute]
    expected = f"one of {', '.join(known)}" if known else "a dataset that was imported with some (--attributes)"
    raise UsageError(f"{dataset.path.name} has no attribute '{attribute}'; expected {expected}")


def _require_room(dataset: Dataset, options: SplitOptions) -> None:
    """Where one split alone is cut, its rows may go into no other one that is there already."""
    if options.only is None:
        return
    others = [name for name in dataset.splits if name != options.only]
    taken = [name for name, share in options.shares.items() if share > 0 and name in others]
    if taken:
        raise UsageError(
            f"{' and '.join(f'the split {name!r}' for name in taken)} would get rows of '{options.only}' besides its "
            f"own, while only '{options.only}' is to change; give {' and '.join(f'{name} 0' for name in taken)} "
            f"(--{' 0 --'.join(taken)} 0), or leave out 'only' to split all rows anew"
        )
    if TRAIN in others:
        raise UsageError(
            f"the rows of '{options.only}' that are left over would go to '{TRAIN}', while only '{options.only}' is to "
            "change; leave out 'only' to split all rows anew"
        )


def cut_shares(
    label: IntArray, groups: IntArray, shares: Mapping[str, float], seed: int = 0, *, finest: int = FINEST
) -> npt.NDArray[np.object_]:
    """Cut the rows into small folds, and give each split as many as come nearest to its share.

    Parameters
    ----------
    label : int64 array of shape (N,)
    groups : int64 array of shape (N,)
        Rows with the same number stay together.
    shares : mapping of str to float
        Of each split; the rest is called ``"train"``. A share above 0 gets one fold at least.
    seed : int
    finest : int
        Folds at most.

    Returns
    -------
    object array of shape (N,)
        Names.

    Raises
    ------
    UsageError
        If there are too few rows to cut.
    """
    wanted = [share for share in shares.values() if share > 0]
    if not wanted:
        return np.full(len(label), TRAIN, object)
    # Not more folds than the largest class has rows: no class could be spread over them.
    finest = min(finest, len(np.unique(groups)), int(np.bincount(label).max()))
    # At least one fold is left for training.
    fitting = [n for n in range(2, finest + 1) if sum(_folds(share, n) for share in wanted) < n]
    if not fitting:
        raise UsageError(
            f"{len(label)} rows cannot be split into {len(wanted) + 1} parts: expected {len(wanted) + 1} different "
            "pictures of a class at least"
        )
    best = min(fitting, key=lambda n: (round(sum(abs(s - _folds(s, n) / n) for s in wanted), 6), n))
    fold = make_folds(label, groups, best, seed)
    split = np.full(len(label), TRAIN, object)
    size = np.bincount(fold, minlength=best)
    names = [name for name, share in shares.items() if share > 0]
    # A fold that a large group of copies has blown up stays in training; the others are then smaller than their share.
    large = size > _LARGE_FOLD * len(label) / best
    # Also one that such a group would fill: a score on one picture says nothing. Of few persons each fills a fold.
    of_row, count = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    filled = np.isin(np.arange(best), fold[count[of_row] > _LARGE_GROUP * min(wanted) * len(label)])
    if np.count_nonzero(~(large | filled)) >= sum(_folds(share, best) for share in wanted):
        large |= filled
    left = np.flatnonzero(~large).tolist()
    for place, name in enumerate(names):
        rows, taken = shares[name] * len(label), 0
        # At least one fold for each of the splits that follow.
        for number in range(len(left) - len(names) + place + 1):
            enough = number >= _folds(shares[name], best)
            if large.any():
                enough = number > 0 and taken + size[left[0]] - rows >= rows - taken
            if enough:
                break
            taken += int(size[left[0]])
            split[fold == left.pop(0)] = name
    _leave_each_class(split, label, groups)
    return split


def _leave_each_class(split: npt.NDArray[np.object_], label: IntArray, groups: IntArray) -> None:
    """Take a group of each class that is held out wholly back into training, unless that empties a split."""
    for value in np.setdiff1d(label, label[split == TRAIN]):
        for group in dict.fromkeys(groups[label == value].tolist()):
            back = groups == group
            if np.any((split == split[np.argmax(back)]) & ~back):
                split[back] = TRAIN
                break


def _folds(share: float, of: int) -> int:
    """How many folds, out of `of`, come nearest to a share above 0; at least one."""
    return max(1, round(share * of))
