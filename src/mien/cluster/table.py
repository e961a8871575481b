"""Tables of images: Parquet and CSV (with commas, semicolons or tabs) with a column of paths or of image bytes."""

from __future__ import annotations

import base64
import binascii
import codecs
import contextlib
import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mien.cluster.storage import open_address, reason
from mien.errors import InputError, UsageError
from mien.source.header import read_header
from mien.source.name import shown_name

__all__ = ["Columns", "cut_table", "find_columns", "read_addresses", "read_images", "read_keys", "slashes"]

USUAL_NAMES = (
    "image",
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "image_path",
    "url",
    "uri",
    "address",
    "bytes",
    "jpg",
)
_BATCH_ROWS = 64
_PATH_BATCH_ROWS = 4096
_CSV_BLOCK_BYTES = 32 << 20
"""A row must fit in: the largest image in base64."""
_DELIMITERS = ",;\t"
_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class Columns:
    """Where a table keeps its images.

    Attributes
    ----------
    image : str
        The column of paths or bytes.
    key : str or None
        The column of keys.
    holds_bytes : bool
        Whether the column holds the images themselves.
    """

    image: str
    key: str | None
    holds_bytes: bool


def find_columns(address: str, column: str | None, key_column: str | None) -> Columns:
    """Find out where a table keeps its images: the column that was named, else one of the usual names.

    Raises
    ------
    UsageError
        If there is no such column, or it holds neither paths nor bytes.
    """
    import pyarrow

    shown = shown_name(address)
    with _opened(address) as table:
        schema = table.schema
        first = next(iter(table.batches(None)), None)
    names = list(schema.names)
    if column is None:
        known = [name for name in names if name.lower() in USUAL_NAMES] or (names if len(names) == 1 else [])
        if not known:
            raise UsageError(f"{shown}: which column holds the images? Name it with --column: {', '.join(names)}")
        column = min(known, key=lambda name: USUAL_NAMES.index(name.lower()) if name.lower() in USUAL_NAMES else 99)
    for name in (column, key_column):
        if name is not None and name not in names:
            raise UsageError(f"{shown}: has no column '{name}'; it has {', '.join(names)}")
    kind = schema.field(column).type
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        return Columns(column, key_column, True)
    if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return Columns(column, key_column, True)
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        values = [] if first is None else [value for value in first.column(column).to_pylist() if value]
        return Columns(column, key_column, bool(values) and _from_base64(values[0]) is not None)
    raise UsageError(f"{shown}: column '{column}' holds {kind}; expected paths (text) or images (bytes)")


def cut_table(address: str, part_size: int) -> Iterator[tuple[int, int]]:
    """Rows of the parts: first, and the one after the last."""
    with _opened(address) as table:
        rows = table.count_rows()
    for start in range(0, rows, part_size):
        yield start, min(start + part_size, rows)


def read_addresses(address: str, columns: Columns) -> Iterator[tuple[str, str]]:
    """Key and path of each row; rows without a path are left out."""
    wanted = [columns.image] if columns.key is None else [columns.image, columns.key]
    with _opened(address) as table:
        for batch in table.batches(wanted):
            paths = [path and slashes(str(path)) for path in batch.column(columns.image).to_pylist()]
            keys = paths if columns.key is None else batch.column(columns.key).to_pylist()
            yield from (
                (str(path if key in (None, "") else key), path) for key, path in zip(keys, paths, strict=True) if path
            )


def slashes(path: str) -> str:
    """A path as Windows writes it, with the separators of all other systems."""
    return path if "/" in path else path.replace("\\", "/")


def read_keys(address: str, column: str) -> Iterator[Any]:
    """The values of a column."""
    with _opened(address) as table:
        for batch in table.batches([column]):
            yield from batch.column(column).to_pylist()


def read_images(address: str, key: str, columns: Columns, start: int, stop: int) -> Iterator[tuple[str, bytes]]:
    """Key and bytes of the images of some rows; bytes are empty where a row holds none.

    Raises
    ------
    InputError
        If the table cannot be read.
    """
    wanted = [columns.image] if columns.key is None else [columns.image, columns.key]
    try:
        with _opened(address) as table:
            row = start
            for batch in table.rows(wanted, start, stop):
                images = batch.column(columns.image).to_pylist()
                keys = [None] * len(images) if columns.key is None else batch.column(columns.key).to_pylist()
                for name, image in zip(keys, images, strict=True):
                    yield f"{key}#{row}" if name is None else str(name), _bytes_of(image)
                    row += 1
    except InputError:
        raise
    except Exception as error:
        raise InputError(key, f"the table cannot be read ({reason(error)})") from error


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, dict):  # the layout of Hugging Face: {"bytes": ..., "path": ...}
        value = value.get("bytes")
    if isinstance(value, str):
        return _from_base64(value) or b""
    return bytes(value or b"")


def _from_base64(text: str) -> bytes | None:
    """The image that a text holds in base64 (RFC 4648, with or without a ``data:`` prefix); None where it is a path."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) < 64:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if read_header(data).format else None


class _Table(Protocol):
    """A table as it is read: in Arrow record batches."""

    schema: Any

    def batches(self, columns: list[str] | None) -> Iterator[Any]:
        """All rows of some columns; None for all columns, to look at a few rows only."""
        ...

    def count_rows(self) -> int: ...

    def rows(self, columns: list[str], start: int, stop: int) -> Iterator[Any]:
        """The rows from `start` up to `stop`."""
        ...


class _Parquet:
    """A Parquet file; of the row groups only those are read that hold what is wanted."""

    def __init__(self, file: Any) -> None:
        import pyarrow.parquet

        self._file = pyarrow.parquet.ParquetFile(file)
        self.schema: Any = self._file.schema_arrow

    def batches(self, columns: list[str] | None) -> Iterator[Any]:
        yield from self._file.iter_batches(_BATCH_ROWS if columns is None else _PATH_BATCH_ROWS, columns=columns)

    def count_rows(self) -> int:
        return int(self._file.metadata.num_rows)

    def rows(self, columns: list[str], start: int, stop: int) -> Iterator[Any]:
        groups, first, passed = [], 0, 0
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if passed + rows <= start:
                first = passed + rows
            elif passed < stop:
                groups.append(group)
            passed += rows
        return _between(self._file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns), first, start, stop)


class _Csv:
    """A CSV file; all cells are text, so that a key of 00012 stays what it is."""

    def __init__(self, file: Any) -> None:
        import pyarrow
        import pyarrow.csv

        self._file = file
        self._csv: Any = pyarrow.csv
        self._how = {
            "read_options": pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES),
            "parse_options": pyarrow.csv.ParseOptions(delimiter=_delimiter(file)),
        }
        names = pyarrow.csv.open_csv(file, **self._how).schema.names
        self.schema: Any = pyarrow.schema([(name, pyarrow.string()) for name in names])

    def batches(self, columns: list[str] | None) -> Iterator[Any]:
        self._file.seek(0)
        convert = self._csv.ConvertOptions(
            column_types=self.schema, include_columns=columns, null_values=[""], strings_can_be_null=True
        )
        yield from self._csv.open_csv(self._file, convert_options=convert, **self._how)

    def count_rows(self) -> int:
        return sum(batch.num_rows for batch in self.batches(None))

    def rows(self, columns: list[str], start: int, stop: int) -> Iterator[Any]:
        return _between(self.batches(columns), 0, start, stop)


def _between(batches: Iterable[Any], first: int, start: int, stop: int) -> Iterator[Any]:
    """The rows from `start` up to `stop`, of batches that begin with the row `first`."""
    for batch in batches:
        low, high = max(start - first, 0), min(stop - first, batch.num_rows)
        if low < high:
            yield batch.slice(low, high - low)
        first += batch.num_rows
        if first >= stop:
            return


@contextlib.contextmanager
def _opened(address: str) -> Iterator[_Table]:
    with open_address(address) as file:
        is_csv = address.partition("?")[0].lower().endswith((".csv", ".tsv"))
        yield _Csv(file) if is_csv else _Parquet(file)


def _delimiter(file: Any) -> str:
    """The delimiter of a CSV file: one with which its header has a usual name, else the one that gives most names."""
    begin = file.read(_HEADER_BYTES)
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnicodeError("the table is in UTF-16")
    head = begin.decode("utf-8-sig", errors="replace").splitlines()[:1]
    file.seek(0)

    def told(delimiter: str) -> tuple[bool, int]:
        names = [name.strip().lower() for name in next(csv.reader(head, delimiter=delimiter), [])]
        return any(name in USUAL_NAMES for name in names), len(names)

    return max(_DELIMITERS, key=told)
