"""The training and validation rows with their labels, from any dataset and the options of a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.data.balance import map_labels
from mien.data.copies import copied_rows
from mien.data.faces import Faces, open_faces, open_training
from mien.data.ferplus import VOTE_LABELS, not_face_share
from mien.data.held_out import dataset_column, fold_rows, remember, shared_rows
from mien.data.info import TRAIN
from mien.errors import InputError, UsageError
from mien.labels import FER7, SCHEMES, LabelScheme, find_scheme
from mien.train.architectures.spec import FERPLUS_HEAD, HeadSpec
from mien.train.options import DataOptions
from mien.train.task import derived_seed
from mien.zoo.card import LearnedFrom

__all__ = ["Rows", "head_of", "open_rows", "vote_head"]

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
_VALIDATION_FLAG = "--validation-split"


@dataclass(frozen=True)
class Rows:
    """Faces with their labels in the scheme that is trained.

    Attributes
    ----------
    faces : Faces
        N rows.
    label : int64 array of shape (N,)
        Index into ``scheme.labels``.
    scheme : LabelScheme
    left_out : dict of str to int
        Rows of the split that are not among them, by reason.
    weight : float64 array of shape (N,) or None
        The dataset's own weights for sampling; None where they are not asked for.
    learned_from : LearnedFrom or None
        Of training rows: their split, and which of its rows were held out.
    """

    faces: Faces
    label: IntArray
    scheme: LabelScheme
    left_out: dict[str, int]
    weight: npt.NDArray[np.float64] | None = None
    learned_from: LearnedFrom | None = None

    def __len__(self) -> int:
        return len(self.label)

    def take(self, kept: BoolArray, reason: str) -> Rows:
        """Only the rows where `kept` is true; the others are counted under `reason`."""
        if kept.all():
            return self
        left_out = {**self.left_out, reason: int((~kept).sum())}
        return dataclasses.replace(
            self,
            faces=self.faces.take(kept),
            label=self.label[kept],
            left_out=left_out,
            weight=None if self.weight is None else self.weight[kept],
        )


def open_rows(options: DataOptions, seed: int) -> tuple[Rows, Rows]:
    """Open what a recipe names.

    Parameters
    ----------
    options : DataOptions
    seed : int
        Decides which rows are taken where not all are.

    Returns
    -------
    training, validation : Rows
        With the same scheme and no row in common.

    Raises
    ------
    UsageError
        If there is no dataset, split or fold of the name, or a label is not among the dataset's classes.
    InputError
        If the data cannot be read, or nothing is left of a split, or a label has no training face.
    """
    dataset = options.require_dataset()
    training_faces = (
        open_training(dataset) if options.train_split == TRAIN else open_faces(dataset, options.train_split)
    )
    weight = _weights(options, training_faces) if options.sampling == "weights" else None
    validation_faces = _own_validation(options, training_faces)
    if validation_faces is not None:
        learned_from = remember(training_faces, None)
    else:
        held, learned_from = _held_out(options, training_faces, seed)
        weight = None if weight is None else weight[~held]
        training_faces, validation_faces = training_faces.take(~held), training_faces.take(held)
    scheme = _scheme(options.labels, training_faces.labels)
    training = dataclasses.replace(_labelled(training_faces, scheme, weight), learned_from=learned_from)
    validation = _labelled(validation_faces, scheme, None)
    training, validation = _without_leaks(options.leaked, training, validation)
    if options.not_faces == "drop":
        training = training.take(~_not_faces(training.faces), "not a face")
    if options.max_faces is not None and options.max_faces < len(training):
        rng = np.random.default_rng(derived_seed(seed, "max_faces"))
        kept = np.zeros(len(training), np.bool_)
        kept[rng.permutation(len(training))[: options.max_faces]] = True
        training = training.take(kept, "max_faces")
    _check(training, "learn from", every_label=True)
    _check(validation, "choose by", every_label=False)
    return training, validation


def head_of(scheme: LabelScheme) -> HeadSpec:
    """The output that answers with a scheme's labels, by the scheme's name where it has one."""
    names = [name for name, known in SCHEMES.items() if known.labels == scheme.labels]
    return HeadSpec(names[0] if names else "expression", scheme.labels)


def vote_head(faces: Faces) -> HeadSpec | None:
    """The output that answers as annotators vote; None where there are no votes."""
    if faces.votes is None or not faces.votes.any():
        return None
    if set(faces.vote_labels) == set(VOTE_LABELS):
        return FERPLUS_HEAD
    return HeadSpec("votes", faces.vote_labels)


def _own_validation(options: DataOptions, training: Faces) -> Faces | None:
    """The validation faces, where they are a split or a dataset of their own; None to hold out training faces."""
    assert options.dataset is not None  # noqa: S101 - checked by the caller
    if options.fold is not None:
        return None
    if options.validation_data is not None or options.validation_split is not None:
        place = options.validation_data or options.dataset
        chosen = open_faces(place, options.validation_split, option=_VALIDATION_FLAG)
        if place.resolve() != options.dataset.resolve():
            # The column 'leaked' of another dataset is of copies in that one's training split.
            return _not_leaked(chosen)
        if chosen.split == training.split:
            raise UsageError(f"split '{training.split}' cannot be used for training and validation at the same time")
        return chosen
    try:
        chosen = open_faces(options.dataset, "validation")
    except UsageError:
        chosen = open_faces(options.dataset, option=_VALIDATION_FLAG)
    return chosen if chosen.split != training.split else None


def _held_out(options: DataOptions, training: Faces, seed: int) -> tuple[BoolArray, LearnedFrom]:
    """Which of the training faces are held out for validation, and how to find them again."""
    if options.fold is not None:
        held = fold_rows(training, options.fold)
        if not held.any():
            raise UsageError(f"{options.dataset} has no fold {options.fold} among its rows to learn from")
        return held, remember(training, held, fold=options.fold)
    share, seed = options.validation_share, derived_seed(seed, "validation") >> 32
    held = shared_rows(training, share, seed)
    return held, remember(training, held, share=share, seed=seed)


def _weights(options: DataOptions, training: Faces) -> npt.NDArray[np.float64]:
    weight = dataset_column(training, "weight", 0.0, "mien data balance --weights")
    if not np.isfinite(weight).all() or weight.min() < 0 or not weight.any():
        raise InputError(f"{options.dataset}", "its column 'weight' holds no weights: negative, not finite, or all 0")
    return np.asarray(weight)


def _scheme(spec: str | None, classes: Sequence[str]) -> LabelScheme:
    if spec is None:
        return LabelScheme.of(FER7 if set(FER7) == set(classes) else tuple(classes))
    scheme = find_scheme(spec, classes)
    missing = [name for names in scheme.members.values() for name in names if name not in classes]
    if missing and set(scheme.labels) <= set(classes):  # merged already, such as into positive and negative
        return LabelScheme.of(scheme.labels)
    if missing:
        raise UsageError(
            f"labels '{spec}' need the classes {', '.join(missing)}, but the dataset has {', '.join(classes)}"
        )
    return scheme


def _labelled(faces: Faces, scheme: LabelScheme, weight: npt.NDArray[np.float64] | None) -> Rows:
    rows = Rows(faces, map_labels(faces.label, faces.labels, scheme), scheme, {}, weight)
    for index, name in enumerate(faces.labels):
        rows = rows.take((rows.faces.label != index) | (rows.label >= 0), f"class {name}")
    return rows


def _without_leaks(what: str, training: Rows, validation: Rows) -> tuple[Rows, Rows]:
    if what == "keep" or not len(training) or not len(validation):
        return training, validation
    if what == "validation":
        leaked = validation.faces.leaked
        if leaked is None:
            leaked = copied_rows(validation.faces.squares(), training.faces.squares()) >= 0
        return training, validation.take(~leaked, "a copy in training")
    copied = copied_rows(training.faces.squares(), validation.faces.squares()) >= 0
    validation = dataclasses.replace(validation, faces=_not_leaked(validation.faces))
    return training.take(~copied, "a copy in validation"), validation


def _not_leaked(faces: Faces) -> Faces:
    """The same without what the dataset knows of leaks."""
    return dataclasses.replace(faces, leaked=None, leaked_by="")


def _not_faces(faces: Faces) -> BoolArray:
    """Rows that more than half of the annotators call no face."""
    share = not_face_share(faces.votes, faces.vote_labels)
    return np.zeros(len(faces), np.bool_) if share is None else np.asarray(share > 0.5)


def _check(rows: Rows, purpose: str, *, every_label: bool) -> None:
    where = f"{rows.faces.source} ({rows.faces.split})"
    if not len(rows):
        reasons = "; ".join(f"{count} left out: {reason}" for reason, count in rows.left_out.items())
        raise InputError(where, f"has no face to {purpose}{f' ({reasons})' if reasons else ''}")
    counts = np.bincount(rows.label, minlength=len(rows.scheme.labels))
    empty = [name for name, count in zip(rows.scheme.labels, counts, strict=True) if not count]
    if every_label and empty:
        drawn = "max_faces" in rows.left_out
        among = f" among the {len(rows):,} that --max-faces draws" if drawn else ""
        more = "draw" if drawn else "give"
        raise InputError(
            where,
            f"has no face of {', '.join(empty)} to {purpose}{among}; {more} more faces, or other labels with --labels",
        )
