"""COCO: a JSON file with photos, boxes on them and categories.

https://cocodataset.org/#format-data describes it.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Hashable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mien.data.layouts.base import Contents, ReadOptions, register
from mien.data.layouts.boxed import READERS, Box, BoxedPhoto, read_boxed
from mien.data.layouts.names import split_of_file
from mien.data.layouts.places import beside, folders_in
from mien.errors import InputError
from mien.files import parse_json
from mien.source.image import read_file

__all__ = ["Coco", "coco_files", "coco_photos"]

# Beside the photos of each split in a folder of its own, as Roboflow and others write it, or apart from all of them.
_OF_A_SPLIT = ("_annotations.coco.json", "annotations.json")
_PLACES = ("*.json", "annotations/*.json", *(f"*/{name}" for name in _OF_A_SPLIT))
# What is called so has boxes; the captions and keypoints beside it are of the same photos.
_INSTANCES = "instances_"
_KEYS = tuple(re.compile(rb'"%s"\s*:\s*\[' % key) for key in (b"images", b"annotations"))


class Coco:
    """A JSON file, or a folder with some: ``annotations/instances_train2017.json``, ``train/_annotations.coco.json``.

    Photos are looked for beside the file, in ``images/`` and in a folder named after the split, there or one level up.
    Annotations of a crowd (``iscrowd``) are left out and counted.
    """

    name = "coco"
    summary = "a JSON file with images, annotations and categories, or the folder that holds it"

    def matches(self, path: Path) -> bool:
        """A JSON file with lists of images and annotations, or a folder with such files."""
        return bool(coco_files(path))

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read the boxes by the photos, in the order of the files."""
        files = coco_files(path) or ([path] if path.is_file() else [])
        if not files:
            raise InputError(str(path), f"has no .json file as COCO has it; expected {self.summary}")
        root = path if path.is_dir() else path.parent
        return read_boxed(path, _photos(files, root, options.images), options)


def coco_files(path: Path) -> list[Path]:
    """The JSON files with photos and boxes in a folder, those for training first; else those of the folders inside."""
    if not path.is_dir():
        return [path] if path.suffix.lower() == ".json" and _is_coco(path) else []
    found = _files_of(path) or {file for base in folders_in(path) for file in _files_of(base)}
    return sorted(found, key=lambda file: (_split(file) != "train", file))


def _files_of(base: Path) -> set[Path]:
    found = {file for place in _PLACES for file in base.glob(place) if _is_coco(file)}
    return {file for file in found if file.name.startswith(_INSTANCES)} or found


def _split(file: Path) -> str:
    """The split that the file's name speaks of, or the folder of one whose name says nothing."""
    return split_of_file(file.resolve().parent if file.name in _OF_A_SPLIT else file)


def _photos(files: list[Path], root: Path, images: Path | None = None) -> Iterator[BoxedPhoto | InputError]:
    return (photo for file in files for photo in coco_photos(file, root, images))


def coco_photos(file: Path, root: Path, images: Path | None = None) -> Iterator[BoxedPhoto | InputError]:
    """The photos of a file; the class of a box is its category's name, or its number where that has none.

    Parameters
    ----------
    file : Path
    root : Path
        A folder around it, from which it is called.
    images : Path, optional
        Where the photos are, if not beside it.

    Raises
    ------
    InputError
        If the file as a whole cannot be read.
    """
    called = file.relative_to(root).as_posix()
    try:
        values = parse_json(file.read_text(encoding="utf-8-sig"))
        photos = {image["id"]: str(image["file_name"]).replace("\\", "/") for image in values["images"]}
        annotations = list(values["annotations"])
        names = {str(entry["id"]): str(entry["name"]) for entry in values.get("categories") or []}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise InputError(str(file), f"cannot be read as COCO's JSON with 'images' and 'annotations' ({why})") from error
    boxes: dict[Any, list[Box | InputError]] = defaultdict(list)
    for number, annotation in enumerate(annotations):
        where = f"{called} annotation {number}"
        photo = annotation.get("image_id") if isinstance(annotation, dict) else None
        if not isinstance(photo, Hashable) or photo not in photos:
            yield InputError(where, f"is of image_id {photo}, which is not among the file's images")
            continue
        try:
            left, top, width, height = (float(value) for value in annotation["bbox"])
        except (ValueError, KeyError, TypeError):
            boxes[photo].append(InputError(where, "expected 'bbox', the numbers [x, y, width, height]"))
            continue
        kind = str(annotation.get("category_id", ""))
        if names and kind not in names:
            known = ", ".join(f"{number} ({name})" for number, name in list(names.items())[:12])
            boxes[photo].append(
                InputError(where, f"is of category_id {kind or 'none'}; the file's categories are {known}")
            )
            continue
        xyxy = (left, top, left + width, top + height)
        boxes[photo].append(Box(where, names.get(kind, kind), xyxy, bool(annotation.get("iscrowd"))))
    split, listed = _split(file), frozenset(names.values())
    for number, name in photos.items():
        yield BoxedPhoto(name, split, partial(_load, file, name, images), boxes[number], classes=listed)


def _is_coco(file: Path) -> bool:
    if file.name == _OF_A_SPLIT[0] or file.name.startswith(_INSTANCES):
        return True  # even if it is damaged, which is told when it is read
    try:
        # Searched as a whole, which is far quicker than to parse it: the keys come in any order.
        data = b"" if file.name.startswith(".") else file.read_bytes()
    except OSError:
        return False
    return all(key.search(data) for key in _KEYS)


def _load(listing: Path, name: str, images: Path | None) -> bytes:
    return read_file(os.fspath(beside(listing, name) if images is None else images / name))


register(Coco())
READERS[Coco.name] = lambda root: _photos(coco_files(root), root)
