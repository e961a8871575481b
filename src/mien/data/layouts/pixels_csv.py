"""CSV files with a face's pixels in a cell: ``fer2013.csv``, ``icml_face_data.csv``, CK+ with eight classes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

from mien.data.ferplus import VOTE_LABELS, read_votes_csv
from mien.data.layouts.base import Contents, Item, ReadOptions, register
from mien.data.layouts.headers import SPLIT_COLUMNS
from mien.data.layouts.names import class_index, known_class, split_name
from mien.data.pixels import parse_pixels
from mien.errors import InputError
from mien.files import text_encoding
from mien.labels import FER7

__all__ = ["PixelsCsv"]

_CK_CLASSES = (*FER7, "contempt")
_CK_MOST_BYTES = 40_000_000
"""CK+ has 920 rows (8 MB); a file that is larger than this is not searched for an eighth class."""
_NEEDED = ("emotion", "pixels")
_DELIMITERS = ",;\t"


class PixelsCsv:
    """A CSV file with the columns ``emotion, pixels`` and perhaps ``Usage``, in any order.

    Between its cells are commas, semicolons or tabs; emotions are numbers, or names in any spelling. The text is UTF-8,
    or UTF-16 with its mark.
    """

    def __init__(self, name: str, summary: str, labels: tuple[str, ...]) -> None:
        self.name = name
        self.summary = summary
        self._labels = labels

    def matches(self, path: Path) -> bool:
        """A file whose header names the columns; it is CK+ where a label of 7, or contempt, occurs."""
        if not path.is_file():
            return False
        delimiter, columns = _columns(path)
        if not set(_NEEDED) <= set(columns):
            return False
        return len(self._labels) == len(FER7) or _has_contempt(path, delimiter, columns.index("emotion"))

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Stream the rows; FER+ votes are joined row by row where a file of them is given."""
        delimiter, columns = _columns(path)
        if not set(_NEEDED) <= set(columns):
            found = ", ".join(columns) or "no header"
            raise InputError(
                str(path), f"expected a CSV file with the columns emotion, pixels and Usage; found {found}"
            )
        votes = None if options.votes is None else read_votes_csv(options.votes)
        return Contents(
            labels=self._labels,
            items=self._items(path, delimiter, columns, votes),
            vote_labels=VOTE_LABELS if votes else (),
            columns=("votes",) if votes else (),
        )

    def _items(
        self, path: Path, delimiter: str, columns: list[str], votes: list[tuple[str, tuple[int, ...]]] | None
    ) -> Iterator[Item | InputError]:
        at = {name: index for index, name in enumerate(columns)}
        split_at = next((at[name] for name in ("usage", *SPLIT_COLUMNS) if name in at), None)
        rows = 0
        with _open(path) as file:
            next(file)
            for row, line in enumerate(file):
                if not line.strip():
                    continue
                rows = row + 1
                where = f"{path.name} row {row} (line {row + 2})"
                # No cell of this layout holds a delimiter or a line break: splitting is six times as fast as `csv`.
                cells = [cell.strip(' "\r\n') for cell in line.split(delimiter)]
                try:
                    if len(cells) != len(columns):
                        raise InputError(where, f"{len(cells)} cells; expected {len(columns)} ({', '.join(columns)})")
                    usage = cells[split_at] if split_at is not None else "Training"
                    if not usage:
                        raise InputError(where, "no Usage; expected a name such as Training")
                    item = Item(
                        where=where,
                        load=partial(parse_pixels, cells[at["pixels"]], where),
                        label=_label(cells[at["emotion"]], self._labels, where),
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


def _label(text: str, labels: tuple[str, ...], where: str) -> int:
    # Almost all are numbers.
    name = None if text.removesuffix(".0").isdigit() else known_class(text, {})
    return labels.index(name) if name in labels else class_index(text, len(labels), where)


def _open(path: Path) -> IO[str]:
    return path.open(encoding=text_encoding(path), errors="replace")


def _columns(path: Path) -> tuple[str, list[str]]:
    """What stands between the cells, and the names in the header in lower case; none where there is no header."""
    try:
        with _open(path) as file:
            line = file.readline(4096)
    except (OSError, UnicodeError):
        line = ""
    # The most frequent one: pixels are between spaces.
    delimiter = max(_DELIMITERS, key=line.count)
    if not line.endswith("\n") or delimiter not in line:
        return delimiter, []
    return delimiter, [name.strip(' "\r\n').lower() for name in line.split(delimiter)]


def _has_contempt(path: Path, delimiter: str, at: int) -> bool:
    if path.stat().st_size > _CK_MOST_BYTES:
        return False
    with _open(path) as file:
        next(file)
        cells = (line.split(delimiter, at + 1)[at].strip(' "\r\n') for line in file if line.count(delimiter) >= at)
        labels = (cell.removesuffix(".0") for cell in cells)  # as data frames write whole numbers at times
        return any(text == str(len(FER7)) if text.isdigit() else known_class(text, {}) == "contempt" for text in labels)


# CK+ first: its header is the same, and only its eighth class tells it apart.
register(PixelsCsv("ckplus", "CSV of emotion, pixels, Usage with eight classes, contempt last", _CK_CLASSES))
register(PixelsCsv("fer2013", "CSV of emotion, pixels, Usage: fer2013.csv or icml_face_data.csv", FER7))
