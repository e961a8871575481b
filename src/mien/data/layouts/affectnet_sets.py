"""AffectNet as it is given out since 2021: folders of cropped faces, and NumPy files beside them with what is known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from mien.data.info import USUAL_SPLITS
from mien.data.layouts.affectnet_values import CLASSES, expression, number, points
from mien.data.layouts.base import Contents, Item, attempt
from mien.data.layouts.names import split_name
from mien.data.layouts.places import images_in
from mien.errors import InputError
from mien.source.image import read_file

__all__ = ["find_sets", "read_sets"]

_LABEL = "_exp.npy"


def find_sets(path: Path) -> list[Path]:
    """The folders with ``images`` and ``annotations``, training first: this one, or ``train_set`` and ``val_set``."""
    if not path.is_dir():
        return []
    folders = [path, *(path / name for name in ("train_set", "val_set", "test_set"))]
    return [folder for folder in folders if (folder / "images").is_dir() and _has_labels(folder / "annotations")]


def read_sets(sets: list[Path], excluded: dict[str, int]) -> Contents:
    """Read the images of the sets by name; those without an expression are counted in `excluded`."""
    return Contents(
        labels=CLASSES,
        items=_items(sets, excluded),
        total=sum(1 for folder in sets for _ in images_in(folder / "images")),
        columns=("landmarks_xy", "valence", "arousal"),
        splits={_split(folder): folder.name for folder in sets},
        excluded=excluded,
    )


def _split(folder: Path) -> str:
    own = split_name(folder.resolve().name)
    return own if own in USUAL_SPLITS else "train"


def _has_labels(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            # A million files are in it: only some are looked at.
            return any(entry.name.endswith((_LABEL, "_val.npy", "_aro.npy")) for entry in islice(entries, 20))
    except OSError:
        return False


def _items(sets: list[Path], excluded: dict[str, int]) -> Iterator[Item | InputError]:
    for folder in sets:
        for file in images_in(folder / "images"):
            where = f"{folder.name}/images/{file.name}"
            item = attempt(_item, folder, file, where, excluded)
            if item is not None:
                yield item


def _item(folder: Path, file: Path, where: str, excluded: dict[str, int]) -> Item | None:
    stem = folder / "annotations" / file.stem
    text = _value(Path(f"{stem}{_LABEL}"), where)
    if text is None:
        raise InputError(where, f"has no label; expected {file.stem}{_LABEL} in annotations/")
    label = expression(text, where, excluded)
    if label is None:
        return None
    return Item(
        where=where,
        load=partial(read_file, os.fspath(file)),
        label=label,
        split=_split(folder),
        source=file.name,
        valence=number(_value(Path(f"{stem}_val.npy"), where) or "", "valence", where, (-1.0, 1.0)),
        arousal=number(_value(Path(f"{stem}_aro.npy"), where) or "", "arousal", where, (-1.0, 1.0)),
        landmarks_xy=points(_value(Path(f"{stem}_lnd.npy"), where) or "", where),
    )


def _value(file: Path, where: str) -> str | None:
    """What a NumPy file holds, as a text: a number or a text, or numbers between semicolons; None without the file."""
    try:
        return ";".join(str(cell) for cell in np.load(file, allow_pickle=False).reshape(-1).tolist())
    except FileNotFoundError:
        return None
    except Exception as error:  # of a damaged header NumPy lets pass what Python's own tokenizer and parser raise
        raise InputError(where, f"annotations/{file.name} cannot be read as a NumPy file ({error})") from error
