"""Photos with an XML file each, as Pascal VOC has them and LabelImg, CVAT and Roboflow write them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath, PureWindowsPath
from xml.etree import ElementTree

from mien.data.layouts.base import read_listing
from mien.data.layouts.names import split_name
from mien.data.photos.dataset import Photo, boxes_array, is_face, labelled_photo
from mien.errors import InputError
from mien.source.image import read_file

__all__ = ["is_voc", "read_voc"]

_PLACES = ("*.xml", "*/*.xml", "*/*/*.xml")
"""Beside the photos, in Annotations/, in folders of splits, or of years (VOCdevkit/VOC2012/Annotations)."""
_PHOTOS = (".", "JPEGImages", "images", "Images")
_ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif", ".tiff")
_LOOKED_AT = 20


@dataclass
class _Annotation:
    """What an XML file says."""

    file: Path
    image: str
    boxes: list[tuple[str, bool, list[float]]] = field(default_factory=list)
    """The name of each object, whether it is a difficult one, and its left, top, right and bottom."""


def is_voc(path: Path) -> bool:
    """Whether a folder holds XML files of annotations."""
    some = (file for place in _PLACES for file in islice(_files(path, place), _LOOKED_AT))
    return any(isinstance(_annotation(file), _Annotation) for file in some)


def read_voc(path: Path) -> Iterator[Photo | InputError]:
    """A folder with an XML file for each photo, beside it or in ``Annotations/``.

    Every object is a face (difficult ones are places to ignore), unless one is called "face": then only those are.
    A photo is of the split whose list in ``ImageSets/Main`` names it, or whose name a folder around its file has.
    """
    files = sorted(file for place in _PLACES for file in _files(path, place)) if path.is_dir() else []
    if not files:
        raise InputError(str(path), "has no .xml files as Pascal VOC has them; expected a folder with one a photo")
    found = [_annotation(file) for file in files]
    some = any(is_face(name) for own in found if isinstance(own, _Annotation) for name, _, _ in own.boxes)
    splits = _listed(path)
    for own in found:
        if isinstance(own, InputError):
            yield own
            continue
        try:
            yield _photo(own, path, some, splits)
        except InputError as error:
            yield error


def _files(path: Path, place: str) -> Iterator[Path]:
    return (file for file in path.glob(place) if not any(part.startswith(".") for part in file.relative_to(path).parts))


def _annotation(file: Path) -> _Annotation | InputError:
    try:
        # Entities that grow are refused by expat itself.
        root = ElementTree.parse(file).getroot()  # noqa: S314
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        return InputError(file.name, f"cannot be read as XML ({error})")
    if root.tag != "annotation":
        return InputError(file.name, f"starts with <{root.tag[:40]}>; expected <annotation>, as Pascal VOC has it")
    # Programs on Windows write whole paths.
    own = _Annotation(file, PureWindowsPath((root.findtext("filename") or "").strip()).name)
    for number, item in enumerate(root.iter("object")):
        try:
            box = [float(item.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")]
        except ValueError:
            return InputError(
                f"{file.name} object {number}", "expected <bndbox> with numbers in xmin, ymin, xmax and ymax"
            )
        if box[2] < box[0] or box[3] < box[1]:
            return InputError(f"{file.name} object {number}", f"its box {box} ends before it begins")
        name = item.findtext("name") or ""
        own.boxes.append((name, (item.findtext("difficult") or "0").strip() == "1", box))
    return own


def _photo(own: _Annotation, root: Path, only_faces: bool, splits: dict[str, str]) -> Photo:
    image = _image(own)
    around = own.file.relative_to(root).parts[:-1]
    named = (split_name(part) for part in reversed(around))
    told = next((name for name in named if name in ("train", "validation", "test")), "train")
    boxes = [(difficult, box) for name, difficult, box in own.boxes if is_face(name) or not only_faces]
    return labelled_photo(
        read_file(os.fspath(image)),
        image.relative_to(root).as_posix() if image.is_relative_to(root) else image.name,
        splits.get(own.file.stem, told),
        root.name,
        boxes_array([box for difficult, box in boxes if not difficult]),
        boxes_array([box for difficult, box in boxes if difficult]),
    )


def _image(own: _Annotation) -> Path:
    """The photo of an annotation: of the same name, else as the file says, in which names of before stay."""
    home, stem = own.file.parent, own.file.stem
    bases = (home, home.parent, home.parent.parent)
    places = [base / name for base in bases for name in _PHOTOS]
    # As annotations/train/1.xml and images/train/1.jpg.
    places += [base / name / home.name for base in bases[1:] for name in _PHOTOS]
    endings = dict.fromkeys((PurePath(own.image).suffix, *_ENDINGS))
    for name in (*(stem + ending for ending in endings if ending), own.image):
        for place in places:
            if name and (place / name).is_file():
                return place / name
    raise InputError(
        own.file.name, f"no photo '{own.image or stem}' beside it, nor in JPEGImages/ or images/ beside its folder"
    )


def _listed(root: Path) -> dict[str, str]:
    """The split of each photo that a list such as ``ImageSets/Main/val.txt`` names, by its name without an ending."""
    found: dict[str, str] = {}
    for name in ("train", "val", "test"):
        for place in (f"ImageSets/Main/{name}.txt", f"*/ImageSets/Main/{name}.txt"):
            for file in sorted(root.glob(place)):
                lines = read_listing(file, "a list of photos")
                found.update((line.split()[0], split_name(name)) for line in lines if line.strip())
    return found
