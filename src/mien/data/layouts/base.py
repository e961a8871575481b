"""What a reader of a layout takes and gives."""

from __future__ import annotations

import codecs
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mien.errors import InputError, UsageError
from mien.files import utf8_text
from mien.labels import EXPRESSIONS, canonical_name

__all__ = [
    "LAYOUTS",
    "Contents",
    "DamagedFolderError",
    "Item",
    "Layout",
    "ReadOptions",
    "class_index",
    "class_name",
    "find_layout",
    "known_class",
    "known_columns",
    "ordered_classes",
    "own_classes",
    "parse_attributes",
    "parse_classes",
    "read_listing",
    "register",
    "split_name",
    "split_of_file",
    "text_encoding",
]

_SPLITS = {
    "training": "train", "trainset": "train", "train_set": "train", "training_set": "train",
    "publictest": "validation", "valid": "validation", "val": "validation", "val_set": "validation",
    "valid_set": "validation", "validation_set": "validation",
    "privatetest": "test", "testing": "test", "testset": "test", "test_set": "test",
}  # fmt: skip


@dataclass
class Item:
    """One face as a reader finds it; its pixels are only fetched when `load` is called, in a worker thread.

    Attributes
    ----------
    where : str
        The row or path, for errors.
    load : callable
        Gives an image file's bytes, or a uint8 array; raises InputError.
    attributes : mapping of str to str or None
        What is known of the face besides its expression, by `Contents.attribute_names`.
    """

    where: str
    load: Callable[[], bytes | npt.NDArray[np.uint8]]
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


class DamagedFolderError(InputError):
    """A folder of which no image can be used, in the place of its rows.

    Attributes
    ----------
    rows : int
        How many images are in it.
    """

    def __init__(self, source: str, problem: str, rows: int) -> None:
        super().__init__(source, f"{problem} ({rows:,} image{'s' if rows != 1 else ''} in this folder)")
        self.rows = rows


@dataclass
class Contents:
    """What a reader says before the first row.

    Attributes
    ----------
    labels : tuple of str
        The classes.
    items : iterator of Item or InputError
        The rows; an InputError in the place of a row that is damaged, a DamagedFolderError in that of
        several.
    total : int or None
        How many there will be, where it is known; only for the progress bar.
    vote_labels, attribute_names, columns, splits
        As in `DatasetInfo`.
    excluded : dict of str to int
        Rows that the layout itself marks as no expression, and files that are no images, by reason; may be counted
        while reading.
    """

    labels: tuple[str, ...]
    items: Iterator[Item | InputError]
    total: int | None = None
    vote_labels: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    splits: dict[str, str] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadOptions:
    """What readers need to know besides the path.

    Attributes
    ----------
    votes : Path or None
        A FER+ file (`fer2013new.csv`) to join.
    images : Path or None
        The folder of the images, where it is not beside the labels.
    classes : mapping of str to str
        What class numbers and names of the source's own mean; see `parse_classes`.
    attributes : tuple of str
        Columns that tell of a face besides its expression, in small letters; for layouts that have columns of the
        user's own.
    """

    votes: Path | None = None
    images: Path | None = None
    classes: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()


class Layout(Protocol):
    """A layout of the field: how to know it, and how to read it."""

    name: str
    summary: str

    def matches(self, path: Path) -> bool:
        """Whether the content of this file or folder looks like the layout; must be quick and must not raise."""
        ...

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Start reading.

        Raises
        ------
        InputError
            If the source as a whole cannot be read.
        """
        ...


LAYOUTS: dict[str, Layout] = {}
"""The known layouts by name, in the order in which they are tried."""


def register(layout: Layout) -> None:
    """Add a layout; a second one of the same name is refused."""
    if layout.name in LAYOUTS:
        raise ValueError(f"a second layout named '{layout.name}'; names must be unique")
    LAYOUTS[layout.name] = layout


def find_layout(path: Path, name: str | None = None, classes: Mapping[str, str] | None = None) -> Layout:
    """The layout of that name, or the one that the content looks like.

    Parameters
    ----------
    path : Path
    name : str, optional
    classes : mapping of str to str, optional
        As in `ReadOptions`: where there are some, a folder that looks like nothing else holds folders named by them.

    Raises
    ------
    UsageError
        If the name is unknown.
    InputError
        If there is nothing at the path, or no layout is recognised.
    """
    if name is not None and name not in LAYOUTS:
        raise UsageError(f"unknown layout '{name}'; expected one of {', '.join(LAYOUTS)}")
    if not path.exists():
        raise InputError(str(path), "no such file or folder")
    if name is not None:
        return LAYOUTS[name]
    for layout in LAYOUTS.values():
        if layout.matches(path):
            return layout
    if classes and path.is_dir():
        return LAYOUTS["folders"]
    around = path.parent if path.name else path.resolve().parent
    is_last = path.is_dir() and not any(child.is_dir() for child in path.iterdir())
    if is_last and LAYOUTS["folders"].matches(around):
        raise InputError(str(path), f"holds the faces of one class; give the folder of all class folders, {around}")
    raise InputError(
        str(path),
        f"its layout is not recognised ({_what_is_there(path)}). Expected class folders (angry, happy, ... or names "
        "of their own), a table of image files and labels, or Parquet with images. 'mien data import' reads more: with "
        "--classes folders that are named by numbers, with --layout own-folders persons inside of classes, as in "
        f"engaged/anna/, and with --layout NAME one of {', '.join(LAYOUTS)}",
    )


def _what_is_there(path: Path) -> str:
    """In a few words, for the error of an unknown layout."""
    if path.is_file():
        if zipfile.is_zipfile(path) or tarfile.is_tarfile(path):
            return "an archive; unpack it, and give the folder"
        try:
            with path.open(encoding=text_encoding(path)) as file:
                line = file.readline(200).strip()
        except (OSError, UnicodeError):
            line = "\0"
        if "\0" in line and path.suffix.lower() in (".csv", ".tsv", ".txt"):
            return "a file that is not UTF-8; save it as 'CSV UTF-8' if it is a table"
        if "\0" in line:
            return "a file that is no text"
        return f"it starts with '{line[:60]}'" if line else "an empty file"
    if any(path.glob("*.arrow")) or any(path.glob("*/*.arrow")):
        return "Arrow files, as 'save_to_disk' of Hugging Face datasets writes them; write each split with 'to_parquet'"
    names = sorted(f"{child.name}/" if child.is_dir() else child.name for child in path.iterdir())
    names = [name for name in names if not name.startswith(".")]
    return "it holds " + (
        ", ".join(names[:4]) + (f" and {len(names) - 4:,} more" if len(names) > 4 else "") or "nothing"
    )


def text_encoding(path: Path) -> str:
    """How a text file says that it is written: UTF-16 by its mark at the beginning, else UTF-8."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def parse_classes(text: str | None) -> dict[str, str]:
    """What the source's own classes mean, from the option ``--classes``.

    Parameters
    ----------
    text : str or None
        Expressions in the order of the source's numbers, from 0 (``"surprise,fear"``), or pairs of the source's own
        name or number and an expression (``"1=surprise,2=fear"``, ``"wut=angry"``).

    Returns
    -------
    dict of str to str
        From the source's names in lower case to mien's; empty without a text.

    Raises
    ------
    UsageError
        If an expression is unknown, or a class comes twice.
    """
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    pairs = [part.split("=", 1) if "=" in part else [str(number), part] for number, part in enumerate(parts)]
    if any("=" in part for part in parts) and not all("=" in part for part in parts):
        raise UsageError(f"--classes is '{text}'; expected either names in order, or pairs such as 1=surprise,2=fear")
    classes = {own.strip().lower(): canonical_name(name) for own, name in pairs}
    if len(classes) < len(pairs):
        raise UsageError(f"--classes is '{text}', which names a class twice")
    return classes


def parse_attributes(text: str | None) -> tuple[str, ...]:
    """The names of attributes between commas, as they are kept: in small letters, each once."""
    names = (name.strip().lower() for name in (text or "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def class_name(text: str, classes: Mapping[str, str], where: str) -> str:
    """The project's name of a class that a source names.

    Raises
    ------
    InputError
        If it is unknown.
    """
    found = known_class(text, classes)
    if found is None:
        raise InputError(
            where,
            f"unknown class name '{text.strip()[:60]}'; expected a spelling of {', '.join(EXPRESSIONS)}; "
            "'mien data import --classes' says what other names mean",
        )
    return found


def known_class(text: str, classes: Mapping[str, str]) -> str | None:
    """The project's name of a class that a source names; None if it is unknown."""
    key = text.strip().lower()
    # As data frames write whole numbers where some cells of the column are empty.
    own = classes.get(key) or classes.get(key.removesuffix(".0"))
    if own is not None:
        return own
    try:
        return canonical_name(text)
    except UsageError:
        return None


def own_classes(names: Iterable[str]) -> dict[str, str]:
    """What the class names of a source mean where no two of them are names of expressions: classes of their own.

    Returns
    -------
    dict of str to str
        From the names in lower case to themselves; empty where they are expressions, or numbers.
    """
    own = {name.strip().lower() for name in names} - {""}
    numbers = any(name.replace(".", "", 1).removeprefix("-").isdigit() for name in own)
    if numbers or sum(known_class(name, {}) is not None for name in own) > 1:
        return {}
    return {name: utf8_text(name) for name in own}


def ordered_classes(found: Iterable[str | None]) -> tuple[str, ...]:
    """Classes in the order in which datasets have them: expressions in theirs, then others by name."""
    names = set(found) - {None}
    others = sorted(name for name in names if name is not None and name not in EXPRESSIONS)
    return (*(name for name in EXPRESSIONS if name in names), *others)


def split_name(name: str) -> str:
    """A split's name here: ``train``, ``validation`` and ``test`` for the field's names of these, else as it is."""
    key = name.strip().lower()
    return _SPLITS.get(key.replace(" ", "").replace("-", "_"), key)


def split_of_file(path: Path) -> str:
    """The split that a file's name speaks of (``val2017.json``, ``train-00000-of-00002.parquet``), else ``train``."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((split_name(word) for word in words if split_name(word) in ("train", "validation", "test")), "train")


def known_columns(wanted: Sequence[str], columns: Sequence[str], where: str) -> dict[str, str]:
    """Find the columns that tell of attributes, whatever the case of their names.

    Returns
    -------
    dict of str to str
        From the attribute's name to the column's own.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    own = {name.strip().lower(): name for name in columns}
    missing = [name for name in wanted if name not in own]
    if missing:
        raise UsageError(f"{where} has no column {', '.join(missing)}; it has {', '.join(columns)}")
    return {name: own[name] for name in wanted}


def class_index(text: str, count: int, where: str, first: int = 0) -> int:
    """A class number from its text, as an index from 0.

    Raises
    ------
    InputError
        If it is no whole number from `first` to `first + count - 1`.
    """
    try:
        value = int(text)
    except ValueError:
        value = first - 1
    if not first <= value < first + count:
        raise InputError(where, f"label '{text.strip()}'; expected a whole number from {first} to {first + count - 1}")
    return value - first


def read_listing(path: Path, expected: str) -> list[str]:
    """The lines of a list of images.

    Parameters
    ----------
    path : Path
    expected : str
        What the file should be, for the error.

    Raises
    ------
    InputError
        If it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"cannot be read; expected {expected} ({error})") from error
