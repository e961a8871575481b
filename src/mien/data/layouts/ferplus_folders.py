"""FER+ as its own program writes it: a folder of images for each split, with ``label.csv`` of votes in it.

https://github.com/microsoft/FERPlus describes it; ``src/generate_training_data.py`` there makes the images of FER2013.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mien.data.ferplus import VOTE_LABELS, parse_votes
from mien.data.layouts.base import Contents, Item, ReadOptions, attempt, read_listing, register
from mien.data.layouts.names import split_of_file
from mien.data.layouts.places import folders_in
from mien.errors import InputError
from mien.labels import EXPRESSIONS
from mien.source.image import read_file

__all__ = ["FerPlusFolders"]

_LABELS = "label.csv"
_LINE = re.compile(r'[^,]+,"\(\d+, \d+, \d+, \d+\)"(,\d+){10}')
_LEFT_OUT = "left out as unknown or not a face, by most votes"


class FerPlusFolders:
    """``FER2013Train/``, ``FER2013Valid/`` and ``FER2013Test/``, in the folder ``data/`` or not; or one of them.

    The votes are kept, and the label is the class with most of them, the first of several. Where "unknown" or "not a
    face" has most, the row is left out and counted. The box is that of the whole image.
    """

    name = "ferplus"
    summary = f"FER+'s FER2013Train/, FER2013Valid/ and FER2013Test/ with {_LABELS} and the images in each"

    def matches(self, path: Path) -> bool:
        """A folder with such tables."""
        return bool(_folders(path))

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read the tables, that for training first."""
        folders = _folders(path)
        if not folders:
            raise InputError(str(path), f"has no {_LABELS} of FER+ in a folder of a split; expected {self.summary}")
        excluded = {_LEFT_OUT: 0}
        return Contents(
            labels=EXPRESSIONS,
            items=_items(folders, options.images, excluded),
            vote_labels=VOTE_LABELS,
            columns=("votes",),
            splits={split_of_file(folder.resolve()): folder.name for folder in folders},
            excluded=excluded,
        )


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    found = [folder for base in (path, path / "data") for folder in (base, *folders_in(base)) if _has_votes(folder)]
    return sorted(dict.fromkeys(found), key=lambda folder: split_of_file(folder.resolve()) != "train")


def _has_votes(folder: Path) -> bool:
    try:
        with (folder / _LABELS).open(encoding="utf-8-sig") as file:
            return _LINE.fullmatch(file.readline(200).strip()) is not None
    except (OSError, UnicodeDecodeError):
        return False


def _items(folders: list[Path], images: Path | None, excluded: dict[str, int]) -> Iterator[Item | InputError]:
    for folder in folders:
        for row, cells in enumerate(csv.reader(read_listing(folder / _LABELS, "FER+'s votes"))):
            where = f"{folder.name}/{_LABELS} line {row + 1}"
            votes = attempt(parse_votes, cells[2:], where)
            if isinstance(votes, InputError):
                yield votes
                continue
            name = VOTE_LABELS[votes.index(max(votes))]
            if name not in EXPRESSIONS:
                excluded[_LEFT_OUT] += 1
                continue
            places = [folder] if images is None else [images / folder.name, images]
            load = partial(_load, [place / cells[0] for place in places], where)
            split = split_of_file(folder.resolve())
            yield Item(where, load, EXPRESSIONS.index(name), split, f"{folder.name}/{cells[0]}", row, votes)


def _load(files: list[Path], where: str) -> bytes:
    file = next((file for file in files if file.is_file()), files[0])
    if not file.is_file():
        raise InputError(
            where,
            f"no image {file.name} beside it; FER+'s generate_training_data.py writes the images, and --images names "
            "the folder where they are elsewhere",
        )
    return read_file(os.fspath(file))


register(FerPlusFolders())
