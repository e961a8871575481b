"""The columns of a text table, and which of them tell of an image, its label and its split."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mien.data.layouts.json_lines import JSON_LINES, json_columns
from mien.errors import UsageError
from mien.files import text_encoding

__all__ = [
    "IMAGE_COLUMNS",
    "LABEL_COLUMNS",
    "TABLE_SUFFIXES",
    "Header",
    "column_of",
    "find_header",
    "header_columns",
    "require_columns",
]

IMAGE_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_name",
                 "img", "pth")  # fmt: skip
LABEL_COLUMNS = ("label", "labels", "emotion", "expression", "class", "class_name")
SPLIT_COLUMNS = ("split", "usage", "set")
TABLE_SUFFIXES = (".csv", ".tsv", *JSON_LINES)
_DELIMITERS = ",;\t"


class Header(NamedTuple):
    """What stands between the cells (nothing where each line is an object), the columns, and which say what."""

    delimiter: str
    names: list[str]
    image: str
    label: str
    split: str | None


def find_header(path: Path, columns: Mapping[str, str]) -> Header | None:
    """The header of a table of image files; None where no such columns are named.

    Parameters
    ----------
    path : Path
    columns : mapping of str to str
        As in `ReadOptions`.
    """
    for delimiter, names in _readings(path):
        image = column_of("image", IMAGE_COLUMNS, names, columns)
        label = column_of("label", LABEL_COLUMNS, names, columns)
        split = column_of("split", SPLIT_COLUMNS, names, columns)
        if image and label and (split or "split" not in columns):
            return Header(delimiter, names, image, label, split)
    return None


def header_columns(path: Path) -> list[str]:
    """The names of the columns, whatever they are; empty where a file does not look like a table."""
    names: list[str] = max((names for _, names in _readings(path)), key=len, default=[])
    if names and names[0].startswith(("[", "{")):
        return []  # JSON
    return names if len(names) > 1 or path.suffix.lower() in TABLE_SUFFIXES else []


def column_of(what: str, known: Sequence[str], names: Sequence[str], columns: Mapping[str, str]) -> str | None:
    """The column that the user named for it, in any case of its letters, else the first with a known name.

    A known name may be written with blanks or hyphens, or as one word: ``image path``, ``imagepath``.
    """
    if what not in columns:
        exact = (name for name in known if name in names)
        spelt = {_as_one_word(name): name for name in reversed(names)}
        return next(exact, next((spelt[_as_one_word(name)] for name in known if _as_one_word(name) in spelt), None))
    wanted = columns[what].strip().lower()
    found = [name for name in names if name.strip().lower() == wanted]
    return columns[what] if columns[what] in found else next(iter(found), None)


def _as_one_word(name: str) -> str:
    return "".join(filter(str.isalnum, name))


def require_columns(where: str, names: Sequence[str], columns: Mapping[str, str]) -> None:
    """Refuse a column that the user named and that is not there (UsageError)."""
    for what, name in columns.items():
        if column_of(what, (), names, columns) is None:
            raise UsageError(f"--{what}-column is {name}; {where} has the columns {', '.join(names)}")


def _readings(path: Path) -> list[tuple[str, list[str]]]:
    """The names of the columns in small letters, by what may stand between the cells."""
    if path.suffix.lower() in JSON_LINES:
        return [("", json_columns(path) or [])]
    try:
        # What is not text at all has no such names; a table in another encoding is told so when it is read.
        with path.open(newline="", encoding=text_encoding(path), errors="replace") as file:
            line = file.readline(4096)
    except (OSError, UnicodeError):
        return []
    if "\0" in line:
        return []
    rows = ((mark, next(csv.reader([line], delimiter=mark), [])) for mark in _DELIMITERS)
    return [(mark, [name.strip().lower() for name in names]) for mark, names in rows]
