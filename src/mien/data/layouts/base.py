"""What a reader of a layout takes and gives."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from mien.data.ferplus import VOTES_HEADER
from mien.data.layouts.headers import TABLE_SUFFIXES, header_columns
from mien.data.layouts.names import known_class, spoken_split
from mien.data.layouts.places import folders_in, images_in, is_image
from mien.data.pixels import scaled_box
from mien.errors import InputError, UsageError
from mien.files import text_encoding
from mien.source.name import why_unreadable

__all__ = [
    "LAYOUTS",
    "Contents",
    "DamagedFolderError",
    "Item",
    "Layout",
    "ReadOptions",
    "find_layout",
    "is_archive",
    "read_listing",
    "register",
]


P = ParamSpec("P")
T = TypeVar("T")

_PARTS = ("images", "labels", "annotations", "jpegimages")
"""What folders are called of which a dataset with boxes consists."""
_PIXELS = re.compile(r"[\d\s]{40,}")
"""What stands in the place of a name where a table of pixels has no header."""
_SPREADSHEETS = (".xlsx", ".xls", ".ods")
_ARCHIVES = (".gz", ".bz2", ".xz", ".zst", ".rar", ".7z")
"""Besides those that Python knows by their content."""


@dataclass
class Item:
    """One face as a reader finds it; its pixels are only fetched when `load` is called, in a worker thread.

    Attributes
    ----------
    where : str
        The row or path, for errors.
    load : callable
        Gives an image file's bytes, or a uint8 array; raises InputError.
    box_shares : sequence of float or None
        The box in shares of the width and height of the upright photo, where that must be decoded to tell `box_xyxy`.
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
    box_shares: Sequence[float] | None = None
    landmarks_xy: Sequence[Sequence[float]] | None = None
    valence: float | None = None
    arousal: float | None = None
    attributes: Mapping[str, str] | None = None

    def box_on(self, image: npt.NDArray[np.uint8]) -> Sequence[float] | None:
        """The box in pixels of the decoded photo; None where the photo is the face."""
        return self.box_xyxy if self.box_shares is None else scaled_box(self.box_shares, image)


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
    columns : mapping of str to str
        The column of the ``image``, ``label`` or ``split``, where it has a name that readers do not know.
    """

    votes: Path | None = None
    images: Path | None = None
    classes: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


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


def find_layout(path: Path, name: str | None = None, options: ReadOptions | None = None) -> Layout:
    """The layout of that name, or the one that the content looks like.

    Parameters
    ----------
    path : Path
    name : str, optional
    options : ReadOptions, optional
        Where columns are named, it is a table or Parquet. Where classes are, a folder that looks like nothing else
        holds folders named by them.

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
    if options is not None and options.columns:
        return LAYOUTS["parquet" if LAYOUTS["parquet"].matches(path) else "table"]
    for layout in LAYOUTS.values():
        if layout.matches(path):
            return layout
    if options is not None and options.classes and path.is_dir():
        return LAYOUTS["folders"]
    around = path.parent if path.name else path.resolve().parent
    is_class = path.is_dir() and not folders_in(path) and next(images_in(path), None) is not None
    whole = around if around.name else around.resolve()
    if is_class and sum(known_class(folder.name, {}) is not None for folder in folders_in(around)) > 1:
        raise InputError(str(path), f"holds the faces of one class; give the folder of all class folders, {whole}")
    may_be_part = path.is_file() or path.name.lower() in _PARTS or spoken_split(path.name) is not None
    for layout in (LAYOUTS[name] for name in ("yolo", "coco", "voc") if may_be_part):
        # Programs that train on these are given data.yaml, or the folder of the images.
        if layout.matches(around) and not _beside_whole(layout, path, around):
            raise InputError(str(path), f"is a part of the layout '{layout.name}'; give the folder of all, {whole}")
    files = [file for file in sorted(path.iterdir()) if not is_image(file.name)] if path.is_dir() else []
    for layout, file in ((layout, file) for file in files if file.is_file() for layout in LAYOUTS.values()):
        if layout.matches(file):
            raise InputError(str(path), f"is a folder; give the file in it of the layout '{layout.name}', {file}")
    if path.is_file() and is_image(path.name):
        raise InputError(
            str(path),
            "is a single image; expected a dataset: class folders of images, a table that names them, or Parquet with "
            "images ('mien recognize' reads photos)",
        )
    archives = [file for file in (files if path.is_dir() else [path]) if is_archive(file)]
    if path.is_file() and archives:
        raise InputError(str(path), "is an archive; unpack it, and give what was in it")
    if archives and len(archives) == len(files) and not folders_in(path):
        raise InputError(str(path), f"holds an archive, {archives[0].name}; unpack it")
    raise InputError(
        str(path),
        f"its layout is not recognised ({_what_is_there(path)}). Expected class folders (angry, happy, ... or names "
        "of their own), a table with columns such as path and label, or Parquet with images. 'mien data import' reads "
        "more: with --classes folders that are named by numbers, with --layout own-folders persons inside of classes, "
        f"as in engaged/anna/, and with --layout NAME one of {', '.join(LAYOUTS)}",
    )


def _beside_whole(layout: Layout, path: Path, around: Path) -> bool:
    """Whether a folder of a layout of its own lies beside the path, so that this need not be a part of anything."""
    beside = (folder for folder in folders_in(around) if folder.name != path.name)
    return any(
        layout.matches(folder)
        for folder in beside
        if folder.name.lower() not in _PARTS and spoken_split(folder.name) is None
    )


def is_archive(file: Path) -> bool:
    """Whether a file holds others, packed; spreadsheets do, but are not meant."""
    if not file.is_file() or file.suffix.lower() in _SPREADSHEETS:
        return False
    return file.suffix.lower() in _ARCHIVES or zipfile.is_zipfile(file) or tarfile.is_tarfile(file)


def _what_is_there(path: Path) -> str:
    """In a few words, for the error of an unknown layout."""
    if path.is_file():
        if path.suffix.lower() in _SPREADSHEETS:
            return "a spreadsheet; save it as 'CSV UTF-8'"
        try:
            with path.open(encoding=text_encoding(path)) as file:
                line = file.readline(200).strip()
        except (OSError, UnicodeError):
            line = "\0"
        if "\0" in line and path.suffix.lower() in (".csv", ".tsv", ".txt"):
            return "a file that is not UTF-8; save it as 'CSV UTF-8' if it is a table"
        if "\0" in line:
            return "a file that is no text"
        if tuple(name.strip().lower() for name in line.split(",")) == VOTES_HEADER:
            return "FER+'s votes, and no faces; give fer2013.csv, with --votes and this file"
        columns = header_columns(path)
        if line.lower().startswith("sep="):
            return f"its first line, '{line[:60]}', is for a spreadsheet; remove it"
        if any(is_image(name) or _PIXELS.fullmatch(name) for name in columns):
            return f"a table without a header; put a line with the names of its columns above '{line[:60]}'"
        if line.startswith(("[", "{")):
            return (
                "JSON; a table in JSON has an object on each line, as in metadata.jsonl, and a name that ends in .jsonl"
            )
        if columns:
            named = "'mien data import --image-column NAME --label-column NAME' says which have images and labels"
            return f"a table with the columns {', '.join(name[:40] for name in columns[:40])}; {named}"
        return f"it starts with '{line[:60]}'" if line else "an empty file"
    names = sorted(f"{child.name}/" if child.is_dir() else child.name for child in path.iterdir())
    names = [name for name in names if not name.startswith(".")]
    held = ", ".join(names[:4]) + (f" and {len(names) - 4:,} more" if len(names) > 4 else "") or "nothing"
    table = next((path / name for name in names if name.lower().endswith(TABLE_SUFFIXES)), None)
    if table is not None and table.is_file():
        return f"it holds {held}; {table.name} is {_what_is_there(table)}"
    classes = [folder.name for folder in folders_in(path) if known_class(folder.name, {}) is not None]
    alone = (
        f"; of class folders there is one, {classes[0]}/, and there must be two at least" if len(classes) == 1 else ""
    )
    return f"it holds {held}{alone}"


def attempt(make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | InputError:
    """What `make` gives, or the InputError that it raises: a damaged row costs only itself."""
    try:
        return make(*args, **kwargs)
    except InputError as error:
        return error


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
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"is no text; expected {expected}") from error
    except OSError as error:
        why = why_unreadable(str(path), error, expected)
        raise InputError(str(path), why if expected in why else f"{why}; expected {expected}") from error
