"""Photos in which faces are boxed, each box with a class: what readers of such labels give, and faces made of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path, PurePath
from typing import NamedTuple

from mien.data.layouts.base import Contents, Item, ReadOptions, attempt
from mien.data.layouts.names import class_name, known_class, ordered_classes, own_classes
from mien.errors import InputError

__all__ = ["READERS", "Box", "BoxedPhoto", "is_face", "read_boxed"]

_NO_BOX = "left out for having no box"
_DOUBTFUL = "left out as crowds or difficult ones, as their labels say"


class Box(NamedTuple):
    """A box as a file of labels says it.

    Attributes
    ----------
    where : str
        The line or object, for errors.
    label : str
        Its class, in the source's own words.
    xyxy : sequence of float
        Left, top, right and bottom.
    doubtful : bool
        True where the labels say that this is a crowd, or hard to see.
    """

    where: str
    label: str
    xyxy: Sequence[float]
    doubtful: bool = False


@dataclass(frozen=True)
class BoxedPhoto:
    """A photo and its boxes.

    Attributes
    ----------
    name : str
        What to call it.
    split : str
    load : callable
        Gives the image file's bytes; raises InputError.
    boxes : sequence of Box or InputError
        An InputError in the place of a box that cannot be read.
    in_shares : bool
        True where boxes are in shares of the photo's width and height, else they are in pixels.
    classes : set of str
        The classes that boxes of its collection may have, where they are listed.
    """

    name: str
    split: str
    load: Callable[[], bytes]
    boxes: Sequence[Box | InputError] = field(default_factory=list)
    in_shares: bool = False
    classes: frozenset[str] = frozenset()


READERS: dict[str, Callable[[Path], Iterable[BoxedPhoto | InputError]]] = {}
"""What reads the photos of a file or folder, by the name of the layout."""


def is_face(name: str) -> bool:
    """Whether a class is that of faces, by its name: ``face``, ``Faces``, ``Human face``, ..."""
    return re.sub(r"[^a-z]", "", name.lower()).removeprefix("human").removesuffix("s") == "face"


def read_boxed(path: Path, photos: Iterable[BoxedPhoto | InputError], options: ReadOptions) -> Contents:
    """Each box as a face of its class; photos without a box are left out and counted.

    Raises
    ------
    InputError
        If no class can be an expression, nor one of the user's own.
    """
    rows: list[tuple[BoxedPhoto, int, Box] | InputError] = []
    excluded = {_NO_BOX: 0, _DOUBTFUL: 0}
    listed: set[str] = set()
    for photo in photos:
        if isinstance(photo, InputError):
            rows.append(photo)
            continue
        excluded[_NO_BOX] += not photo.boxes
        listed |= photo.classes
        for number, box in enumerate(photo.boxes):
            if isinstance(box, InputError):
                rows.append(box)
            elif box.doubtful:
                excluded[_DOUBTFUL] += 1
            else:
                rows.append((photo, number, box))
    names = {box.label for _, _, box in (row for row in rows if not isinstance(row, InputError))}
    own = own_classes(names | listed)
    classes = {**own, **options.classes}
    # Expressions that are listed, as a part of the dataset may lack one. Of other classes only those that occur: COCO's
    # lists hold names of groups, too.
    labels = ordered_classes(known_class(name, classes) for name in (names if own else names | listed))
    _require_classes(path, names, labels, {row[0].name for row in rows if not isinstance(row, InputError)})
    return Contents(
        labels=labels,
        items=_items(rows, labels, classes),
        total=len(rows),
        columns=("box_xyxy",),
        excluded={reason: count for reason, count in excluded.items() if count},
    )


def _require_classes(path: Path, names: set[str], labels: tuple[str, ...], photos: Iterable[str]) -> None:
    folders = {part for photo in photos for part in PurePath(photo).parts[:-1]}
    named = any(known_class(folder, {}) is not None for folder in folders)
    instead = ", and --layout folders takes the names of the folders for the classes of whole photos" if named else ""
    if names and all(is_face(name) for name in names):
        raise InputError(
            str(path),
            "its boxes say where faces are, and no expressions; 'mien data photos' reads such photos, for detectors"
            f"{instead}",
        )
    if names and not labels:
        raise InputError(
            str(path),
            f"the classes of its boxes have no known names ({', '.join(sorted(names)[:8])}); say in their order what "
            "they mean: 'mien data import --classes angry,disgust,...'"
            f"{instead}",
        )


def _items(
    rows: list[tuple[BoxedPhoto, int, Box] | InputError], labels: tuple[str, ...], classes: Mapping[str, str]
) -> Iterator[Item | InputError]:
    for row in rows:
        yield row if isinstance(row, InputError) else attempt(_item, *row, labels, classes)


def _item(photo: BoxedPhoto, number: int, box: Box, labels: tuple[str, ...], classes: Mapping[str, str]) -> Item:
    label = labels.index(class_name(box.label, classes, box.where))
    item = Item(box.where, partial(_load, photo.load), label, photo.split, photo.name, number)
    if photo.in_shares:
        item.box_shares = box.xyxy
    else:
        item.box_xyxy = box.xyxy
    return item


# The faces of one photo follow each other: its bytes are read once.
@lru_cache(maxsize=4)
def _load(load: Callable[[], bytes]) -> bytes:
    return load()
