"""Files with one row per face: JSON lines, CSV, Parquet.

A file that is there already stays as it is until there is something to put in its place: the first reading. Lines are
written as they come and flushed at least once a second, so that a kill loses no more than that. A Parquet file is only
readable when it is complete: it appears under its name when the sink closes. Until then the rows are also written as
JSON lines beside it (``faces.parquet.partial.jsonl``), which is what a kill leaves behind.
"""

from __future__ import annotations

import contextlib
import csv
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mien.errors import OutputError, UsageError, import_extra
from mien.files import json_text, move_into_place, utf8_text
from mien.labels import LabelScheme
from mien.result import WHOLE_COLUMNS, Reading, columns
from mien.shell import is_closed_pipe
from mien.sink.base import Sink, check_labels
from mien.source import Frame

__all__ = ["CsvSink", "JsonLinesSink", "ParquetSink", "RowFile", "face_schema", "open_row_sink"]

_FLUSH_EVERY_S = 1.0
# File names may hold bytes that are no UTF-8; in files they are written as escapes, here and in JSON alike.
_NOT_UTF8 = "backslashreplace"
_PARQUET_ROWS = 4096


def open_row_sink(path: str | os.PathLike[str], scheme: LabelScheme, include_empty: bool = False) -> RowFile:
    """The sink for a file, chosen by its suffix: ``.jsonl``, ``.csv`` or ``.parquet``.

    Parameters
    ----------
    path : path
        An existing file is replaced as soon as something was read.
    scheme : LabelScheme
        Of the recognizer: its labels become columns.
    include_empty : bool
        Also write a row for each image without a face, in which all that is said of a face is empty.

    Raises
    ------
    UsageError
        If the suffix is unknown, or the file cannot be written.
    MissingExtraError
        If Parquet is asked for and pyarrow is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return RowFile(path, lambda: JsonLinesSink(_open_text(path), include_empty=include_empty, owned=True))
    if suffix == ".csv":
        return RowFile(path, lambda: CsvSink(path, scheme, include_empty))
    if suffix == ".parquet":
        face_schema(scheme.labels)  # whether pyarrow is there must be known now
        return RowFile(path, lambda: ParquetSink(path, scheme, include_empty))
    raise UsageError(f"{path}: unknown suffix '{path.suffix}'; expected .jsonl, .csv or .parquet")


class RowFile(Sink):
    """A file of rows that is begun at the first reading, so that a run which can read nothing costs no older file.

    Parameters
    ----------
    path : path
        Whether it can be written is found out at once, without changing what is there.
    begin : callable
        Makes the sink that replaces the file.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """

    def __init__(self, path: Path, begin: Callable[[], Sink]) -> None:
        self._begin = begin
        self._sink: Sink | None = None
        if path.exists() and not path.is_file() and not path.is_dir():
            self._sink = begin()  # a pipe has nothing to keep, and its reader waits for the end
        else:
            _check_writable(path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None:
            self._sink.__exit__(kind, error, trace)

    @property
    def begun(self) -> bool:
        """Whether anything was read, with faces or without: else no file was made or changed."""
        return self._sink is not None

    def write(self, reading: Reading, frame: Frame | None = None) -> None:
        """Write the reading's faces; an input that could not be read is passed over."""
        if reading.error is not None:
            return
        if self._sink is None:
            self._sink = self._begin()
        self._sink.write(reading, frame)


@contextlib.contextmanager
def _writing(name: str) -> Iterator[None]:
    """Wrap the errors of the file system; the reader of a pipe that has gone is left to the program."""
    try:
        yield
    except OSError as error:
        if is_closed_pipe(error):
            raise
        reason = error.strerror or error
        raise OutputError(f"{name}: cannot be written ({reason}); what was written so far stays readable") from error


def _open_text(path: Path) -> IO[str]:
    try:
        return path.open("w", encoding="utf-8", errors=_NOT_UTF8, newline="")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error


def _check_writable(path: Path) -> None:
    """Open a file without emptying it; one that was not there is gone again (UsageError)."""
    new = not os.path.lexists(path)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666))
        if new:
            path.unlink()
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error


class JsonLinesSink(Sink):
    """One JSON object a line and face, with the keys of `Reading.to_records`.

    Parameters
    ----------
    stream : text stream
        Written to and flushed; closed at the end only where `owned`.
    include_empty : bool
        Write a line for an image without a face, too: with ``"faces": 0``, and null for all that is said of a face.
    owned : bool
        Whether the sink closes the stream.
    """

    def __init__(self, stream: IO[str], include_empty: bool = False, owned: bool = False) -> None:
        self._stream = stream
        self._encoding: str | None = getattr(stream, "encoding", None)
        self._include_empty = include_empty
        self._owned = owned
        self._name = str(getattr(stream, "name", "<stream>"))
        self._flushed_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        with _writing(self._name):
            try:
                self._stream.flush()
            finally:
                if self._owned:
                    _close(self._stream)

    def write(self, reading: Reading, frame: Frame | None = None) -> None:  # noqa: ARG002
        """Write the reading's faces."""
        records = reading.to_records(include_empty=self._include_empty)
        if not reading.faces:
            records = [{**record, "faces": 0} for record in records]
        with _writing(self._name):
            for record in records:
                self._stream.write(json_text(record, self._encoding, finite=True) + "\n")
            self._flushed_s = _flush_if_due(self._stream, self._flushed_s)


class CsvSink(Sink):
    """Comma-separated values with a header, one row per face, with the columns of `Reading.to_rows`.

    Parameters
    ----------
    path : Path
        An existing file is replaced at once; `open_row_sink` waits until something was read.
    scheme : LabelScheme
        Of the recognizer: its labels become columns.
    include_empty : bool
        Also write a row for each image without a face, in which all that is said of a face is empty.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """

    def __init__(self, path: Path, scheme: LabelScheme, include_empty: bool = False) -> None:
        self._include_empty = include_empty
        self._labels = scheme.labels
        self._stream = _open_text(path)
        self._writer = csv.DictWriter(self._stream, columns(scheme.labels), lineterminator="\n")
        self._name = str(path)
        self._flushed_s = time.monotonic()
        with _writing(self._name):
            self._writer.writeheader()

    def __exit__(self, *_: object) -> None:
        with _writing(self._name):
            _close(self._stream)

    def write(self, reading: Reading, frame: Frame | None = None) -> None:  # noqa: ARG002
        """Write the reading's faces."""
        check_labels(reading, self._labels)
        with _writing(self._name):
            self._writer.writerows(reading.to_rows(include_empty=self._include_empty))
            self._flushed_s = _flush_if_due(self._stream, self._flushed_s)


class ParquetSink(Sink):
    """A Parquet file, one row per face, with the columns of `Reading.to_rows`.

    Parameters
    ----------
    path : Path
        An existing file is replaced at the end, when the new one is complete.
    scheme, include_empty
        As of `CsvSink`.

    Raises
    ------
    UsageError
        If the file cannot be written.
    MissingExtraError
        If pyarrow is not installed.
    """

    def __init__(self, path: Path, scheme: LabelScheme, include_empty: bool = False) -> None:
        self._include_empty = include_empty
        self._labels = scheme.labels
        self._schema = face_schema(scheme.labels)
        import pyarrow.parquet

        self._path = path
        self._journal_path = path.with_name(f"{path.name}.partial.jsonl")
        self._journal = JsonLinesSink(_open_text(self._journal_path), include_empty, owned=True)
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            # As bytes: of texts pyarrow takes only those that are UTF-8, and file names need not be.
            self._file = pyarrow.OSFile(os.fsencode(self._partial), "wb")
            self._writer = pyarrow.parquet.ParquetWriter(self._file, self._schema)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror or error}); choose another --out") from error
        self._rows: list[dict[str, Any]] = []

    def __exit__(self, *_: object) -> None:
        # What was read before an error is worth keeping: the file is completed either way. Where it cannot be, the
        # lines beside it stay.
        complete = False
        try:
            with _writing(str(self._path)):
                with self._file, self._writer:
                    self._write_rows()
                move_into_place(self._partial, self._path)
            complete = True
        finally:
            # On a full disk this makes room for the last lines.
            self._partial.unlink(missing_ok=True)
            with contextlib.suppress(OutputError):
                self._journal.__exit__(None, None, None)
            if complete:
                self._journal_path.unlink(missing_ok=True)

    def write(self, reading: Reading, frame: Frame | None = None) -> None:  # noqa: ARG002
        """Write the reading's faces."""
        check_labels(reading, self._labels)
        self._journal.write(reading)
        for row in reading.to_rows(include_empty=self._include_empty):
            self._rows.append({**row, "source": utf8_text(row["source"])})
        if len(self._rows) >= _PARQUET_ROWS:
            self._write_rows()

    def _write_rows(self) -> None:
        import pyarrow

        if self._rows:
            with _writing(str(self._path)):
                self._writer.write_table(pyarrow.Table.from_pylist(self._rows, self._schema))
            self._rows = []


def face_schema(labels: Sequence[str]) -> Any:
    """The Arrow schema of `Reading.to_rows` for a label scheme.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    """
    pyarrow = import_extra("Writing Parquet", "pyarrow", "parquet")
    text, whole = pyarrow.string(), pyarrow.int64()
    kinds = {"source": text, "expression": text, **dict.fromkeys(WHOLE_COLUMNS, whole)}
    return pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in columns(labels)])


def _close(stream: IO[str]) -> None:
    """Close a file even where its last bytes cannot be written."""
    try:
        stream.close()
    finally:
        # A failed flush keeps the bytes and would raise again, later, when the object is collected.
        with contextlib.suppress(OSError):
            stream.close()


def _flush_if_due(stream: IO[str], flushed_s: float) -> float:
    now_s = time.monotonic()
    if now_s - flushed_s < _FLUSH_EVERY_S:
        return flushed_s
    stream.flush()
    return now_s
