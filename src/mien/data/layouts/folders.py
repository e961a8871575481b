"""Folders of class folders, with or without folders of splits above them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from pathlib import Path, PurePath

from mien.data.layouts.base import LAYOUTS, Contents, DamagedFolderError, Item, ReadOptions, register
from mien.data.layouts.boxed import READERS, BoxedPhoto
from mien.data.layouts.names import class_name, known_class, ordered_classes, split_name, spoken_split
from mien.data.layouts.places import (
    DEEPEST,
    PASSED_OVER,
    folders_in,
    folders_inside,
    images_below,
    is_image,
    load_image,
    named_split,
    unreadable,
    walk,
)
from mien.errors import InputError, MienError
from mien.files import utf8_text
from mien.labels import EXPRESSIONS

__all__ = ["ClassFolders"]

_JUNK = ("Thumbs.db", "desktop.ini")
_LOOKED_AT = 200
_DISK_CHECK = "lost+found"  # at the root of a disk, and readable for few


class ClassFolders:
    """``SPLIT/CLASS/image`` or ``CLASS/image``, under any number of wrapping folders such as ``images/``.

    What lies deeper in a class folder (``CLASS/PERSON/image``) is of that class.
    """

    name = "folders"
    summary = "folders named by class, with train, test or other folders above them or not"

    def matches(self, path: Path) -> bool:
        """A folder in which, four levels down at most, at least two folders are named by expressions.

        Unless labels tell of boxes in the photos of these folders: then not the photo is a face, but what is in a box.
        """
        return path.is_dir() and bool(_class_parents(path, {})) and not _is_boxed(path)

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read all class folders in the order of their names."""
        classes = options.classes
        if not path.is_dir():
            raise InputError(str(path), "is a file; expected a folder of class folders")
        parents = _class_parents(path, classes)
        if not parents:
            raise InputError(
                str(path),
                f"holds no two folders named by class; expected such as {', '.join(EXPRESSIONS)} in any spelling, or "
                "'mien data import --classes' to say what other names mean",
            )
        names = _splits(path, parents)
        folders = [child for parent in parents for child in folders_in(parent)]
        found = {known_class(folder.name, classes) for folder in folders}
        labels = ordered_classes(found)
        return Contents(
            labels=labels,
            items=_items(path, names, labels, classes),
            total=sum(1 for folder in folders for _ in images_below(folder)),
            splits={split_name(name): name for name in names.values()},
            excluded=_left_out(path, folders),
        )


def _splits(root: Path, parents: list[Path]) -> dict[Path, str]:
    """What to call the split of each folder that holds class folders.

    A usual name may stand anywhere (``images/train``, ``A/train`` and ``B/train``, ``train/images``); others are taken
    where there are several, as splits that they speak of if each speaks of another (``Train_Aligned_Faces``).
    """
    leaves = [parent.name for parent in parents]
    if len(parents) == 1:
        own = ["train"]
    elif len(set(leaves)) == len(leaves):
        spoken = [name for name in map(spoken_split, leaves) if name]
        own = spoken if len(set(spoken)) == len(leaves) else leaves
    else:
        own = [parent.relative_to(root).as_posix() for parent in parents]
    return {parent: named_split(root, parent) or name for parent, name in zip(parents, own, strict=True)}


def _left_out(root: Path, class_folders: Collection[Path]) -> dict[str, int]:
    """Files that are not read, counted by the reason, so that nobody misses them unawares.

    In class folders those that are no images, by their endings; outside of them images, and tables at the top, which
    may well say something else than the folders.
    """
    inside = (name for folder in class_folders for _, names in walk(folder) for name in names if name not in _JUNK)
    endings = (Path(name).suffix.lower() or "(none)" for name in inside if not is_image(name))
    found = Counter(f"left out for the ending {end}" for end in endings)
    outside = list(_outside(root, set(class_folders)))
    if outside:
        first = utf8_text(str(outside[0].relative_to(root)))
        found[f"left out for lying in no class folder, such as {first}"] = len(outside)
    beside = [file for file in sorted(root.iterdir()) if file.is_file() and not is_image(file.name)]
    tables = [file.name for file in beside if LAYOUTS["table"].matches(file)]
    if tables:
        instead = "--layout table reads it, and not the folders' names"
        found[f"left out for being a table, such as {utf8_text(tables[0])}; {instead}"] = len(tables)
    return dict(found)


def _items(
    root: Path, names: dict[Path, str], labels: tuple[str, ...], classes: Mapping[str, str]
) -> Iterator[Item | InputError]:
    for parent, split in names.items():
        for folder in folders_in(parent):
            try:
                label = class_name(folder.name, classes, folder.relative_to(root).as_posix())
            except InputError as error:
                if count := sum(1 for _ in images_below(folder)):
                    yield DamagedFolderError(error.source, error.problem, count)
                continue
            for file in images_below(folder):
                relative = file.relative_to(root).as_posix()
                yield Item(
                    where=relative,
                    load=partial(load_image, file, relative),
                    label=labels.index(label),
                    split=split_name(split),
                    source=relative,
                )


def _outside(root: Path, class_folders: Collection[Path]) -> Iterator[Path]:
    """The image files in a folder that lie in no class folder."""
    for parent, folders, names in os.walk(root, onerror=unreadable):
        own = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(PASSED_OVER) and name != _DISK_CHECK and own / name not in class_folders
        )
        yield from (own / name for name in sorted(names) if not name.startswith(".") and is_image(name))


def _is_boxed(root: Path) -> bool:
    """Whether a class folder has one of the first photos of which YOLO's, COCO's or VOC's labels tell boxes."""
    photos = (islice(read(root), _LOOKED_AT) for name, read in READERS.items() if LAYOUTS[name].matches(root))
    try:
        return any(map(_boxed_in_class_folder, chain.from_iterable(photos)))
    except MienError:  # which the reader of this layout tells
        return True


def _boxed_in_class_folder(photo: BoxedPhoto | InputError) -> bool:
    if isinstance(photo, InputError) or not photo.boxes:
        return False
    return any(known_class(part, {}) is not None for part in PurePath(photo.name).parts[:-1])


def _class_parents(root: Path, classes: Mapping[str, str]) -> list[Path]:
    """The folders that hold class folders, in order, none of them inside another."""
    level = [root]
    for _ in range(DEEPEST):
        known = {
            folder: sum(known_class(child.name, classes) is not None for child in folders_in(folder))
            for folder in level
        }
        if any(count >= 2 for count in known.values()):
            return [folder for folder, count in known.items() if count]
        level = folders_inside(level)
    return []


register(ClassFolders())
