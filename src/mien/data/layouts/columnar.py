"""Files of columns: Parquet, and the Arrow files that ``save_to_disk`` of Hugging Face `datasets` writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from mien.data.info import METADATA_KEY, PHOTOS_KEY
from mien.data.layouts.names import split_name, split_of_file
from mien.data.parquet_file import ParquetFile, load_pyarrow
from mien.errors import InputError, MienError
from mien.files import parse_json

__all__ = ["ColumnFile", "column_files", "is_own", "open_columns", "split_of"]

_PARQUET = ("*.parquet", "data/*.parquet", "*/[0-9]*.parquet", "default/*/[0-9]*.parquet")
# Not the indices that `datasets` keeps beside them, cache-*.arrow.
_ARROW = ("data-*.arrow", "*/data-*.arrow")
_STATE = "state.json"
_ORDER = {"train": 0, "validation": 1, "test": 2}
_PARQUET_MARK, _ARROW_MARKS = b"PAR1", (b"\xff\xff\xff\xff", b"ARROW1")


class ColumnFile(Protocol):
    """An open file of columns; what is not touched is not read.

    Attributes
    ----------
    schema : pyarrow.Schema
    metadata : dict of bytes to bytes
        Of the schema and of the file.
    rows : int
    """

    schema: Any
    metadata: dict[bytes, bytes]
    rows: int

    def batches(self, most_rows: int, columns: Sequence[str]) -> Iterator[Any]:
        """Record batches of these columns, of at most so many rows."""
        ...

    def values(self, column: str) -> list[Any]:
        """The distinct values of a column."""
        ...


class _Parquet:
    def __init__(self, path: Path) -> None:
        self._file = ParquetFile(path)
        self.schema = self._file.schema
        self.metadata = {**(self.schema.metadata or {}), **(self._file.metadata.metadata or {})}
        self.rows: int = self._file.metadata.num_rows

    def batches(self, most_rows: int, columns: Sequence[str]) -> Iterator[Any]:
        yield from self._file.batches(most_rows, columns=list(columns))

    def values(self, column: str) -> list[Any]:
        values: list[Any] = self._file.read(columns=[column]).column(column).unique().to_pylist()
        return values


class _Arrow:
    """Memory-mapped: the batches are places in the file."""

    def __init__(self, path: Path) -> None:
        pa = load_pyarrow()
        data = pa.memory_map(os.fsencode(path))
        is_file = data.read(len(_ARROW_MARKS[1])) == _ARROW_MARKS[1]
        data.seek(0)
        if is_file:
            reader = pa.ipc.open_file(data)
            self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        else:
            reader = pa.ipc.open_stream(data)
            self._batches = list(reader)
        self.schema = reader.schema
        self.metadata: dict[bytes, bytes] = dict(self.schema.metadata or {})
        self.rows = sum(len(batch) for batch in self._batches)

    def batches(self, most_rows: int, columns: Sequence[str]) -> Iterator[Any]:
        for batch in self._batches:
            own = batch.select(list(columns))
            for start in range(0, len(own), most_rows):
                yield own.slice(start, most_rows)

    def values(self, column: str) -> list[Any]:
        return list(dict.fromkeys(value for batch in self._batches for value in batch.column(column).to_pylist()))


def column_files(path: Path) -> list[Path]:
    """The file itself, or those of a folder: training first, then by name; empty where there are none."""
    if path.is_file():
        return [path] if _is_columns(path) else []
    if not path.is_dir():
        return []
    found = {file for place in _PARQUET for file in path.glob(place)}
    found = found or {file for place in _ARROW for file in path.glob(place)}
    found = {file for file in found if _is_columns(file) and not _has_key(file, PHOTOS_KEY)}
    # What was imported into the same folder would bring each face again.
    others = {file for file in found if not is_own(file)} if len(found) > 1 else found
    return sorted(others or found, key=lambda file: (_ORDER.get(split_of(file), 3), file.parent, file.name))


def is_own(path: Path) -> bool:
    """Whether this is a dataset of faces that mien wrote."""
    return _has_key(path, METADATA_KEY)


def _has_key(path: Path, key: bytes) -> bool:
    if path.suffix == ".arrow":
        return False
    try:
        return key in open_columns(path).metadata
    except MienError:
        return False


def split_of(file: Path) -> str:
    """The split: what `datasets` noted, or what the file's name says, or its folder's where it has but a number."""
    if file.suffix == ".arrow":
        try:
            noted = parse_json((file.parent / _STATE).read_text(encoding="utf-8")).get("_split")
        except (OSError, ValueError, AttributeError):
            noted = None
        # As `datasets` names what is a part of a split: train[:90%].
        return split_name(str(noted).partition("[")[0]) if noted else split_of_file(file.parent.resolve())
    return split_of_file(file.parent if file.stem.isdigit() else file)


def open_columns(path: Path) -> ColumnFile:
    """Open one file.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    pa = load_pyarrow()
    kind = "Arrow" if path.suffix == ".arrow" else "Parquet"
    try:
        return _Arrow(path) if kind == "Arrow" else _Parquet(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(path), f"cannot be read as {kind} ({str(error).splitlines()[0]})") from error


def _is_columns(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(6)
    except OSError:
        return False
    return start.startswith(_ARROW_MARKS if path.suffix == ".arrow" else _PARQUET_MARK)
