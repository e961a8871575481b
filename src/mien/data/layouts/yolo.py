"""YOLO: a text file of labels for each photo, with a line for each box; and a file with the names of the classes.

https://docs.ultralytics.com/datasets/detect and https://docs.ultralytics.com/datasets/segment describe it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from mien.data.layouts.base import Contents, ReadOptions, read_listing, register
from mien.data.layouts.boxed import READERS, Box, BoxedPhoto, read_boxed
from mien.data.layouts.places import images_below, load_image, walk
from mien.data.layouts.yolo_places import (
    BOX_CELLS,
    NAMES_FILES,
    SPLIT_LISTS,
    YoloFolders,
    has_box,
    has_labels,
    yolo_folders,
)
from mien.data.layouts.yolo_told import Told
from mien.errors import InputError

__all__ = ["Yolo", "yolo_folders", "yolo_photos"]

_SHARE_SLACK = 0.02
# Cells of a line with five landmarks of two or three numbers; from seven on others are polygons.
_LANDMARK_CELLS = (15, 20)
_EXPECTED = "'class x y w h', the middle and the size of a box in shares of the photo from 0 to 1, or a polygon in such"


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
    told = Told(path)
    for folders in yolo_folders(path):
        read = set()
        for file in images_below(folders.images):
            called = file.relative_to(path).as_posix()
            listing = (folders.labels / file.relative_to(folders.images)).with_suffix(".txt")
            read.add(listing)
            try:
                names = told.class_names(listing)
                boxes = list(_boxes(listing, path, names)) if listing.is_file() else []
            except InputError as error:
                yield error
                continue
            load, listed = partial(load_image, file, called), frozenset(names.values())
            yield BoxedPhoto(called, told.split(file), load, boxes, in_shares=True, classes=listed)
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
        if not line.strip():
            continue
        where = f"{called} line {number}"
        try:
            kind, xyxy = _box(line.split(), where)
            if names and kind not in names:
                raise InputError(where, f"class {kind}; expected one of the {len(names)} that are named")
        except InputError as error:
            yield error
            continue
        yield Box(where, names.get(kind, kind), xyxy)


def _box(cells: list[str], where: str) -> tuple[str, list[float]]:
    """The class and the box of a line."""
    kind = cells[0].removesuffix(".0") if cells else ""
    try:
        values = [float(cell) for cell in cells[1:]]
    except ValueError:
        values = []
    polygon = len(cells) > max(BOX_CELLS) and len(cells) % 2 == 1 and not _has_landmarks(values)
    told = values if polygon else values[:4]
    known = polygon or len(cells) in (*BOX_CELLS, *_LANDMARK_CELLS)
    inside = bool(told) and all(-_SHARE_SLACK <= value <= 1 + _SHARE_SLACK for value in told)
    if not (kind.isdigit() and known and inside):
        raise InputError(where, f"'{' '.join(cells)[:60]}'; expected {_EXPECTED}")
    if polygon:
        return kind, [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
    x, y, w, h = told
    return kind, [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def _has_landmarks(values: list[float]) -> bool:
    """Whether these are a box and five points in it, and not the seven corners of a polygon."""
    if len(values) != _LANDMARK_CELLS[0] - 1:
        return False
    x, y, w, h = values[:4]
    points = zip(values[4::2], values[5::2], strict=True)
    return all(abs(px - x) <= w / 2 and abs(py - y) <= h / 2 for px, py in points)


register(Yolo())
READERS[Yolo.name] = yolo_photos
