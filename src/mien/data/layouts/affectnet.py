"""AffectNet: CSV lists with expression, valence, arousal, box and landmarks; or cropped faces with NumPy files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mien.data.layouts.affectnet_sets import find_sets, read_sets
from mien.data.layouts.affectnet_values import CLASSES, NO_EXPRESSION, expression, number, points
from mien.data.layouts.base import Contents, Item, ReadOptions, attempt, register
from mien.data.layouts.names import split_name
from mien.errors import InputError
from mien.source.image import read_file

__all__ = ["AffectNet"]

_COLUMNS = (
    "subdirectory_filepath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
_PLACES = (".", "Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "images",
           "Automatically_Annotated_Images", "Automatically_Annotated/Automatically_Annotated_Images")  # fmt: skip


class AffectNet:
    """``training.csv`` and ``validation.csv`` (or the automatic lists), or the folder that holds them.

    Or ``train_set`` and ``val_set`` (or the folder that holds them), each with ``images/0.jpg`` and
    ``annotations/0_exp.npy``, as it is given out since 2021.

    Rows of the classes "none", "uncertain" and "no face" have no expression; they are left out and counted.
    """

    name = "affectnet"
    summary = "AffectNet's CSV lists with expression, valence, arousal and box, or its train_set and val_set"

    def matches(self, path: Path) -> bool:
        """A CSV file with AffectNet's columns (with or without a header), or a folder with such files or sets."""
        return bool(_lists(path) or find_sets(path))

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read the lists, or the sets, one after the other."""
        lists = _lists(path)
        if not lists and (sets := find_sets(path)):
            return read_sets(sets, dict.fromkeys(NO_EXPRESSION, 0))
        if not lists:
            raise InputError(str(path), f"no CSV file with AffectNet's columns: {', '.join(_COLUMNS)}")
        root = path if path.is_dir() else path.parent
        roots = (
            [options.images] if options.images else [base / place for base in (root, root.parent) for place in _PLACES]
        )
        excluded = dict.fromkeys(NO_EXPRESSION, 0)
        return Contents(
            labels=CLASSES,
            items=_items(lists, roots, excluded),
            columns=("box_xyxy", "landmarks_xy", "valence", "arousal"),
            splits={_split(file): file.stem for file in lists},
            excluded=excluded,
        )


def _split(file: Path) -> str:
    return "train" if file.stem.lower() == "automatically_annotated" else split_name(file.stem)


def _lists(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".csv" and _is_list(path) else []
    if not path.is_dir():
        return []
    found = [*path.glob("*.csv"), *path.glob("*file_lists/*.csv")]
    # Training before validation, as everywhere in the field.
    return sorted((file for file in found if _is_list(file)), key=lambda file: (_split(file) != "train", file.name))


def _is_list(file: Path) -> bool:
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            first = next(csv.reader(opened), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return _has_header(first) or (len(first) == len(_COLUMNS) and "/" in first[0] and ";" in first[5])


def _has_header(cells: list[str]) -> bool:
    return {"subdirectory_filepath", "expression"} <= {cell.strip().lower() for cell in cells}


def _items(lists: list[Path], roots: list[Path], excluded: dict[str, int]) -> Iterator[Item | InputError]:
    for file in lists:
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as opened:
            reader = csv.reader(opened)
            columns: list[str] | None = None
            row = -1
            for cells in reader:
                if columns is None:
                    columns = [cell.strip().lower() for cell in cells] if _has_header(cells) else list(_COLUMNS)
                    if _has_header(cells):
                        continue
                row += 1
                where = f"{file.name} row {row} (line {reader.line_num})"
                item = attempt(_item, columns, cells, file, row, where, roots, excluded)
                if item is not None:
                    yield item


def _item(
    columns: list[str],
    values: list[str],
    file: Path,
    row: int,
    where: str,
    roots: list[Path],
    excluded: dict[str, int],
) -> Item | None:
    if len(values) != len(columns):
        raise InputError(where, f"{len(values)} cells; expected {len(columns)} ({', '.join(columns)})")
    cells = dict(zip(columns, values, strict=True))
    label = expression(cells["expression"], where, excluded)
    if label is None:
        return None
    name = cells["subdirectory_filepath"].strip()
    box = [number(cells.get(key, ""), key, where) for key in ("face_x", "face_y", "face_width", "face_height")]
    x, y, width, height = box if None not in box else (None, None, None, None)
    item = Item(
        where=f"{where}, {name}",
        load=partial(_load, name, roots, where),
        label=label,
        split=_split(file),
        source=name,
        row=row,
        valence=number(cells.get("valence", ""), "valence", where, (-1.0, 1.0)),
        arousal=number(cells.get("arousal", ""), "arousal", where, (-1.0, 1.0)),
        landmarks_xy=points(cells.get("facial_landmarks", ""), where),
    )
    if x is not None and y is not None and width is not None and height is not None:
        item.box_xyxy = [x, y, x + width, y + height]
    return item


def _load(name: str, roots: list[Path], where: str) -> bytes:
    for root in roots:
        if (root / name).is_file():
            return read_file(os.fspath(root / name))
    raise InputError(f"{where}, {name}", "no such image beside the list; name the folder of the images with --images")


register(AffectNet())
