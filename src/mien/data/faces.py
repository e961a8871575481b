"""The labelled faces of one split, from a dataset in any layout."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.data.dataset import Dataset
from mien.data.info import METADATA_KEY, TRAIN
from mien.data.layouts import Item, ReadOptions, find_layout
from mien.data.layouts.names import split_name
from mien.data.parquet_file import ParquetFile, readable
from mien.data.pixels import fit_square
from mien.data.stored import DatasetRows, Image, IntArray, ItemRows, Stored
from mien.errors import InputError, UsageError
from mien.progress import Progress

__all__ = ["Faces", "find_training", "is_dataset", "open_faces", "open_training"]

_CHUNK = 1024


@dataclass(frozen=True)
class Faces:
    """Labelled faces; their pixels are only read when they are asked for.

    Attributes
    ----------
    source : str
        The dataset, as it was named.
    split : str
        Which of its splits this is.
    labels : tuple of str
        The dataset's classes.
    label : int64 array of shape (N,)
        Index into `labels`.
    votes : uint8 array of shape (N, len(vote_labels)) or None
        Annotators' votes; zeros where a row has none.
    vote_labels : tuple of str
        What annotators could choose, in the order of the columns of `votes`; empty without votes.
    leaked : bool array of shape (N,) or None
        Rows with a copy in training; None where nobody has looked.
    leaked_exactly : bool array of shape (N,) or None
        Those of them with an exact copy there; None where that is not known.
    leaked_by : str
        How that is known.
    rows : int64 array of shape (N,)
        Where each face is in the dataset, from 0.
    attributes : dict of str to str array of shape (N,)
        What else is known of each face, by the names that were asked for; empty texts where nothing is.
    groups : int64 array of shape (N,) or None
        Ascending numbers of rows that are stored together and only cheap to read together; None where every row is
        cheap to read.
    part : str
        Which of the split's rows these are, such as ``"the tenth of faces that training held out"``; empty where they
        are all of them.
    """

    source: str
    split: str
    labels: tuple[str, ...]
    label: IntArray
    votes: npt.NDArray[np.uint8] | None
    vote_labels: tuple[str, ...]
    leaked: npt.NDArray[np.bool_] | None
    leaked_exactly: npt.NDArray[np.bool_] | None
    leaked_by: str
    _fetch: Callable[[IntArray], list[Stored]] = dataclasses.field(repr=False)
    rows: IntArray = dataclasses.field(repr=False)
    attributes: Mapping[str, npt.NDArray[np.str_]] = dataclasses.field(default_factory=dict)
    groups: IntArray | None = None
    part: str = ""

    def __len__(self) -> int:
        return len(self.label)

    @property
    def title(self) -> str:
        """What to call these rows, such as ``"fer2013 (validation)"``."""
        return self.part or f"{Path(self.source).name} ({self.split})"

    def take(self, kept: npt.NDArray[np.bool_]) -> Faces:
        """Only the rows where `kept`, a bool array of shape (N,), is true."""
        return dataclasses.replace(
            self,
            label=self.label[kept],
            votes=None if self.votes is None else self.votes[kept],
            leaked=None if self.leaked is None else self.leaked[kept],
            leaked_exactly=None if self.leaked_exactly is None else self.leaked_exactly[kept],
            rows=self.rows[kept],
            attributes={name: values[kept] for name, values in self.attributes.items()},
            groups=None if self.groups is None else self.groups[kept],
        )

    def images(self, index: IntArray, *, color: bool = False) -> list[Image]:
        """The faces of some rows, each in its own size.

        Parameters
        ----------
        index : int64 array of shape (M,)
            Their places among these faces, from 0.
        color : bool
            Whether colour images give BGR of shape (H, W, 3); else all are gray, (H, W).

        Raises
        ------
        InputError
            If an image is damaged; it is named.
        """
        with readable(self.source):
            stored = self._fetch(self.rows[index])
        return [one.face(color) for one in stored]

    def squares(self, side_px: int = 48, progress: Progress | None = None) -> Image:
        """All faces as gray squares, as `mien.data.copies` compares them: uint8 of shape (N, side_px, side_px).

        Parameters
        ----------
        side_px : int
            Width and height of each square.
        progress : callable, optional
            Called with what is done, of how many, and what is under way.

        Raises
        ------
        InputError
            If an image is damaged; it is named.
        """
        squares = np.empty((len(self), side_px, side_px), np.uint8)
        for start in range(0, len(self), _CHUNK):
            part = self.images(np.arange(start, min(start + _CHUNK, len(self))))
            for row, image in enumerate(part, start):
                squares[row] = fit_square(image, side_px)
            if progress is not None:
                progress(start + len(part), len(self), "reading faces")
        return squares

    def digests(self, index: IntArray) -> list[bytes]:
        """A checksum of what is stored, a file's bytes or pixels, of each of some rows; `index` as for `images`."""
        with readable(self.source):
            stored = self._fetch(self.rows[index])
        return [
            hashlib.blake2b(pixels if isinstance(pixels, bytes) else pixels.tobytes(), digest_size=16).digest()
            for pixels, *_ in stored
        ]

    def names(self, index: IntArray) -> list[str]:
        """What to call some rows, such as the names of their files; `index` as for `images`."""
        with readable(self.source):
            return [one.where for one in self._fetch(self.rows[index])]


def open_faces(
    path: str | os.PathLike[str], split: str | None = None, attributes: Sequence[str] = (), *, option: str = "--split"
) -> Faces:
    """Open one split of a dataset.

    Parameters
    ----------
    path : path
        A dataset of mien, or a file or folder in any layout that `mien data import` reads (Parquet of Hugging Face
        `datasets`, a folder of class folders, ...).
    split : str, optional
        Its name, here or in the field (``"PublicTest"`` is ``"validation"``). By default the only one, or the only one
        that is not for training.
    attributes : sequence of str
        What else to read of each face: names, in small letters, of the dataset's attributes or of a table's columns.
    option : str
        What names a split where this is called from, for errors.

    Raises
    ------
    InputError
        If the dataset cannot be read, a row is damaged, or the split is empty.
    UsageError
        If there is no such split, or several could be meant, or there is no such attribute; those that there are, are
        named.
    """
    return _open(Path(path), lambda counts: _evaluation_split(counts, split, str(path), option), tuple(attributes))


def open_training(path: str | os.PathLike[str]) -> Faces:
    """Open the split ``train`` of a dataset, or its only split.

    Raises
    ------
    InputError, UsageError
        As `open_faces`.
    """
    return _open(Path(path), lambda counts: _training_split(counts, str(path)), ())


def find_training(
    training: str | os.PathLike[str] | Faces | None, data: str | os.PathLike[str], split: str
) -> Faces | None:
    """The faces that models were trained on, as far as they are at hand.

    Parameters
    ----------
    training : path, Faces or None
        The dataset that was named, or its faces; None for the split ``train`` of `data`.
    data, split
        The dataset and the split that the models are measured on.

    Returns
    -------
    Faces or None
        None where nothing was named, and `data` has no training split besides `split`.

    Raises
    ------
    InputError, UsageError
        If the dataset that was named cannot be read.
    """
    if isinstance(training, Faces):
        return training
    if training is not None:
        return open_training(training)
    try:
        found = open_training(data)
    except UsageError:  # several splits, none of them for training
        return None
    return None if found.split == split else found


def _open(path: Path, choose: Callable[[Mapping[str, int]], str], attributes: tuple[str, ...]) -> Faces:
    with readable(str(path)):
        opened = _open_dataset if is_dataset(path) else _open_layout
        return opened(path, choose, attributes)


def is_dataset(path: Path) -> bool:
    """Whether this is a file in mien's own form."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PAR1":
                return False
    except OSError:
        return False
    return METADATA_KEY in (ParquetFile(path).metadata.metadata or {})


def _require_attributes(wanted: tuple[str, ...], there: tuple[str, ...], source: Path) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        raise UsageError(
            f"{source} has no attribute {', '.join(missing)}; it has {', '.join(there) or 'none'}. "
            "'mien data import --attributes' keeps columns of a source"
        )


def _open_dataset(path: Path, choose: Callable[[Mapping[str, int]], str], attributes: tuple[str, ...]) -> Faces:
    dataset = Dataset(path)
    _require_attributes(attributes, dataset.info.attribute_names, path)
    split = choose(dataset.splits)
    rows = np.flatnonzero(dataset.split == split)
    known = "leaked" in dataset.info.columns
    leaked = np.array([bool(value) for value in dataset.column("leaked")], np.bool_)

    return Faces(
        source=str(path),
        split=split,
        labels=dataset.labels,
        label=dataset.label[rows],
        votes=None if dataset.votes is None else dataset.votes[rows],
        vote_labels=dataset.info.vote_labels,
        leaked=leaked[rows] if known else None,
        leaked_exactly=None,
        leaked_by="the dataset's column 'leaked'" if known else "",
        _fetch=DatasetRows(dataset),
        rows=rows,
        attributes={name: dataset.attributes[name][rows] for name in attributes},
        groups=dataset.row_groups()[rows],
    )


def _open_layout(path: Path, choose: Callable[[Mapping[str, int]], str], attributes: tuple[str, ...]) -> Faces:
    contents = find_layout(path).read(path, ReadOptions(attributes=attributes))
    _require_attributes(attributes, contents.attribute_names, path)
    items: list[Item] = []
    for item in contents.items:
        if isinstance(item, InputError):
            raise item
        items.append(item)
    split = choose(Counter(item.split for item in items))
    items = [item for item in items if item.split == split]
    width = len(contents.vote_labels)
    votes = np.array([item.votes or [0] * width for item in items], np.uint8) if width else None

    return Faces(
        source=str(path),
        split=split,
        labels=contents.labels,
        label=np.array([item.label for item in items], np.int64),
        votes=votes,
        vote_labels=contents.vote_labels,
        leaked=None,
        leaked_exactly=None,
        leaked_by="",
        _fetch=ItemRows(items),
        rows=np.arange(len(items)),
        attributes={
            name: np.array([(item.attributes or {}).get(name, "") for item in items], np.str_) for name in attributes
        },
    )


def _evaluation_split(counts: Mapping[str, int], wanted: str | None, source: str, option: str) -> str:
    if not counts:
        raise InputError(source, "has no rows; expected labelled faces")
    if wanted is not None:
        for name in (wanted, split_name(wanted)):
            if name in counts:
                return name
        raise UsageError(f"{source} has no split '{wanted}'; it has {_listed(counts)}")
    if len(counts) == 1:
        return next(iter(counts))
    held_out = [name for name in counts if name != TRAIN]
    if len(held_out) == 1:
        return held_out[0]
    raise UsageError(f"{source} has several splits: {_listed(counts)}; name one with {option}")


def _training_split(counts: Mapping[str, int], source: str) -> str:
    if not counts:
        raise InputError(source, "has no rows; expected training faces")
    if TRAIN in counts:
        return TRAIN
    if len(counts) == 1:
        return next(iter(counts))
    raise UsageError(f"{source} has no split '{TRAIN}'; it has {_listed(counts)}")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,} rows)" for name, count in counts.items())
