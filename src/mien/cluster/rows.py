"""The two tables of a batch, as Parquet: one row per face, and one row for every input with how it went."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mien.files import utf8_text
from mien.sink.rows import face_schema

__all__ = ["PartTables", "Tally", "read_tally"]

_ROWS_A_CHUNK = 2048
_TALLY = b"mien.tally"
_MOST_REASONS = 50
_LONGEST_REASON = 120


@dataclass
class Tally:
    """Counts of one part, or of several added up.

    Attributes
    ----------
    inputs, ok, no_face, unreadable : int
        Inputs, and how they went.
    frames : int
        Pictures that were read: photos, and frames of videos.
    faces : int
    expressions : dict of str to int
    reasons : dict of str to int
        Why inputs could not be read, with numbers and names left out.
    examples : dict of str to str
        For each reason one input that it holds for.
    seconds : float
        Time that the worker spent.
    worker : str
        Machine and process of the worker.
    """

    inputs: int = 0
    ok: int = 0
    no_face: int = 0
    unreadable: int = 0
    frames: int = 0
    faces: int = 0
    expressions: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    worker: str = ""

    def add(self, other: Tally) -> None:
        """Add the counts of another tally to this one."""
        for name in ("inputs", "ok", "no_face", "unreadable", "frames", "faces", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, most in (("expressions", None), ("reasons", _MOST_REASONS)):
            total = Counter(getattr(self, name))
            total.update(getattr(other, name))
            setattr(self, name, dict(total.most_common(most)))
        known = {**other.examples, **self.examples}
        self.examples = {reason: known[reason] for reason in self.reasons if reason in known}


class PartTables:
    """Gathers the rows of one part.

    Parameters
    ----------
    labels : sequence of str
        Of the label scheme: they become columns.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        import pyarrow

        text, whole = pyarrow.string(), pyarrow.int64()
        own = face_schema(labels)
        self._faces = _Rows(pyarrow.schema([("key", text), *((item.name, item.type) for item in own)]))
        self._inputs = _Rows(
            pyarrow.schema(
                [
                    *((name, text) for name in ("key", "source", "status")),
                    *((name, whole) for name in ("faces", "frames", "width_px", "height_px")),
                    *((name, text) for name in ("note", "error")),
                ]
            )
        )
        self.tally = Tally(expressions=dict.fromkeys(labels, 0))

    def add_faces(self, key: str, rows: Iterable[dict[str, Any]]) -> None:
        """Add faces of an input, as `Reading.to_rows` gives them."""
        for row in rows:
            self._faces.add({"key": utf8_text(key), **row, "source": utf8_text(row["source"])})
            self.tally.faces += 1
            self.tally.expressions[row["expression"]] += 1

    def add_input(
        self,
        key: str,
        source: str,
        *,
        faces: int = 0,
        frames: int = 0,
        size_wh: Sequence[int] = (0, 0),
        note: str | None = None,
        error: str | None = None,
    ) -> None:
        """Add an input, after its faces."""
        key, source, error = utf8_text(key), utf8_text(source), None if error is None else utf8_text(error)
        status = "unreadable" if error is not None else "ok" if faces else "no face"
        self._inputs.add(
            {
                "key": key,
                "source": source,
                "status": status,
                "faces": faces,
                "frames": frames,
                "width_px": size_wh[0] or None,
                "height_px": size_wh[1] or None,
                "note": note,
                "error": error,
            }
        )
        tally = self.tally
        tally.inputs += 1
        tally.frames += frames
        name = status.replace(" ", "_")
        setattr(tally, name, getattr(tally, name) + 1)
        if error is not None:
            short = _without_details(error)
            tally.reasons[short] = tally.reasons.get(short, 0) + 1
            tally.examples.setdefault(short, key)

    def faces_parquet(self) -> bytes:
        """The faces as a Parquet file."""
        return self._faces.parquet({})

    def inputs_parquet(self) -> bytes:
        """The inputs as a Parquet file, with the tally beside the schema."""
        return self._inputs.parquet({_TALLY: json.dumps(asdict(self.tally)).encode()})


class _Rows:
    """Rows that are kept as Arrow tables, a tenth of the memory that Python objects take."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._waiting: list[dict[str, Any]] = []
        self._tables: list[Any] = []

    def add(self, row: dict[str, Any]) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= _ROWS_A_CHUNK:
            self._pack()

    def parquet(self, metadata: dict[bytes, bytes]) -> bytes:
        import pyarrow
        import pyarrow.parquet

        self._pack()
        table = pyarrow.concat_tables(self._tables)
        stream = io.BytesIO()
        pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), stream, compression="zstd")
        return stream.getvalue()

    def _pack(self) -> None:
        import pyarrow

        self._tables.append(pyarrow.Table.from_pylist(self._waiting, self._schema))
        self._waiting = []


def read_tally(stream: Any) -> Tally:
    """The tally that `PartTables.inputs_parquet` wrote; only the end of the file is read."""
    import pyarrow.parquet

    return Tally(**json.loads(pyarrow.parquet.read_schema(stream).metadata[_TALLY]))


def _without_details(error: str) -> str:
    """A reason that many inputs share: numbers, and what stands in brackets, left out."""
    short = re.sub(r"\s*\([^()]*(\([^()]*\)[^()]*)*\)", "", error)
    short = re.sub(r"(?<![A-Za-z])\d[\d.,]*", "…", short.partition(";")[0])
    return short if len(short) <= _LONGEST_REASON else f"{short[: _LONGEST_REASON - 1].rpartition(' ')[0]}…"
