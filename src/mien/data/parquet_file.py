"""Parquet files: opened without being read, and damage told as such wherever it is come upon."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import InputError, MienError, import_extra

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetFile", "load_pyarrow", "open_dataset", "parquet_writer", "readable"]


def load_pyarrow() -> Any:
    """Import pyarrow (with its Parquet module), or say which extra brings it."""
    return import_extra("Reading and writing datasets", "pyarrow.parquet", "data")


@contextlib.contextmanager
def readable(source: str) -> Iterator[None]:
    """The boundary at which pyarrow's errors become ours: a file may be damaged anywhere."""
    try:
        yield
    except MienError:
        raise
    except Exception as error:
        arrow = sys.modules.get("pyarrow")
        if not isinstance(error, OSError) and (arrow is None or not isinstance(error, arrow.ArrowException)):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(source, f"is damaged or cannot be read ({reason})") from error


class ParquetFile:
    """A Parquet file, memory-mapped: what is not touched is not read.

    Pages with a checksum, which `parquet_writer` gives all of its own, are checked against it: a damaged picture
    would else be another picture. Whatever cannot be read later on is an InputError.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._source = str(path)
        pa = load_pyarrow()
        try:
            # As bytes: of texts pyarrow takes only those that are UTF-8, and file names need not be.
            mapped = pa.memory_map(os.fsencode(path))
            self._file = pa.parquet.ParquetFile(mapped, page_checksum_verification=True)
        except UnicodeDecodeError as error:
            raise pa.ArrowInvalid(f"the name of a column is not UTF-8: {error}") from error

    @property
    def metadata(self) -> Any:
        """What the file says of itself: pyarrow's FileMetaData."""
        return self._file.metadata

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        return self._file.schema_arrow

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """These columns, or all, of all rows."""
        with readable(self._source):
            return self._file.read(columns=columns)

    def read_row_group(self, group: int, columns: Sequence[str]) -> pa.Table:
        """These columns of the rows that are stored together."""
        with readable(self._source):
            return self._file.read_row_group(group, columns=columns)

    def batches(
        self, most_rows: int, groups: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in order, at most so many at a time; of these row groups and columns, or of all."""
        with readable(self._source):
            found = self._file.iter_batches(most_rows, groups, columns)
        while True:
            # What is done with a batch is not within: errors of others are not this file's.
            with readable(self._source):
                batch = next(found, None)
            if batch is None:
                return
            yield batch


def open_dataset(path: Path, command: str, what: str) -> ParquetFile:
    """Open a `ParquetFile`; an InputError names the command that makes `what`."""
    pa = load_pyarrow()
    try:
        return ParquetFile(path)
    except FileNotFoundError:
        raise InputError(str(path), f"no such file; '{command} SOURCE DEST' makes {what}") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            str(path),
            f"cannot be read as Parquet ({str(error).splitlines()[0]}); '{command} SOURCE DEST' makes {what}",
        ) from error


@contextlib.contextmanager
def parquet_writer(path: str | os.PathLike[str], schema: pa.Schema, **options: Any) -> Iterator[Any]:
    """A pyarrow ParquetWriter of a new file, which is closed at the end of the block (OSError)."""
    pa = load_pyarrow()
    # Images are compressed already: Snappy finds nothing in them and costs little; other columns shrink.
    with (
        pa.OSFile(os.fsencode(path), "wb") as file,
        pa.parquet.ParquetWriter(file, schema, compression="snappy", write_page_checksum=True, **options) as writer,
    ):
        yield writer
