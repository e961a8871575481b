"""The faces of a split that training holds out for validation: chosen, recorded with the model, and found again.

Where a dataset has one split only, training chooses the best epoch by some of its faces and learns from the rest. Only
on the faces that were held out can such a model be measured.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.data.copies import copy_groups, find_copies
from mien.data.dataset import Dataset
from mien.data.faces import Faces, is_dataset, open_faces
from mien.data.split import FINEST, cut_shares, evenly
from mien.errors import UsageError, warn
from mien.zoo.card import LearnedFrom

__all__ = [
    "Measured",
    "dataset_column",
    "fold_rows",
    "folds_of_faces",
    "held_out_otherwise",
    "learned_before",
    "open_measured",
    "remember",
    "shared_rows",
]

BoolArray = npt.NDArray[np.bool_]
# Near copies are found by comparing all pairs; above this only exact ones are looked for.
_MOST_COMPARED = 100_000
_CHECKED_PICTURES = 256
_HELD = "held out"
_SHARES = {
    2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth", 9: "ninth", 10: "tenth",
    20: "twentieth",
}  # fmt: skip
# Copies stay together, so that a tenth is seldom just one.
_NEARLY = 0.07


@dataclass(frozen=True)
class Measured:
    """The faces to measure models on.

    Attributes
    ----------
    faces : Faces
        A split, or what was held out of it.
    learned : Faces or None
        The rest of the split, which was learned from; None where `faces` is all of it.
    warning : str
        Why the faces may be some that a model learned from; empty where nothing says so.
    """

    faces: Faces
    learned: Faces | None = None
    warning: str = ""

    def training(self, given: Path | None) -> Path | Faces | None:
        """What the models learned from: the rest of the split, unless other faces are `given`."""
        if self.learned is None or (given is not None and not _same_place(given, self.faces.source)):
            return given
        return self.learned


def shared_rows(faces: Faces, share: float, seed: int) -> BoolArray:
    """Hold a share of some faces out: classes spread evenly, copies of one picture on one side.

    Parameters
    ----------
    faces : Faces
        N rows.
    share : float
    seed : int
        The same faces, share and seed give the same rows.

    Returns
    -------
    bool array of shape (N,)
        Which rows are held out.
    """
    images = faces.squares()
    groups = copy_groups(len(images), find_copies(images, near=len(images) <= _MOST_COMPARED))
    finest = max(FINEST, round(1.0 / share))
    return np.asarray(cut_shares(faces.label, groups, {_HELD: share}, seed, finest=finest) == _HELD, np.bool_)


def fold_rows(faces: Faces, fold: int) -> BoolArray:
    """Hold one fold of a dataset's column ``fold`` out.

    Raises
    ------
    UsageError
        If the faces are of no dataset of mien, or it has no such column.
    """
    return np.asarray(dataset_column(faces, "fold", -1, "mien data split --folds N") == fold)


def dataset_column(faces: Faces, name: str, missing: float, command: str) -> npt.NDArray[np.float64]:
    """A column of a split's rows, which only a dataset of mien can have; `command` is what writes it (UsageError)."""
    path = Path(faces.source)
    if not is_dataset(path):
        raise UsageError(
            f"{path} is no dataset of mien, and so has no column '{name}'; "
            f"'mien data import' makes one of it, '{command}' adds the column"
        )
    dataset = Dataset(path)
    if name not in dataset.info.columns:
        raise UsageError(f"{path} has no column '{name}'; '{command}' writes one")
    values = [missing if value is None else value for value in dataset.column(name)]
    return np.asarray(np.array(values, np.float64)[dataset.split == faces.split])


def remember(
    faces: Faces, held: BoolArray | None, *, share: float | None = None, seed: int = 0, fold: int | None = None
) -> LearnedFrom:
    """The record to keep with a model that is trained on these faces.

    Parameters
    ----------
    faces : Faces
        The whole split, N rows.
    held : bool array of shape (N,) or None
        Those that are held out, by `shared_rows` with `share` and `seed`, or by `fold_rows` with `fold`; None for none.
    """
    held = np.zeros(len(faces), np.bool_) if held is None else held
    return LearnedFrom(
        source=_name(faces.source),
        split=faces.split,
        faces=len(faces),
        held_out=int(held.sum()),
        checksum=_checksum(faces, held),
        share=share,
        seed=seed,
        fold=fold,
    )


def held_out_otherwise(now: LearnedFrom, before: LearnedFrom | None) -> bool:
    """Whether the first weights learned from faces that are held out now: from the same split, with others held out.

    Parameters
    ----------
    now : LearnedFrom
        Of the training that is to come.
    before : LearnedFrom or None
        Of the weights that it starts from.
    """
    return now.held_out > 0 and any(
        (own.split, own.faces, _stem(own.source)) == (now.split, now.faces, _stem(now.source))
        and own.checksum != now.checksum
        for own in _with_earlier([before])
    )


def learned_before(faces: Faces, model: LearnedFrom, name: str | os.PathLike[str]) -> bool:
    """Whether a model, or the weights that it started from, learned from some of these faces, as far as is known.

    Parameters
    ----------
    faces : Faces
        All of a split.
    model : LearnedFrom
        What it was trained on.
    name : str or path
        Of the dataset, by which faces are known that were changed since: they need not be the same ones.
    """
    for own in _with_earlier([model]):
        if own.split == faces.split:
            held = _held_again(faces, own)
            if _stem(own.source) == _stem(os.fspath(name)) if held is None else not held.all():
                return True
    return False


def open_measured(
    data: str | os.PathLike[str],
    split: str | None,
    models: Sequence[LearnedFrom | None],
    attributes: Sequence[str] = (),
    *,
    learned: bool = False,
) -> Measured:
    """Open the faces to measure models on: of a split that they were trained on, those that training held out.

    Where the faces may be some that a model learned from, and nothing tells which, that is warned of.

    Parameters
    ----------
    data, split, attributes
        As in `mien.data.open_faces`.
    models : sequence of LearnedFrom or None
        What each model was trained on, as far as it is known; also what it had learned from before it was fine-tuned.
    learned : bool
        Take those that training did not hold out in place of those that it did. Then `split` is by default the one
        that the first model was trained on.

    Raises
    ------
    InputError, UsageError
        As `open_faces`; also if no face was held out (or learned from) by all models, or what was learned from is not
        known, or is not among these faces.
    """
    if learned:
        return _open_learned(data, split, models, attributes)
    faces = open_faces(data, split, attributes)
    kept, warning = np.ones(len(faces), np.bool_), ""
    parts: dict[str, str] = {}  # by what tells them apart: two tenths, drawn by two seeds, have one name
    for model in _with_earlier(models):
        if model.split != faces.split:
            continue
        held = _held_again(faces, model)
        if held is not None and held.any():
            kept &= held
            parts[model.checksum] = _part(faces, model)
        elif held is not None:
            warning = f"{data}: a model learned from all of these faces; the score says little about others"
        elif _stem(model.source) == _stem(faces.source):
            warning = (
                f"{data}: a model learned from the split '{model.split}' of a dataset of this name "
                f"({model.faces:,} faces), and these {len(faces):,} are not quite the same: the score may be on faces "
                "that it learned from"
            )
    if warning:
        warn(warning)
    if not parts:
        return Measured(faces, warning=warning)
    if not kept.any():
        raise UsageError(f"no face of {data} was held out by every training; give faces that took no part in any")
    part = f"what every training held out of {_name(faces.source)}"
    if len(parts) == 1:
        (part,) = parts.values()
    return Measured(
        dataclasses.replace(faces.take(kept), part=part),
        dataclasses.replace(faces.take(~kept), part=f"the rest of {_name(faces.source)}"),
        warning,
    )


def folds_of_faces(faces: Faces, models: Sequence[LearnedFrom | None]) -> npt.NDArray[np.int64]:
    """Which of the models of a cross-validation did not learn from each face.

    Parameters
    ----------
    faces : Faces
        N of the rows of the split that the folds are of.
    models : sequence of LearnedFrom or None
        What each was trained on: all of the split but its fold.

    Returns
    -------
    int64 array of shape (N,)
        Index into `models`.

    Raises
    ------
    UsageError
        If these are not faces that the folds are of.
    """
    every = open_faces(faces.source, faces.split)
    held = [None if model is None else _held_again(every, model) for model in models]
    known = [rows for rows in held if rows is not None]
    if len(known) < len(held) or not (np.sum(known, axis=0) == 1).all():
        raise UsageError(
            f"{faces.source}, split '{faces.split}' ({len(every):,} faces), is not what these folds were made of; "
            "give the file folds.parquet in their folder"
        )
    return np.asarray(np.argmax(known, axis=0)[np.searchsorted(every.rows, faces.rows)], np.int64)


def _open_learned(
    data: str | os.PathLike[str],
    split: str | None,
    models: Sequence[LearnedFrom | None],
    attributes: Sequence[str],
) -> Measured:
    """The faces that no model held out, of those that all models were trained on last."""
    known = [model for model in models if model is not None]
    if len(known) < len(models):
        raise UsageError("nothing says what a model learned from; name the faces with --data and --split")
    faces = open_faces(data, split or known[0].split, attributes)
    kept = np.ones(len(faces), np.bool_)
    for model in known:
        held = _held_again(faces, model) if model.split == faces.split else None
        if held is None:
            raise UsageError(
                f"{data}, split '{faces.split}' ({len(faces):,} faces), is not what a model learned from: that was the "
                f"split '{model.split}' of {model.source} ({model.faces:,} faces)"
            )
        kept &= ~held
    if not kept.any():
        raise UsageError(f"each face of {data} was held out by one of the trainings")
    return Measured(
        dataclasses.replace(faces.take(kept), part=f"what training did not hold out of {_name(faces.source)}")
    )


def _with_earlier(models: Sequence[LearnedFrom | None]) -> Iterable[LearnedFrom]:
    """What the models were trained on, and before that what they started from; the same faces once."""
    found = {}
    for model in models:
        own = model
        while own is not None:
            found[own.source, own.split, own.checksum] = own
            own = own.earlier
    return found.values()


def _held_again(faces: Faces, model: LearnedFrom) -> BoolArray | None:
    """Which faces the training of a model held out; None where these are not shown to be the same faces."""
    if len(faces) != model.faces:
        return None
    held = np.zeros(len(faces), np.bool_)
    try:
        if model.share is not None:
            held = shared_rows(faces, model.share, model.seed)
        elif model.fold is not None:
            held = fold_rows(faces, model.fold)
    except UsageError:  # no folds any more, or too few different pictures
        return None
    return held if _checksum(faces, held) == model.checksum else None


def _checksum(faces: Faces, held: BoolArray) -> str:
    """Of every face's class and side, and of some pictures at equal distances: a large dataset is not read for it."""
    digest = hashlib.blake2b("\n".join(np.array(faces.labels)[faces.label].tolist()).encode(), digest_size=16)
    digest.update(held.tobytes())
    some = evenly(len(faces), _CHECKED_PICTURES)
    digest.update(b"".join(faces.digests(some)))
    return digest.hexdigest()


def _part(faces: Faces, model: LearnedFrom) -> str:
    name = _name(faces.source)
    if model.fold is not None:
        return f"fold {model.fold} of {name}, which training held out"
    parts = model.faces / model.held_out
    share = f"{100 / parts:.0f} %"
    if abs(parts / round(parts) - 1) < _NEARLY:
        share = _SHARES.get(round(parts), share)
    return f"the {share} of {name} that training held out"


def _name(source: str) -> str:
    return Path(source).name or Path(source).resolve().name


def _stem(source: str) -> str:
    return Path(_name(source)).stem


def _same_place(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    return Path(one).resolve() == Path(other).resolve()
