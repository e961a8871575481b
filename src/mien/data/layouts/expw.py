"""ExpW: ``label.lst`` with a line a face, several faces a photo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path

from mien.data.layouts.base import Contents, Item, ReadOptions, attempt, read_listing, register
from mien.data.layouts.names import class_index
from mien.data.layouts.places import named_file
from mien.errors import InputError
from mien.labels import FER7
from mien.source.image import read_file

__all__ = ["ExpW"]

_LIST = "label.lst"
_CELLS = "image_name face_id_in_image box_top box_left box_right box_bottom confidence expression"
_PLACES = ("image/origin", "image", "images", "origin", ".")


class ExpW:
    """ExpW has no official splits: every face is ``train``. Its classes are those of FER2013, in the same order."""

    name = "expw"
    summary = f"ExpW's {_LIST}, or the folder that holds it"

    def matches(self, path: Path) -> bool:
        """The list, or a folder with the list in it or in label/."""
        return _find_list(path) is not None

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read the faces in the order of the list."""
        listing = _find_list(path) or path
        lines = read_listing(listing, f"ExpW's {_LIST}")
        base = listing.parent.parent if listing.parent.name == "label" else listing.parent
        roots = [options.images] if options.images else [base / place for place in _PLACES]
        return Contents(labels=FER7, items=_items(lines, listing.name, roots), total=len(lines), columns=("box_xyxy",))


def _find_list(path: Path) -> Path | None:
    return named_file(path, _LIST, (".", "label"))


def _items(lines: list[str], name: str, roots: list[Path]) -> Iterator[Item | InputError]:
    for row, line in enumerate(lines):
        if line.strip():
            yield attempt(_item, row, line.split(), f"{name} line {row + 1}", roots)


def _item(row: int, cells: list[str], where: str, roots: list[Path]) -> Item:
    if len(cells) != len(_CELLS.split()):
        raise InputError(where, f"{len(cells)} cells; expected {len(_CELLS.split())} ({_CELLS})")
    label = class_index(cells[-1], len(FER7), where)
    top, left, right, bottom = _box(cells[2:6], where)
    return Item(
        where=f"{where}, {cells[0]}",
        load=partial(_load, cells[0], tuple(roots)),
        label=label,
        split="train",
        source=cells[0],
        row=row,
        box_xyxy=(left, top, right, bottom),
    )


def _box(cells: list[str], where: str) -> tuple[float, float, float, float]:
    try:
        top, left, right, bottom = (float(cell) for cell in cells)
    except ValueError:
        raise InputError(where, f"box {' '.join(cells)}; expected top left right bottom in pixels") from None
    if right <= left or bottom <= top:
        raise InputError(where, f"box {' '.join(cells)} is empty; expected top left right bottom in pixels")
    return top, left, right, bottom


# The faces of one photo follow each other: its bytes are read once.
@lru_cache(maxsize=4)
def _load(name: str, roots: tuple[Path, ...]) -> bytes:
    for root in roots:
        if (root / name).is_file():
            return read_file(os.fspath(root / name))
    raise InputError(name, "no such image; name the folder of the images with --images")


register(ExpW())
