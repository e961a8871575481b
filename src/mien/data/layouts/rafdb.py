"""RAF-DB, basic set: ``list_patition_label.txt`` (its own spelling) with classes counted from 1, or folders of these.

The folders are those of https://www.kaggle.com/datasets/shuvoalok/raf-db-dataset: ``DATASET/train/5/`` holds
``train_00001_aligned.jpg``, and tables beside ``DATASET`` say the same.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mien.data.layouts.base import LAYOUTS, Contents, Item, ReadOptions, attempt, read_listing, register
from mien.data.layouts.names import class_index, split_name
from mien.data.layouts.places import folders_in, images_below, named_file
from mien.errors import InputError
from mien.source.image import read_file

__all__ = ["RafDb"]

_LIST = "list_patition_label.txt"
_CLASSES = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
_NAME = re.compile(r"(train|test)_\d+_aligned\.jpg")
_LANDMARKS = 5
# After five lines of landmarks a line each, as the readme of the dataset says.
_ATTRIBUTES = {
    "gender": ("male", "female", ""),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0 to 3", "4 to 19", "20 to 39", "40 to 69", "70 and more"),
}


class RafDb:
    """The folder ``basic`` of RAF-DB, or one above or below it: aligned images where they are there, else originals.

    The five landmarks and the box belong to the original photos, and are only kept with these. Gender, race and age, as
    annotators saw them, are kept with both.

    Or the folder with ``train/1`` to ``test/7``, or the one around it.
    """

    name = "rafdb"
    summary = f"RAF-DB's {_LIST}, or the folder that holds it, or train/1 to test/7 with its aligned images"

    def matches(self, path: Path) -> bool:
        """The list, or a folder with the list in it or in EmoLabel/; or folders of the classes with images so named."""
        return _find_list(path) is not None or _find_numbered(path) is not None

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read the images in the order of the list, or of the folders."""
        numbered = _find_numbered(path)
        if numbered is not None:
            classes = {str(number): name for number, name in enumerate(_CLASSES, 1)}
            return LAYOUTS["folders"].read(numbered, dataclasses.replace(options, classes=classes))
        listing = _find_list(path) or path
        lines = read_listing(listing, f"RAF-DB's {_LIST}")
        base = listing.parent.parent if listing.parent.name == "EmoLabel" else listing.parent
        folder, aligned = _find_images(base, options.images)
        own = () if aligned else ("box_xyxy", "landmarks_xy")
        annotated = (base / "Annotation" / "manual").is_dir()
        return Contents(
            labels=_CLASSES,
            items=_items(lines, listing.name, folder, aligned, base / "Annotation"),
            total=sum(1 for line in lines if line.strip()),
            attribute_names=tuple(_ATTRIBUTES) if annotated else (),
            columns=own if (base / "Annotation").is_dir() or (base / "boundingbox").is_dir() else (),
        )


def _find_list(path: Path) -> Path | None:
    return named_file(path, _LIST, (".", "EmoLabel", "basic/EmoLabel", "basic"))


def _find_numbered(path: Path) -> Path | None:
    """The folder of the splits with the numbered classes inside, this one or in it."""
    for base in (path, path / "DATASET"):
        names = {folder.name for split in ("train", "test") for folder in folders_in(base / split)}
        if names == {str(number) for number in range(1, len(_CLASSES) + 1)}:
            first = next(images_below(base), None)
            return base if first is not None and _NAME.fullmatch(first.name) else None
    return None


def _find_images(base: Path, given: Path | None) -> tuple[Path, bool]:
    """The folder of the images, and whether they are the aligned ones."""
    if given is not None:
        return given, any(given.glob("*_aligned.*"))
    for place in ("Image/aligned", "aligned", "Image/original", "original", "."):
        folder = base / place
        if folder.is_dir() and next(folder.glob("t*_*.jpg"), None) is not None:
            return folder, next(folder.glob("*_aligned.jpg"), None) is not None
    raise InputError(str(base), "no folder Image/aligned or Image/original with images; name it with --images")


def _items(lines: list[str], name: str, folder: Path, aligned: bool, annotation: Path) -> Iterator[Item | InputError]:
    for row, line in enumerate(lines):
        if line.strip():
            yield attempt(_item, line, f"{name} line {row + 1}", folder, aligned, annotation)


def _item(line: str, where: str, folder: Path, aligned: bool, annotation: Path) -> Item:
    cells = line.split()
    if len(cells) != 2:
        raise InputError(where, f"'{line.strip()[:60]}'; expected an image name and a class from 1 to 7")
    label = class_index(cells[1], len(_CLASSES), where, first=1)
    split, underscore, _ = cells[0].partition("_")
    if not underscore:
        raise InputError(where, f"image name '{cells[0]}'; expected train_... or test_...")
    stem, suffix = Path(cells[0]).stem, Path(cells[0]).suffix
    file = folder / (f"{stem}_aligned{suffix}" if aligned else cells[0])
    item = Item(where, partial(read_file, os.fspath(file)), label, split_name(split), file.name)
    item.attributes = _attributes(annotation / "manual" / f"{stem}_manu_attri.txt")
    if not aligned:
        item.landmarks_xy = _landmarks(annotation, stem)
        item.box_xyxy = _box(annotation, stem)
    return item


def _landmarks(annotation: Path, stem: str) -> list[list[float]] | None:
    """The first five lines of a face's attributes: eye, eye, nose tip, mouth corner, mouth corner."""
    for kind, tail in (("manual", "manu"), ("auto", "auto")):
        file = annotation / kind / f"{stem}_{tail}_attri.txt"
        if file.is_file():
            points = _numbers(file, 2 * _LANDMARKS)
            return [points[i : i + 2] for i in range(0, 2 * _LANDMARKS, 2)]
    return None


def _attributes(file: Path) -> dict[str, str] | None:
    if not file.is_file():
        return None
    numbers = _numbers(file)[2 * _LANDMARKS :]
    if len(numbers) < len(_ATTRIBUTES):
        return None
    found = {}
    for (name, values), number in zip(_ATTRIBUTES.items(), numbers, strict=False):
        if number not in range(len(values)):
            raise InputError(file.name, f"{name} {number:g}; expected a whole number from 0 to {len(values) - 1}")
        found[name] = values[int(number)]
    return {name: value for name, value in found.items() if value}


def _box(annotation: Path, stem: str) -> list[float] | None:
    for folder in (annotation / "boundingbox", annotation.parent / "boundingbox"):
        file = folder / f"{stem}_boundingbox.txt"
        if file.is_file():
            return _numbers(file, 4)
    return None


def _numbers(file: Path, count: int | None = None) -> list[float]:
    """The first numbers of a file, so many; without a count all."""
    try:
        values = [float(word) for word in file.read_text(encoding="utf-8").split()[:count]]
    except (OSError, ValueError) as error:
        raise InputError(file.name, f"cannot be read ({error}); expected {count or 'only'} numbers") from error
    if count is not None and len(values) != count:
        raise InputError(file.name, f"{len(values)} numbers; expected {count}")
    return values


register(RafDb())
