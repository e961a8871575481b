"""The training split in folds, as a dataset of its own: what a search or a cross-validation learns from.

Rows of other splits are not in it, so that neither can touch them.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.data.copies import copy_groups, find_copies
from mien.data.dataset import Dataset
from mien.data.faces import is_dataset
from mien.data.importer import import_dataset
from mien.data.layouts.names import split_name
from mien.data.split import join_groups, make_folds
from mien.errors import UsageError
from mien.train.recipe import change_recipe

if TYPE_CHECKING:
    from mien.train.options import ExpressionRecipe

__all__ = ["FOLD", "FOLDS", "fold_numbers", "folds_checksum", "on_fold", "open_folds"]

FOLD = "fold"
FOLDS = "folds.parquet"
_PERSON = "person"


def open_folds(recipe: ExpressionRecipe, folder: Path, folds: int) -> Dataset:
    """The folds of the faces that a recipe learns from, in ``folds.parquet`` of a folder; made the first time.

    Parameters
    ----------
    recipe : ExpressionRecipe
        ``data.dataset`` and ``data.train_split`` name the faces; ``run.seed`` decides the folds.
    folder : Path
        Is there.
    folds : int
        How many; where the rows have a column ``fold`` already, that is kept.

    Raises
    ------
    InputError, UsageError
        If there is no dataset, or it cannot be read, or cannot be split so.
    """
    path = folder / FOLDS
    if path.is_file():  # written whole or not at all
        return Dataset(path)
    dataset = recipe.data.require_dataset()
    return prepare_folds(dataset, path, split=recipe.data.train_split, folds=folds, seed=recipe.run.seed)


def fold_numbers(data: Dataset) -> list[int]:
    """The folds of a dataset that `open_folds` gave, in order."""
    return sorted(set(data.column(FOLD)))


def on_fold(recipe: ExpressionRecipe, data: Path, fold: int) -> ExpressionRecipe:
    """A recipe that learns from all folds of a dataset but one, and validates on that one."""
    # Copies of one picture lie in one fold: none of what is held out has leaked.
    changes = {"dataset": data, "validation_split": None, "validation_data": None, "fold": fold, "leaked": "keep"}
    return change_recipe(recipe, changes)


def prepare_folds(data: Path, dest: Path, *, split: str, folds: int, seed: int) -> Dataset:
    """Write the rows of a split with their folds: classes spread evenly, copies of one picture never in two.

    Nor are two pictures of one person, where the rows know their person (the attribute ``person``).

    Parameters
    ----------
    data : Path
        Labelled faces in any layout.
    dest : Path
        The dataset to write.
    split : str
        Of `data`, by its name here or in the field (``"Training"``), or its only one.
    folds : int
        How many; where the rows have a column ``fold`` already, that is kept.
    seed : int

    Raises
    ------
    InputError, UsageError
        If the dataset cannot be read, or cannot be split so.
    """
    if is_dataset(data):
        return _write(Dataset(data), dest, split, folds, seed, data)
    # An error holds on to the dataset, and Windows deletes no file that is mapped: what stays then must hide no error.
    with tempfile.TemporaryDirectory(dir=dest.parent, ignore_cleanup_errors=True) as folder:
        return _write(import_dataset(data, Path(folder) / "imported.parquet")[0], dest, split, folds, seed, data)


def _write(dataset: Dataset, dest: Path, split: str, folds: int, seed: int, source: Path) -> Dataset:
    # As in training, a split may also be named as its source names it.
    split = split if split in dataset.splits else split_name(split)
    if split not in dataset.splits and len(dataset.splits) > 1:
        listed = ", ".join(f"{name} ({count:,} rows)" for name, count in dataset.splits.items())
        raise UsageError(f"{source} has no split '{split}' to learn from; it has {listed}")
    rows = np.flatnonzero(dataset.split == split) if split in dataset.splits else np.arange(len(dataset))
    info, given = dataset.info, np.array(dataset.column(FOLD), object)[rows]
    if len(rows) and all(value is not None for value in given):
        return dataset.write_rows(dest, rows, info)
    images = dataset.images()[rows]
    groups = copy_groups(len(rows), find_copies(images))
    if _PERSON in dataset.attributes:
        groups = join_groups(groups, dataset.attributes[_PERSON][rows])
    fold = make_folds(dataset.label[rows], groups, folds, seed)
    info = info.with_columns(FOLD).after("folds", folds=folds, only=split, seed=seed, groups=len(np.unique(groups)))
    return dataset.write_rows(dest, rows, info, replace={FOLD: fold.tolist()})


def folds_checksum(dataset: Dataset) -> str:
    """A checksum of labels and folds: two searches on the same rows have the same."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(dataset.labels).encode())
    digest.update(dataset.label.tobytes())
    digest.update(np.array(dataset.column(FOLD), np.int64).tobytes())
    return digest.hexdigest()
