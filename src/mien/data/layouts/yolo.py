"""YOLO: a text file of labels for each photo, with a line for each box; and a file with the names of the classes.

https://docs.ultralytics.com/datasets/detect and https://docs.ultralytics.com/datasets/segment describe it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mien.data.layouts.base import Contents, ReadOptions, read_listing, register
from mien.data.layouts.boxed import Box, BoxedPhoto, read_boxed
from mien.data.layouts.names import split_of_file, spoken_split
from mien.data.layouts.places import folders_in, images_below, load_image, walk
from mien.errors import InputError, MissingExtraError

__all__ = ["Yolo", "yolo_folders", "yolo_photos"]

_LOOKED_AT = 200
_SHARE_SLACK = 0.02
# Cells of a line: a box, one with a score; with five landmarks of two or three numbers; from seven on a polygon.
_BOX_CELLS = (5, 6)
_LANDMARK_CELLS = (15, 20)
_EXPECTED = "'class x y w h', the middle and the size of a box in shares of the photo from 0 to 1, or a polygon in such"


class _Folders(NamedTuple):
    """Where the photos of a split are, and the labels; `base` is the folder of the dataset."""

    base: Path
    images: Path
    labels: Path


class Yolo:
    """Folders ``images/`` and ``labels/`` with ``train/``, ``val/``, ... inside both, or around them; or no splits.

    Of polygons, as exports for segmentation have them, the box around is taken. A photo without a text file, or with an
    empty one, has no face.
    """

    name = "yolo"
    summary = "images/ and labels/ with a .txt file a photo, and data.yaml or classes.txt with the classes"

    def matches(self, path: Path) -> bool:
        """A folder, or one around it, with such folders in which a line has as many numbers as a box."""
        return path.is_dir() and any(_has_labels(folders.labels) for folders in yolo_folders(path))

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read the photos in the order of their splits and names."""
        if not yolo_folders(path):
            raise InputError(str(path), f"has no folders images/ and labels/; expected {self.summary}")
        return read_boxed(path, yolo_photos(path), options)


def yolo_photos(path: Path) -> Iterator[BoxedPhoto | InputError]:
    """The photos of a folder; the class of a box is its name, or its number where it has none."""
    for folders in yolo_folders(path):
        names = _class_names(folders)
        listed = frozenset(names.values())
        read = {folders.labels / "classes.txt"}
        for file in images_below(folders.images):
            inner = file.relative_to(folders.images)
            called = file.relative_to(path).as_posix()
            listing = (folders.labels / inner).with_suffix(".txt")
            read.add(listing)
            try:
                boxes = list(_boxes(listing, path, names)) if listing.is_file() else []
            except InputError as error:
                yield error
                continue
            load = partial(load_image, file, called)
            yield BoxedPhoto(called, _split(folders, inner), load, boxes, in_shares=True, classes=listed)
        for file in (parent / name for parent, files in walk(folders.labels) for name in files):
            if file.suffix == ".txt" and file not in read and file.stat().st_size:
                called = file.relative_to(path).as_posix()
                yield InputError(called, f"no photo of this name in {folders.images.name}/")


def yolo_folders(path: Path) -> list[_Folders]:
    """The folders of photos and of their labels, those for training first; else those of the folders inside."""
    if not path.is_dir():
        return []
    found = _folders_of(path) or [own for base in folders_in(path) for own in _folders_of(base)]
    return sorted(found, key=lambda own: (split_of_file(own.labels.parent) != "train", own.labels))


def _folders_of(base: Path) -> list[_Folders]:
    if (base / "labels").is_dir():
        return [_Folders(base, base / "images" if (base / "images").is_dir() else base, base / "labels")]
    nested = [one for one in folders_in(base) if (one / "images").is_dir() and (one / "labels").is_dir()]
    return [_Folders(base, one / "images", one / "labels") for one in nested]


def _class_names(folders: _Folders) -> dict[str, str]:
    """The names of the classes by their numbers, from ``data.yaml`` or ``classes.txt``; empty without such a file.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    around = list(dict.fromkeys((folders.labels.parent, folders.base)))
    if spoken_split(folders.base.resolve().name):
        around.append(folders.base.resolve().parent)  # one split alone is read: the names lie beside it
    for file in (file for folder in around for file in sorted(folder.glob("*.y*ml"))):
        names = _yaml(file).get("names")
        if names is not None:
            numbered = dict(enumerate(names)) if isinstance(names, list) else names
            if isinstance(numbered, dict) and all(isinstance(name, str) for name in numbered.values()):
                return {str(number): name for number, name in numbered.items()}
            raise InputError(str(file), "its 'names' are in no form that is known; expected a list of names")
    for file in (folder / "classes.txt" for folder in (folders.labels, *around)):
        if file.is_file():
            lines = read_listing(file, "the names of classes, one a line")
            return {str(number): line.strip() for number, line in enumerate(lines) if line.strip()}
    return {}


def _yaml(file: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(f"Reading {file.name}", "yaml", "data") from error
    try:
        # All values stay texts: no class becomes a truth value for being called "no".
        found = yaml.load(file.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)  # noqa: S506 - makes only texts
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(str(file), f"cannot be read as YAML ({str(error).splitlines()[0]})") from error
    return found if isinstance(found, dict) else {}


def _split(folders: _Folders, inner: Path) -> str:
    """What the folder around ``images`` says, or those inside it."""
    around = (*folders.images.relative_to(folders.base).parts, *inner.parts[:-1])
    return next(filter(None, map(spoken_split, around)), "train")


def _has_labels(folder: Path) -> bool:
    """Whether one of the first files begins with numbers; those that fit no box are told when they are read."""
    files = (file for file in folder.rglob("*.txt") if file.name != "classes.txt")
    return any(map(_has_numbers, islice(files, _LOOKED_AT)))


def _has_numbers(file: Path) -> bool:
    try:
        cells = file.read_text(encoding="utf-8-sig").split("\n", 1)[0].split()
        return len([float(cell) for cell in cells]) >= min(_BOX_CELLS)
    except (OSError, ValueError):  # also of what is no UTF-8
        return False


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
    polygon = len(cells) > max(_BOX_CELLS) and len(cells) % 2 == 1 and not _has_landmarks(values)
    told = values if polygon else values[:4]
    known = polygon or len(cells) in (*_BOX_CELLS, *_LANDMARK_CELLS)
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
