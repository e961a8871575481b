"""Where a dataset of YOLO's form has its photos and its labels."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mien.data.layouts.names import split_of_file
from mien.data.layouts.places import DEEPEST, folders_in, folders_inside, is_image
from mien.data.layouts.yolo_line import SHARE_SLACK, parse_box
from mien.errors import InputError

__all__ = ["NAMES_FILES", "SPLIT_LISTS", "YoloFolders", "has_box", "has_labels", "yolo_folders"]

_LOOKED_AT = 200
_LEAST_NUMBERS = 5
NAMES_FILES = ("classes.txt", "obj.names", "_darknet.labels")
"""Names of classes, one a line: LabelImg's and Label Studio's, Darknet's and CVAT's, and Roboflow's for Darknet."""
SPLIT_LISTS = ("train.txt", "valid.txt", "val.txt", "validation.txt", "test.txt")
"""Lists of the photos of a split, as Darknet reads and CVAT writes them."""


class YoloFolders(NamedTuple):
    """Where photos are, and their labels."""

    images: Path
    labels: Path


def yolo_folders(path: Path) -> list[YoloFolders]:
    """The folders of photos and of their labels, those for training first.

    They are apart, as ``images/`` and ``labels/``, here or in folders inside; or labels lie beside their photos.
    """
    if not path.is_dir():
        return []
    found: list[YoloFolders] = []
    level = [path]
    for _ in range(DEEPEST):
        here = [own for base in level for own in _apart(base)]
        found = found or here
        if any(has_labels(own) for own in here):
            return sorted(here, key=lambda own: (split_of_file(own.labels.parent) != "train", own.labels))
        level = folders_inside(level)
    return [YoloFolders(path, path)] if _lie_together(path) else found


def has_labels(folders: YoloFolders) -> bool:
    """Whether one of the first files begins with numbers; those that fit no box are told when they are read."""
    texts = (file for file in folders.labels.rglob("*.txt") if not file.name.startswith("."))
    files = (file for file in texts if file.name not in (*NAMES_FILES, *SPLIT_LISTS))
    return any(map(_has_numbers, islice(files, _LOOKED_AT)))


def _apart(base: Path) -> list[YoloFolders]:
    if (base / "labels").is_dir():
        return [YoloFolders(base / "images" if (base / "images").is_dir() else base, base / "labels")]
    nested = [one for one in folders_in(base) if (one / "images").is_dir() and (one / "labels").is_dir()]
    return [YoloFolders(one / "images", one / "labels") for one in nested]


def _lie_together(root: Path) -> bool:
    """Whether in one of the folders a text beside an image, and of its name, begins with a box."""
    level = [root]
    for _ in range(DEEPEST + 1):
        if any(map(_has_box_beside, level)):
            return True
        level = folders_inside(level)
    return False


def _has_box_beside(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError:
        return False
    names = [name for name in names if not name.startswith(".")]
    texts = [name for name in names if name.endswith(".txt") and name not in (*NAMES_FILES, *SPLIT_LISTS)]
    if not texts:
        return False
    images = {Path(name).stem for name in names if is_image(name)}
    beside = (folder / name for name in texts if name.removesuffix(".txt") in images)
    return any(map(has_box, islice(beside, _LOOKED_AT)))


def _has_numbers(file: Path) -> bool:
    try:
        return len([float(cell) for cell in _first_line(file)]) >= _LEAST_NUMBERS
    except ValueError:
        return False


def has_box(file: Path) -> bool:
    """A box within the photo, unlike other numbers that people keep beside photos: points, poses, action units."""
    try:
        _, (left, top, right, bottom) = parse_box(_first_line(file), file.name)
    except InputError:
        return False
    within = all(-SHARE_SLACK <= side <= 1 + SHARE_SLACK for side in (left, top, right, bottom))
    return within and left < right and top < bottom


def _first_line(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8-sig") as opened:
            return opened.readline().split()
    except (OSError, ValueError):  # also of what is no UTF-8
        return []
