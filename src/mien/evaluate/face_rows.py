"""A table with a row for each face that was evaluated: which it is, what was answered, with which probabilities."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.faces import Faces, is_dataset
from mien.data.parquet_file import load_pyarrow, parquet_writer
from mien.files import check_destination, refuse_source, replaced_file, utf8_text
from mien.labels import PROBABILITY_PREFIX

__all__ = ["check_face_rows", "face_columns", "write_face_rows"]

_CHUNK = 1024
_SUFFIXES = (".csv", ".parquet")
_TEXT = ("name", "label", "answer")
_TRUTH = ("leaked", "leaked_exactly")


def face_columns(
    faces: Faces,
    labels: Sequence[str],
    truth: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float64],
) -> dict[str, list[Any]]:
    """The columns of the table.

    Parameters
    ----------
    faces : Faces
        N rows.
    labels : sequence of C str
        The label scheme's.
    truth : int64 array of shape (N,)
        The label of each face, in [0, C).
    probabilities : float64 array of shape (N, C)

    Returns
    -------
    dict of str to list
        ``index`` (the row in the dataset, from 0; only of datasets of mien, where rows have such numbers), ``name``,
        ``label``, ``answer``, ``confidence``, ``probability_<label>`` for each label, ``leaked`` and
        ``leaked_exactly`` where that is known, ``attribute_<name>`` for each attribute (None where nothing is known).
    """
    columns: dict[str, list[Any]] = {}
    if is_dataset(Path(faces.source)):
        columns["index"] = faces.rows.tolist()
    # A part at a time: the images are read with the names.
    parts = np.split(np.arange(len(faces)), range(_CHUNK, len(faces), _CHUNK))
    columns["name"] = [utf8_text(name) for part in parts for name in faces.names(part)]
    columns["label"] = [labels[label] for label in truth]
    columns["answer"] = [labels[label] for label in probabilities.argmax(axis=1)]
    columns["confidence"] = probabilities.max(axis=1).tolist()
    for label, column in zip(labels, probabilities.T, strict=True):
        columns[f"{PROBABILITY_PREFIX}{label}"] = column.tolist()
    for name, known in zip(_TRUTH, (faces.leaked, faces.leaked_exactly), strict=True):
        if known is not None:
            columns[name] = known.tolist()
    for name, values in faces.attributes.items():
        columns[f"attribute_{name}"] = [value or None for value in values.tolist()]
    return columns


def check_face_rows(path: str | os.PathLike[str], *read: str | os.PathLike[str] | None) -> None:
    """Refuse a file that cannot be written, or that would replace one that is read, before any work is done.

    Raises
    ------
    UsageError
        If the suffix is neither ``.csv`` nor ``.parquet``, there is no such folder, or the file is one of those read.
    MissingExtraError
        If Parquet is asked for and pyarrow is not installed.
    """
    path = check_destination(path, *_SUFFIXES)
    for other in read:
        if other is not None:
            refuse_source(path, Path(other), "the dataset itself")
    if path.suffix.lower() == ".parquet":
        load_pyarrow()


def write_face_rows(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write the table, as CSV or as Parquet, whole or not at all (OutputError)."""
    with replaced_file(path) as part:
        if path.suffix.lower() == ".csv":
            with part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns)
                writer.writerows(zip(*columns.values(), strict=True))
            return
        pa = load_pyarrow()
        schema = pa.schema([(name, _arrow_type(name, pa)) for name in columns])
        with parquet_writer(part, schema) as writer:
            writer.write_table(pa.table(dict(columns), schema=schema))


def _arrow_type(name: str, pa: Any) -> Any:
    if name == "index":
        return pa.int64()
    if name in _TRUTH:
        return pa.bool_()
    return pa.string() if name in _TEXT or name.startswith("attribute_") else pa.float64()
