"""YOLO: a text file of labels for each photo, with a line for each box; and a file with the names of the classes.

https://docs.ultralytics.com/datasets/detect and https://docs.ultralytics.com/datasets/segment describe it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from mien.data.layouts.base import Contents, ReadOptions, attempt, read_listing, register
from mien.data.layouts.boxed import READERS, Box, BoxedPhoto, read_boxed
from mien.data.layouts.places import images_below, load_image, walk
from mien.data.layouts.yolo_line import parse_box
from mien.data.layouts.yolo_metadata import YoloMetadata
from mien.data.layouts.yolo_places import (
    NAMES_FILES,
    SPLIT_LISTS,
    YoloFolders,
    has_box,
    has_labels,
    yolo_folders,
)
from mien.errors import InputError

__all__ = ["Yolo", "yolo_folders", "yolo_photos"]


class Yolo:
    """Folders ``images/`` and ``labels/`` with ``train/``, ``val/``, ... inside both, or around them; or no splits.

    Or labels beside their photos, as LabelImg and Darknet have them. Splits are folders, or lists (``train.txt``). Of
    polygons, as exports for segmentation have them, the box around is taken. A photo without a text file, or with an
    empty one, has no face.
    """

    name = "yolo"
    summary = (
        "a .txt file a photo, in labels/ beside images/ or beside the photos, and data.yaml, classes.txt or obj.names "
        "with the classes"
    )

    def matches(self, path: Path) -> bool:
        """A folder, or one around it, with such files in which a line has as many numbers as a box."""
        return any(map(has_labels, yolo_folders(path)))

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read the photos in the order of their splits and names."""
        if not yolo_folders(path):
            raise InputError(str(path), f"has no labels of boxes; expected {self.summary}")
        return read_boxed(path, yolo_photos(path), options)


def yolo_photos(path: Path) -> Iterator[BoxedPhoto | InputError]:
    """The photos of a folder; the class of a box is its name, or its number where it has none."""
    metadata = YoloMetadata(path)
    for folders in yolo_folders(path):
        read = set()
        for file in images_below(folders.images):
            called = file.relative_to(path).as_posix()
            listing = (folders.labels / file.relative_to(folders.images)).with_suffix(".txt")
            read.add(listing)
            try:
                names = metadata.class_names(listing)
                boxes = list(_boxes(listing, path, names)) if listing.is_file() else []
            except InputError as error:
                yield error
                continue
            load, listed = partial(load_image, file, called), frozenset(names.values())
            yield BoxedPhoto(called, metadata.split(file), load, boxes, in_shares=True, classes=listed)
        for file in (parent / name for parent, files in walk(folders.labels) for name in files):
            if file.suffix == ".txt" and file not in read and _is_label(file, folders):
                called = file.relative_to(path).as_posix()
                place = "beside it" if folders.images == folders.labels else f"in {folders.images.name}/"
                yield InputError(called, f"no photo of this name {place}")


def _is_label(file: Path, folders: YoloFolders) -> bool:
    """Whether a text without a photo has boxes, which would be lost; beside photos other texts lie as well."""
    if file.name in (*NAMES_FILES, *SPLIT_LISTS):
        return False
    return has_box(file) if folders.images == folders.labels else file.stat().st_size > 0


def _boxes(listing: Path, root: Path, names: Mapping[str, str]) -> Iterator[Box | InputError]:
    called = listing.relative_to(root).as_posix()
    for number, line in enumerate(read_listing(listing, "a label file"), 1):
        if line.strip():
            yield attempt(_box, line, f"{called} line {number}", names)


def _box(line: str, where: str, names: Mapping[str, str]) -> Box:
    kind, xyxy = parse_box(line.split(), where)
    if names and kind not in names:
        raise InputError(where, f"class {kind}; expected one of the {len(names)} that are named")
    return Box(where, names.get(kind, kind), xyxy)


register(Yolo())
READERS[Yolo.name] = yolo_photos
