"""CSV files with a face's pixels in a cell: ``fer2013.csv``, ``icml_face_data.csv``, CK+ with eight classes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

from mien.data.ferplus import VOTE_LABELS, read_votes_csv
from mien.data.layouts.base import Contents, Item, ReadOptions, class_index, register, split_name
from mien.data.pixels import parse_pixels
from mien.errors import InputError
from mien.labels import FER7

__all__ = ["PixelsCsv"]

_CK_CLASSES = (*FER7, "contempt")
_CK_MOST_BYTES = 40_000_000
"""CK+ has 920 rows (8 MB); a file that is larger than this is not searched for an eighth class."""
_NEEDED = ("emotion", "pixels")


class PixelsCsv:
    """A CSV file with the columns ``emotion, pixels`` and perhaps ``Usage``, in any order."""

    def __init__(self, name: str, summary: str, labels: tuple[str, ...]) -> None:
        self.name = name
        self.summary = summary
        self._labels = labels

    def matches(self, path: Path) -> bool:
        """A file whose header names the columns; it is CK+ where a label of 7 occurs."""
        if not path.is_file():
            return False
        columns = _columns(path)
        if columns is None or not set(_NEEDED) <= set(columns):
            return False
        return len(self._labels) == len(FER7) or _has_class(path, columns, len(FER7))

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Stream the rows; FER+ votes are joined row by row where a file of them is given."""
        columns = _columns(path)
        if columns is None or not set(_NEEDED) <= set(columns):
            found = "no header" if columns is None else ", ".join(columns)
            raise InputError(
                str(path), f"expected a CSV file with the columns emotion, pixels and Usage; found {found}"
            )
        votes = None if options.votes is None else read_votes_csv(options.votes)
        return Contents(
            labels=self._labels,
            items=self._items(path, columns, votes),
            vote_labels=VOTE_LABELS if votes else (),
            columns=("votes",) if votes else (),
        )

    def _items(
        self, path: Path, columns: list[str], votes: list[tuple[str, tuple[int, ...]]] | None
    ) -> Iterator[Item | InputError]:
        at = {name: index for index, name in enumerate(columns)}
        rows = 0
        with _open(path) as file:
            next(file)
            for row, line in enumerate(file):
                if not line.strip():
                    continue
                rows = row + 1
                where = f"{path.name} row {row} (line {row + 2})"
                # No cell of this layout holds a comma or a line break: splitting is six times as fast as `csv`.
                cells = [cell.strip(' "\r\n') for cell in line.split(",")]
                try:
                    if len(cells) != len(columns):
                        raise InputError(where, f"{len(cells)} cells; expected {len(columns)} ({', '.join(columns)})")
                    usage = cells[at["usage"]] if "usage" in at else "Training"
                    item = Item(
                        where=where,
                        load=partial(parse_pixels, cells[at["pixels"]], where),
                        label=class_index(cells[at["emotion"]], len(self._labels), where),
                        split=split_name(usage),
                        source=path.name,
                        row=row,
                    )
                    if votes is not None:
                        item.votes = _join(votes, row, usage, where)
                except InputError as error:
                    yield error
                    continue
                yield item
        if votes is not None and len(votes) != rows:
            yield InputError(
                f"{path.name} and its votes", f"{rows} images and {len(votes)} rows of votes; expected as many of each"
            )


def _join(votes: list[tuple[str, tuple[int, ...]]], row: int, usage: str, where: str) -> tuple[int, ...]:
    if row >= len(votes):
        raise InputError(where, f"the file of votes ends before it, after {len(votes)} rows; expected one a face")
    vote_usage, counts = votes[row]
    if vote_usage.lower() != usage.lower():
        raise InputError(
            where, f"Usage is '{usage}', but the votes of this row are for '{vote_usage}'; expected the same"
        )
    return counts


def _open(path: Path) -> IO[str]:
    return path.open(encoding="utf-8-sig", errors="replace")


def _columns(path: Path) -> list[str] | None:
    """The names in the header, in lower case; None where the first line is no header."""
    try:
        with _open(path) as file:
            line = file.readline(4096)
    except OSError:
        return None
    if not line.endswith("\n") or "," not in line:
        return None
    return [name.strip(' "\r\n').lower() for name in line.split(",")]


def _has_class(path: Path, columns: list[str], label: int) -> bool:
    if path.stat().st_size > _CK_MOST_BYTES:
        return False
    at = columns.index("emotion")
    with _open(path) as file:
        next(file)
        return any(line.split(",", at + 1)[at].strip() == str(label) for line in file if line.count(",") >= at)


# CK+ first: its header is the same, and only its eighth class tells it apart.
register(PixelsCsv("ckplus", "CSV of emotion, pixels, Usage with eight classes, contempt last", _CK_CLASSES))
register(PixelsCsv("fer2013", "CSV of emotion, pixels, Usage: fer2013.csv or icml_face_data.csv", FER7))
