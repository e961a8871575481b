"""What a reader of a layout takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mien.errors import InputError, UsageError

__all__ = [
    "LAYOUTS",
    "Contents",
    "Item",
    "Layout",
    "ReadOptions",
    "class_index",
    "find_layout",
    "read_listing",
    "register",
    "split_name",
]

_SPLITS = {
    "training": "train", "trainset": "train", "training_set": "train",
    "publictest": "validation", "valid": "validation", "val": "validation", "validation_set": "validation",
    "privatetest": "test", "testing": "test", "test_set": "test",
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


@dataclass
class Contents:
    """What a reader says before the first row.

    Attributes
    ----------
    labels : tuple of str
        The classes.
    items : iterator of Item or InputError
        The rows; an InputError in the place of a row that is damaged.
    total : int or None
        How many there will be, where it is known; only for the progress bar.
    vote_labels, columns, splits
        As in `DatasetInfo`.
    excluded : dict of str to int
        Rows that the layout itself marks as no expression, by reason; counted while reading.
    """

    labels: tuple[str, ...]
    items: Iterator[Item | InputError]
    total: int | None = None
    vote_labels: tuple[str, ...] = ()
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
    """

    votes: Path | None = None
    images: Path | None = None


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


def find_layout(path: Path, name: str | None = None) -> Layout:
    """The layout of that name, or the one that the content looks like.

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
    known = "; ".join(f"{layout.name} ({layout.summary})" for layout in LAYOUTS.values())
    raise InputError(str(path), f"its layout is not recognised. Known layouts: {known}. Name one with --layout")


def split_name(name: str) -> str:
    """A split's name here: ``train``, ``validation`` and ``test`` for the field's names of these, else as it is."""
    key = name.strip().lower()
    return _SPLITS.get(key.replace(" ", "").replace("-", "_"), key)


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
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"cannot be read; expected {expected} ({error})") from error
