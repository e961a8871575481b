"""Writing a dataset: whole or not at all, row group by row group, so that memory stays flat."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mien.data.info import METADATA_KEY, DatasetInfo
from mien.data.parquet_file import load_pyarrow, parquet_writer
from mien.files import check_destination, replaced_file

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DatasetWriter", "Row"]

ROW_GROUP_ROWS = 2048
# A group is read as a whole, and faces in random order come from many of them.
ROW_GROUP_BYTES = 4 << 20


@dataclass
class Row:
    """One face, as it is stored.

    Attributes
    ----------
    image : bytes
        An image file: PNG where mien encoded it, else the bytes as they came.
    label : int
        Index into `DatasetInfo.labels`.
    split : str
    source : str
        The file that the row came from, relative to what was imported.
    row : int or None
        Its row there, from 0; None where a file is one image.
    votes : sequence of int or None
        Annotators' votes in the order of `DatasetInfo.vote_labels`.
    distribution : sequence of float or None
        Probability of each of `DatasetInfo.labels`.
    box_xyxy : sequence of four float or None
        The face in pixels of the stored image.
    landmarks_xy : sequence of (float, float) or None
        In pixels of the stored image.
    valence, arousal : float or None
        In [-1, 1].
    attributes : mapping of str to str or None
        Of `DatasetInfo.attribute_names`; None, or a name that is missing, where it is not known.
    leaked, mirrored, weight, fold
        See `Dataset`.
    """

    image: bytes
    label: int
    split: str
    source: str
    row: int | None = None
    votes: Sequence[int] | None = None
    distribution: Sequence[float] | None = None
    box_xyxy: Sequence[float] | None = None
    landmarks_xy: Sequence[Sequence[float]] | None = None
    valence: float | None = None
    arousal: float | None = None
    attributes: Mapping[str, str] | None = None
    leaked: bool | None = None
    mirrored: bool | None = None
    weight: float | None = None
    fold: int | None = None


class DatasetWriter(contextlib.AbstractContextManager["DatasetWriter"]):
    """Writes rows into a Parquet file, which appears when the block ends without an error.

    Parameters
    ----------
    path : Path
        Ends in ``.parquet``; an existing file is replaced at the end.
    info : DatasetInfo
        Labels and columns. Assign `info` again before the end to record what is only known then (its history).

    Raises
    ------
    UsageError
        If no file of that name can be there.
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], info: DatasetInfo) -> None:
        self.info = info
        self.rows = 0
        self._schema = info.schema()
        self._path = check_destination(path)
        self._pending: list[Row] = []
        self._pending_bytes = 0
        self._tables: list[pa.Table] = []

    def __enter__(self) -> DatasetWriter:
        with contextlib.ExitStack() as stack:
            part = stack.enter_context(replaced_file(self._path))
            self._writer: Any = stack.enter_context(
                parquet_writer(part, self._schema, use_dictionary=["split", "source"])
            )
            stack.push(self._finish)
            self._files = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
            self._writer.add_key_value_metadata({METADATA_KEY.decode(): self.info.to_json()})

    def write(self, row: Row) -> None:
        """Add a row."""
        if self._tables:
            self._flush()
        self._pending.append(row)
        self._pending_bytes += len(row.image)
        if len(self._pending) >= ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def write_table(self, table: pa.Table) -> None:
        """Add rows that are in the dataset's schema already."""
        rows = sum(own.num_rows for own in self._tables) + table.num_rows
        size = sum(own.nbytes for own in self._tables) + table.nbytes
        if self._pending or rows > ROW_GROUP_ROWS or size > ROW_GROUP_BYTES:
            self._flush()
        self._tables.append(table.cast(self._schema))

    def _flush(self) -> None:
        pa = load_pyarrow()
        if self._tables:
            # One row group of what batches were cut down to, not one for each.
            table = pa.concat_tables(self._tables)
            self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
            self.rows += table.num_rows
            self._tables = []
        if not self._pending:
            return
        columns = []
        for item in self._schema:
            if item.name == "image":
                values: list[Any] = [{"bytes": row.image, "path": _file_name(row)} for row in self._pending]
            else:
                values = [getattr(row, item.name) for row in self._pending]
            columns.append(pa.array(values, item.type))
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema), row_group_size=ROW_GROUP_ROWS)
        self.rows += len(self._pending)
        self._pending, self._pending_bytes = [], 0


def _file_name(row: Row) -> str:
    stem = Path(row.source).name
    return stem if row.row is None else f"{Path(stem).stem}-{row.row:07d}.png"
