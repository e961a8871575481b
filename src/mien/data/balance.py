"""Classes: mapped onto a scheme, oversampled with mirrored copies, or weighted."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.dataset import Dataset, as_dataset, check_new
from mien.data.info import TRAIN, DatasetInfo
from mien.data.options import BalanceOptions
from mien.errors import UsageError, warn
from mien.labels import LabelScheme, find_scheme
from mien.options import given_options

__all__ = ["balance_dataset", "class_weights", "map_labels", "oversample"]

IntArray = npt.NDArray[np.int64]


def map_labels(label: IntArray, labels: tuple[str, ...], scheme: LabelScheme) -> IntArray:
    """Each row's label in another scheme.

    Parameters
    ----------
    label : int64 array of shape (N,)
        Index into `labels`.
    labels : tuple of str
        The dataset's classes.
    scheme : LabelScheme
        The scheme to go over to; its members are classes of the dataset.

    Returns
    -------
    int64 array of shape (N,)
        Index into ``scheme.labels``; -1 for rows that the scheme has no label for.
    """
    home = {member: index for index, members in enumerate(scheme.members.values()) for member in members}
    table = np.array([home.get(name, -1) for name in labels], np.int64)
    return np.asarray(table[label])


def class_weights(label: IntArray, classes: int) -> npt.NDArray[np.float64]:
    """Sampling weights with which every class that occurs is drawn equally often; their mean is 1.

    Parameters
    ----------
    label : int64 array of shape (N,)
        Each row's class, from 0.
    classes : int
        How many classes there are; some may have no row.

    Returns
    -------
    float64 array of shape (N,)
        One weight for each row, above 0.
    """
    counts = np.bincount(label, minlength=classes)
    present = np.maximum((counts > 0).sum(), 1)
    return np.asarray(len(label) / (present * np.maximum(counts, 1)[label]))


def oversample(label: IntArray, seed: int = 0) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Repeat rows until every class is as large as the largest.

    Whole rounds repeat every row of a class; what is missing then is drawn without putting back. Every second
    repetition of a row is mirrored, the first one first.

    Parameters
    ----------
    label : int64 array of shape (N,)
        Each row's class, from 0.
    seed : int
        Of the draws: the same seed gives the same rows.

    Returns
    -------
    index : int64 array of shape (M,)
        Rows in ascending order, each at least once.
    mirror : bool array of shape (M,)
        Which of them to mirror; never the first of a row.
    """
    rng = np.random.default_rng(seed)
    parts = []
    largest = int(np.bincount(label).max()) if len(label) else 0
    for value in np.unique(label):
        own = np.flatnonzero(label == value)
        rounds, rest = divmod(largest, len(own))
        parts += [own] * rounds + [rng.permutation(own)[:rest]]
    index = np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
    starts = np.searchsorted(index, index, side="left")
    repetition = np.arange(len(index)) - starts
    return index.astype(np.int64), repetition % 2 == 1


def balance_dataset(
    dataset: Dataset | str | os.PathLike[str],
    dest: str | os.PathLike[str],
    options: BalanceOptions | None = None,
    **kwargs: Any,
) -> Dataset:
    """Write a dataset with mapped classes, and its training split oversampled or weighted.

    Evaluation splits are mapped, and otherwise left as they are: a score on repeated rows would mean nothing. Where
    there is none, oversampling warns; where there is nothing else, it is refused, as are weights. Classes of other
    splits that have no training row are warned of.

    Parameters
    ----------
    dataset : Dataset, or path
        It is not changed.
    dest : path
        The Parquet file to write; it appears whole or not at all.
    options : BalanceOptions, optional
        Or its fields as keywords.

    Raises
    ------
    UsageError
        If nothing is asked for, or balance where no row is of the training split; if a class is unknown, or nothing
        can be written at `dest`.
    """
    dataset, options = as_dataset(dataset), given_options(BalanceOptions, options, kwargs)
    check_new(dest, dataset)
    if not (options.labels or options.drop or options.oversample or options.weights):
        raise UsageError("nothing to do; give at least one of --labels, --drop, --oversample and --weights")
    scheme = _scheme(dataset, options)
    label = map_labels(dataset.label, dataset.labels, scheme)
    index = np.flatnonzero(label >= 0)
    if not len(index):
        raise UsageError(
            f"no row has one of the classes {', '.join(scheme.labels)}; there are {', '.join(dataset.labels)}"
        )
    if (options.oversample or options.weights) and not (dataset.split[index] == TRAIN).any():
        flags = [f"--{name}" for name in ("oversample", "weights") if getattr(options, name)]
        raise UsageError(
            f"{dataset.path} has no row in the split '{TRAIN}', the only one that {' and '.join(flags)} would change; "
            f"it has {', '.join(dataset.splits)} ('mien data split' makes splits)"
        )
    if options.oversample or options.weights:
        absent = np.setdiff1d(label[index], label[index][dataset.split[index] == TRAIN])
        if len(absent):
            names = ", ".join(scheme.labels[number] for number in absent)
            warn(
                f"{dataset.path} has {names} in other splits, but not in '{TRAIN}': nothing is there to repeat or to "
                "weight, and a model cannot learn it; --drop leaves it out"
            )
    mirror = np.zeros(len(index), np.bool_)
    if options.oversample:
        index, mirror = _oversampled(dataset, label, index, options.seed)
    info = _info(dataset, scheme, options, len(index), int(mirror.sum()))
    replace: dict[str, object] = {"label": label[index]}
    if options.weights:
        weights = np.ones(len(index))
        training = dataset.split[index] == TRAIN
        weights[training] = class_weights(label[index][training], len(scheme.labels))
        replace["weight"] = weights.tolist()
    if options.oversample and "mirrored" not in dataset.info.columns:
        replace["mirrored"] = [False] * len(index)
    return dataset.write_rows(dest, index, info, replace=replace, mirror=mirror)  # type: ignore[arg-type]


def _oversampled(
    dataset: Dataset, label: IntArray, index: IntArray, seed: int
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """As `oversample`, of the training rows among those in `index`; the others stay as they are."""
    if set(dataset.splits) == {TRAIN}:
        warn(
            f"{dataset.path} has no split but '{TRAIN}': faces that are held out of the repeated ones later are "
            "repeated too, and a score on them means little; split first ('mien data split'), then oversample"
        )
    is_train = dataset.split[index] == TRAIN
    train, others = index[is_train], index[~is_train]
    repeated, mirror = oversample(label[train], seed)
    every = np.concatenate([train[repeated], others])
    order = np.argsort(every, kind="stable")
    return every[order], np.concatenate([mirror, np.zeros(len(others), np.bool_)])[order]


def _scheme(dataset: Dataset, options: BalanceOptions) -> LabelScheme:
    scheme = LabelScheme.of(dataset.labels) if options.labels is None else find_scheme(options.labels, dataset.labels)
    if options.drop is None:
        return scheme
    # A dropped class may be one of the dataset's or one of the new scheme's.
    known = (*dataset.labels, *scheme.labels)
    dropped = {name.strip().lower() for name in options.drop.split(",")}
    unknown = dropped - set(known)
    if unknown:
        raise UsageError(
            f"--drop names {', '.join(sorted(unknown))}; expected some of {', '.join(dict.fromkeys(known))}"
        )
    members = {
        name: tuple(member for member in own if member not in dropped)
        for name, own in scheme.members.items()
        if name not in dropped
    }
    members = {name: own for name, own in members.items() if own}
    if len(members) < 2:
        raise UsageError(
            f"--drop {options.drop} leaves {', '.join(members) or 'nothing'}; expected two classes at least"
        )
    return LabelScheme(",".join(members), members)


def _info(dataset: Dataset, scheme: LabelScheme, options: BalanceOptions, rows: int, mirrored: int) -> DatasetInfo:
    # A distribution over other classes would be wrong now.
    columns = tuple(name for name in dataset.info.columns if name != "distribution" or scheme.labels == dataset.labels)
    info = dataclasses.replace(dataset.info, labels=scheme.labels, columns=columns)
    extra = [name for name, wanted in (("mirrored", options.oversample), ("weight", options.weights)) if wanted]
    return info.with_columns(*extra).after(
        "balance",
        source=dataset.path.name,
        members={name: list(own) for name, own in scheme.members.items()},
        oversample=options.oversample,
        weights=options.weights,
        seed=options.seed,
        rows=rows,
        mirrored_rows=mirrored,
    )
