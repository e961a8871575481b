"""Pascal VOC: an XML file for each photo, as LabelImg, CVAT and Roboflow write them, too.

http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html describes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path, PurePath, PureWindowsPath
from xml.etree import ElementTree

from mien.data.info import USUAL_SPLITS
from mien.data.layouts.base import Contents, ReadOptions, read_listing, register
from mien.data.layouts.boxed import READERS, Box, BoxedPhoto, read_boxed
from mien.data.layouts.names import split_name
from mien.data.layouts.photo_lists import PhotoLists, path_parts
from mien.data.layouts.places import is_image, load_image, named_split
from mien.errors import InputError

__all__ = ["Voc", "is_voc", "voc_photos"]

_PLACES = ("*.xml", "*/*.xml", "*/*/*.xml", "*/*/*/*.xml")
"""Beside the photos, in Annotations/, in folders of splits or classes, or of years (VOCdevkit/VOC2012/Annotations)."""
_PHOTOS = (".", "JPEGImages", "images", "Images")
_ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif", ".tiff")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_LOOKED_AT = 20
_FLAG = re.compile(r"\s+-?[01]$")
"""Behind names in some lists: whether the object that a list is of is in the photo."""


class Voc:
    """XML files beside the photos, or in ``Annotations/`` with the photos in ``JPEGImages/`` or ``images/``.

    A photo is of the split whose list in ``ImageSets/Main`` names it, or whose name a folder around its file has.
    Objects that are marked as difficult are left out and counted.
    """

    name = "voc"
    summary = "an .xml file a photo as Pascal VOC has them: beside the photos, or in Annotations/"

    def matches(self, path: Path) -> bool:
        """A folder with XML files of annotations, three folders down at most."""
        return path.is_dir() and is_voc(path)

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read the objects in the order of the files."""
        return read_boxed(path, voc_photos(path), options)


def is_voc(path: Path) -> bool:
    """Whether a folder holds XML files of annotations; only some are looked at."""
    some = (file for place in _PLACES for file in islice(_files(path, place), _LOOKED_AT))
    return any(map(_is_annotation, some))


def voc_photos(path: Path) -> Iterator[BoxedPhoto | InputError]:
    """The photos of a folder.

    Raises
    ------
    InputError
        If there are no XML files, or a list of a split cannot be read.
    """
    files = sorted(file for place in _PLACES for file in _files(path, place)) if path.is_dir() else []
    if not files:
        raise InputError(str(path), "has no .xml files as Pascal VOC has them; expected a folder with one a photo")
    splits = _listed(path)
    for file in files:
        called = file.relative_to(path).as_posix()
        try:
            annotation = _annotation(file)
            image = _image(file, annotation)
        except InputError as error:
            yield InputError(called, error.problem)
            continue
        name = image.relative_to(path).as_posix() if image.is_relative_to(path) else image.name
        listed = splits.splits((*file.parent.relative_to(path).parts, file.stem))
        split = listed.pop() if len(listed) == 1 else split_name(named_split(path, file.parent) or "train")
        yield BoxedPhoto(name, split, partial(load_image, image, name), list(_boxes(annotation, called)))


def _files(path: Path, place: str) -> Iterator[Path]:
    return (file for file in path.glob(place) if not any(part.startswith(".") for part in file.relative_to(path).parts))


def _is_annotation(file: Path) -> bool:
    try:
        _annotation(file)
    except InputError:
        return False
    return True


def _annotation(file: Path) -> ElementTree.Element:
    try:
        # Entities that grow are refused by expat itself.
        root = ElementTree.parse(file).getroot()  # noqa: S314
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(file.name, f"cannot be read as XML ({error})") from error
    if root.tag != "annotation":
        raise InputError(file.name, f"starts with <{root.tag[:40]}>; expected <annotation>, as Pascal VOC has it")
    return root


def _boxes(annotation: ElementTree.Element, called: str) -> Iterator[Box | InputError]:
    for number, item in enumerate(annotation.iter("object")):
        where = f"{called} object {number}"
        try:
            left, top, right, bottom = (float(item.findtext(f"bndbox/{side}") or "") for side in _SIDES)
        except ValueError:
            yield InputError(where, f"expected <bndbox> with numbers in {', '.join(_SIDES)}")
            continue
        if right < left or bottom < top:
            yield InputError(where, f"its box {[left, top, right, bottom]} ends before it begins")
            continue
        difficult = (item.findtext("difficult") or "0").strip() == "1"
        yield Box(where, (item.findtext("name") or "").strip(), (left, top, right, bottom), difficult)


def _image(file: Path, annotation: ElementTree.Element) -> Path:
    """The photo of an annotation: of the same name, else as the file says, in which names of before stay."""
    # Programs on Windows write whole paths.
    told = PureWindowsPath((annotation.findtext("filename") or "").strip()).name
    home = file.parent
    bases = (home, home.parent, home.parent.parent)
    places = [base / name for base in bases for name in _PHOTOS]
    # As annotations/train/happy/1.xml and images/train/happy/1.jpg.
    inner = [(base, home.parts[len(base.parts) + 1 :]) for base in home.parents[:3]]
    places += [base.joinpath(name, *parts) for base, parts in inner for name in _PHOTOS]
    endings = dict.fromkeys((PurePath(told).suffix, *_ENDINGS))
    for name in (*(file.stem + ending for ending in endings if ending), told):
        for place in places:
            if name and (place / name).is_file():
                return place / name
    raise InputError(
        file.name, f"no photo '{told or file.stem}' beside it, nor in JPEGImages/ or images/ beside its folder"
    )


def _listed(root: Path) -> PhotoLists:
    """The splits of photos, by their names without endings, of lists such as ``ImageSets/Main/val.txt``.

    Those of single classes (``happy_val.txt``) name photos that have no such object, too.
    """
    found = PhotoLists()
    for place in ("ImageSets/Main/*.txt", "*/ImageSets/Main/*.txt"):
        for file in sorted(root.glob(place)):
            split = split_name(file.stem)
            for line in read_listing(file, "a list of photos") if split in USUAL_SPLITS else ():
                # CVAT puts names with blanks between quotation marks, and folders before names.
                name = _FLAG.sub("", line.strip()).strip('"')
                found.add(path_parts(name.rpartition(".")[0] if is_image(name) else name), split)
    return found


register(Voc())
READERS[Voc.name] = voc_photos
