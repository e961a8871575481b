"""The one form in which mien keeps datasets: a Parquet file that Hugging Face `datasets` reads too."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.data.info import METADATA_KEY, PHOTOS_KEY, REQUIRED_COLUMNS, USUAL_SPLITS, DatasetInfo
from mien.data.parquet_file import load_pyarrow, open_dataset
from mien.data.pixels import cut_face, decode_gray, fit_square
from mien.data.writer import ROW_GROUP_BYTES, DatasetWriter
from mien.errors import InputError
from mien.files import check_destination, refuse_source
from mien.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Dataset", "as_dataset", "check_new", "count_labels"]

IntArray = npt.NDArray[np.int64]
_BATCH_ROWS = 1024
# Photos are large, so fewer of them are kept at a time: five of 12 megapixels.
_BATCH_PIXELS = 1 << 26


class Dataset:
    """A dataset on disk. Opening it reads no image; columns are read when they are asked for.

    Each row is one face, with these columns:

    - ``image``: an image file's bytes and name: the face, or a photo with ``box_xyxy`` around it
    - ``label``: index into `labels`
    - ``split``: ``"train"``, or the name of an evaluation split
    - ``source``, ``row``: the file that it came from, and its row there (from 0; null where a file is one image)

    Where they are known there are more:

    - ``votes`` of annotators, and a ``distribution`` over the labels
    - ``box_xyxy`` and ``landmarks_xy``: where the face is, in pixels of the stored image
    - ``valence`` and ``arousal``: in [-1, 1]
    - ``attributes``: other facts, as texts by `info.attribute_names`
    - ``leaked``: whether an evaluation row has a copy in training
    - ``mirrored``: whether oversampling added the row; ``weight``: for sampling; ``fold``: from 0

    Parameters
    ----------
    path : path
        A file that `mien data import` (`import_dataset`) wrote.

    Raises
    ------
    InputError
        If the file cannot be read, or is not of this form.

    Examples
    --------
    >>> dataset = Dataset("fer2013.parquet")  # doctest: +SKIP
    >>> dataset.labels[dataset.label[0]], dataset.images().shape  # doctest: +SKIP
    ('angry', (32298, 48, 48))
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        name = str(path)
        if self.path.is_dir():
            raise InputError(name, "is a folder; 'mien data import SOURCE DEST' makes a dataset of any layout")
        self._file = open_dataset(self.path, "mien data import", "a dataset of any layout")
        metadata = self._file.metadata.metadata or {}
        if PHOTOS_KEY in metadata:
            raise InputError(
                name, "holds photos with face boxes, for detectors; expected a dataset that 'mien data import' wrote"
            )
        if METADATA_KEY not in metadata:
            raise InputError(name, "is not a dataset of mien; 'mien data import SOURCE DEST' makes one of it")
        self.info = DatasetInfo.from_json(metadata[METADATA_KEY], name)
        present = self._file.schema.names
        missing = [name for name in (*REQUIRED_COLUMNS, *self.info.columns) if name not in present]
        if missing:
            raise InputError(name, f"lacks the columns {', '.join(missing)}; it has {', '.join(present)}")

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def __repr__(self) -> str:
        return f"Dataset({str(self.path)!r}: {len(self):,} rows, {len(self.labels)} classes)"

    def __fspath__(self) -> str:
        return str(self.path)  # so that whatever takes the file takes the dataset, as `mien.evaluate.evaluate_model`

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.info.labels

    @functools.cached_property
    def label(self) -> IntArray:
        """Each row's class, as an index into `labels`; int64 of shape (N,)."""
        values = self._column("label").to_numpy().astype(np.int64)
        if len(values) and not 0 <= values.min() <= values.max() < len(self.labels):
            raise InputError(
                str(self.path), f"labels from {values.min()} to {values.max()}; expected 0 to {len(self.labels) - 1}"
            )
        return np.asarray(values)

    @functools.cached_property
    def split(self) -> npt.NDArray[np.str_]:
        """Each row's split, of shape (N,)."""
        return np.array(self._column("split").to_pylist(), np.str_)

    @functools.cached_property
    def splits(self) -> dict[str, int]:
        """The number of rows in each split: train, validation, test, then others in the order in which they come."""
        counts = Counter(self.split.tolist())
        usual = [name for name in USUAL_SPLITS if name in counts]
        return {name: counts[name] for name in dict.fromkeys([*usual, *counts])}

    @functools.cached_property
    def votes(self) -> npt.NDArray[np.uint8] | None:
        """The annotators' votes, of shape (N, len(info.vote_labels)); zeros where a row has none; None without."""
        if "votes" not in self.info.columns:
            return None
        column, count = self._column("votes"), len(self.info.vote_labels)
        values = np.zeros((len(self), count), np.uint8)
        known = ~column.is_null().to_numpy()
        values[known] = column.drop_null().combine_chunks().flatten().to_numpy().reshape(-1, count)
        return values

    @functools.cached_property
    def attributes(self) -> dict[str, npt.NDArray[np.str_]]:
        """What is known of each face besides its expression, such as gender and age.

        Returns
        -------
        dict of str to str array of shape (N,)
            By the names in `info.attribute_names`; empty texts where nothing is known.
        """
        names = self.info.attribute_names
        rows = [value or {} for value in self.column("attributes")]
        return {name: np.array([row.get(name) or "" for row in rows], np.str_) for name in names}

    def row_groups(self) -> IntArray:
        """The number of the row group in which each row is stored, ascending; int64 of shape (N,).

        Rows of one group are read together, so it is cheap to ask for several of them.
        """
        return self._row_groups.copy()

    @functools.cached_property
    def _row_groups(self) -> IntArray:
        counts = [self._file.metadata.row_group(group).num_rows for group in range(self._file.metadata.num_row_groups)]
        return np.repeat(np.arange(len(counts)), counts)

    def __reduce__(self) -> tuple[type[Dataset], tuple[Path]]:
        # An open file cannot travel to another process; it is opened again there.
        return Dataset, (self.path,)

    def column(self, name: str) -> list[Any]:
        """Any column as a list of Python values; None where a value, or the whole column, is missing."""
        if name not in (*REQUIRED_COLUMNS, *self.info.columns):
            return [None] * len(self)
        return list(self._column(name).to_pylist())

    def names(self) -> list[str]:
        """What to call each row: its source, with the row number where the source has several."""
        return [
            source if row is None else f"{source} row {row}"
            for source, row in zip(self.column("source"), self.column("row"), strict=True)
        ]

    def images(self, size_px: int = 48, progress: Progress | None = None) -> npt.NDArray[np.uint8]:
        """All faces as gray squares.

        The face is cut out where the row has a box, completed to a square by reflection, and scaled by area averages
        (linearly where it is smaller). Images of this size already come out unchanged.

        Parameters
        ----------
        size_px : int
            Width and height.
        progress : callable, optional
            Called with what is done, of how many, and what is under way.

        Returns
        -------
        uint8 array of shape (N, size_px, size_px)
        """
        images = np.empty((len(self), size_px, size_px), np.uint8)
        start = 0
        for batch in self.image_batches():
            for offset, image in enumerate(batch):
                images[start + offset] = fit_square(image, size_px)
            start += len(batch)
            if progress is not None:
                progress(start, len(self), "reading images")
        return images

    def image_batches(self, rows: int = _BATCH_ROWS) -> Iterator[list[npt.NDArray[np.uint8]]]:
        """The faces in order, a list of at most `rows` at a time: gray, each in its own size, cut out by its box."""
        faces: list[npt.NDArray[np.uint8]] = []
        row = pixels = 0
        for batch in self.batches(rows):
            boxes = batch.column("box_xyxy").to_pylist() if "box_xyxy" in batch.column_names else [None] * len(batch)
            encoded = batch.column("image").combine_chunks().field("bytes")
            for data, box in zip(encoded, boxes, strict=True):
                face = cut_face(decode_gray(data.as_py() or b"", f"{self.path} row {row}"), box)
                # A copy: a view would keep the whole photo in memory.
                faces.append(face if box is None else face.copy())
                row += 1
                pixels += face.size
                if len(faces) == rows or pixels >= _BATCH_PIXELS:
                    yield faces
                    faces, pixels = [], 0
        if faces:
            yield faces

    def batches(self, rows: int = _BATCH_ROWS, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in order, as Arrow tables of at most `rows`, never of two row groups; memory stays flat.

        Parameters
        ----------
        rows : int
            At most so many at a time.
        columns : sequence of str, optional
            Only these; all by default.
        """
        pa = load_pyarrow()
        for group in range(self._file.metadata.num_row_groups):
            for batch in self._file.batches(rows, [group], columns):
                yield pa.Table.from_batches([batch])

    def encoded(self, index: Sequence[int] | IntArray) -> dict[int, bytes]:
        """The stored image bytes of some rows, by their numbers; `index` are these, from 0, in any order."""
        return dict(self.each_encoded(index))

    def each_encoded(self, index: Sequence[int] | IntArray) -> Iterator[tuple[int, bytes]]:
        """As `encoded`, ascending and each once, where all of them may be more than fit into memory."""
        wanted = np.unique(np.asarray(index, np.int64))
        groups = self._row_groups
        for part in np.split(wanted, np.flatnonzero(np.diff(groups[wanted])) + 1):
            if len(part):
                group = int(groups[part[0]])
                column = self._file.read_row_group(group, columns=["image"]).column("image").combine_chunks()
                inside = load_pyarrow().array(part - np.searchsorted(groups, group))
                yield from zip(part.tolist(), column.field("bytes").take(inside).to_pylist(), strict=True)

    def write_rows(
        self,
        path: str | os.PathLike[str],
        index: Sequence[int] | IntArray,
        info: DatasetInfo,
        *,
        replace: Mapping[str, Sequence[Any] | npt.NDArray[Any]] | None = None,
        mirror: npt.NDArray[np.bool_] | None = None,
    ) -> Dataset:
        """Write some rows as a new dataset; this one is not changed.

        Parameters
        ----------
        path : path
            The new file; it appears whole or not at all.
        index : sequence of int
            Rows to write, in ascending order; a row may come several times.
        info : DatasetInfo
            The description of the new dataset.
        replace : mapping of str to sequence, optional
            New values of columns, one for each element of `index`.
        mirror : bool array of the length of `index`, optional
            Rows to store mirrored (image, box and landmarks).

        Returns
        -------
        Dataset
            The new dataset, opened.

        Raises
        ------
        UsageError
            If no file can be written at `path`, or it is this dataset.
        """
        from mien.data.rewrite import rewrite_table

        check_new(path, self)
        order = np.asarray(index, np.int64)
        if len(order) and (np.any(np.diff(order) < 0) or order[0] < 0 or order[-1] >= len(self)):
            raise ValueError(f"index must ascend within 0 to {len(self) - 1}")
        start = 0
        with DatasetWriter(path, info) as writer:
            for batch in self.batches():
                first, last = np.searchsorted(order, [start, start + len(batch)])
                # Repeated photos may be many times as large as their row group: only some are written at a time.
                step = max(1, len(batch) * ROW_GROUP_BYTES // max(1, batch.nbytes))
                for begin in range(int(first), int(last), step):
                    chosen = slice(begin, min(begin + step, int(last)))
                    values = {name: column[chosen] for name, column in (replace or {}).items()}
                    flip = None if mirror is None else mirror[chosen]
                    writer.write_table(rewrite_table(batch, order[chosen] - start, info, values, flip))
                start += len(batch)
        return Dataset(path)

    def _column(self, name: str) -> Any:
        return self._file.read(columns=[name]).column(name)


def count_labels(label: npt.NDArray[np.int64], labels: Sequence[str]) -> dict[str, int]:
    """How many rows each class has; `label` are indices into `labels`."""
    return dict(zip(labels, np.bincount(label, minlength=len(labels)).tolist(), strict=True))


def check_new(dest: str | os.PathLike[str], dataset: Dataset) -> None:
    """Refuse what no dataset made from another one can be written to, before the work is done (UsageError)."""
    refuse_source(check_destination(dest), dataset.path, "the dataset itself")


def as_dataset(dataset: Dataset | str | os.PathLike[str]) -> Dataset:
    """A dataset that may be given by its file, which is then opened."""
    return dataset if isinstance(dataset, Dataset) else Dataset(dataset)
