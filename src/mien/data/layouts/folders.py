"""Folders of class folders, with or without folders of splits above them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NoReturn

from mien.data.layouts.base import (
    Contents,
    DamagedFolderError,
    Item,
    ReadOptions,
    class_name,
    known_class,
    ordered_classes,
    register,
    split_name,
)
from mien.errors import InputError
from mien.labels import EXPRESSIONS
from mien.source.image import read_file
from mien.source.name import IMAGE_SUFFIXES

__all__ = [
    "DEEPEST",
    "ClassFolders",
    "folders_in",
    "images_below",
    "images_in",
    "load_image",
    "named_split",
]

_JUNK = ("Thumbs.db", "desktop.ini")
_DISK_CHECK = "lost+found"  # at the root of a disk, and readable for few
DEEPEST = 4
"""How many levels down class folders are looked for."""


class ClassFolders:
    """``SPLIT/CLASS/image`` or ``CLASS/image``, under any number of wrapping folders such as ``images/``.

    What lies deeper in a class folder (``CLASS/PERSON/image``) is of that class.
    """

    name = "folders"
    summary = "folders named by class, with train, test or other folders above them or not"

    def matches(self, path: Path) -> bool:
        """A folder in which, four levels down at most, at least two folders are named by expressions."""
        return path.is_dir() and bool(_class_parents(path, {}))

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


def named_split(root: Path, folder: Path) -> str | None:
    """The last folder on the way down that is called train, validation or test in any spelling."""
    parts = folder.relative_to(root).parts
    return next((part for part in reversed(parts) if split_name(part) in ("train", "validation", "test")), None)


def _splits(root: Path, parents: list[Path]) -> dict[Path, str]:
    """What to call the split of each folder that holds class folders.

    A usual name may stand anywhere (``images/train``, ``A/train`` and ``B/train``, ``train/images``); others are taken
    where there are several.
    """
    leaves = [parent.name for parent in parents]
    if len(parents) == 1:
        own = ["train"]
    elif len(set(leaves)) == len(leaves):
        own = leaves
    else:
        own = [parent.relative_to(root).as_posix() for parent in parents]
    return {parent: named_split(root, parent) or name for parent, name in zip(parents, own, strict=True)}


def _left_out(root: Path, class_folders: Collection[Path]) -> dict[str, int]:
    """Files that are not read, counted by the reason, so that nobody misses them unawares.

    In class folders those that are no images, by their endings; outside of them images.
    """
    inside = (name for folder in class_folders for _, names in _walk(folder) for name in names if name not in _JUNK)
    endings = (Path(name).suffix.lower() or "none" for name in inside)
    found = Counter(f"left out by their ending, {end}" for end in endings if end not in IMAGE_SUFFIXES)
    outside = list(_outside(root, set(class_folders)))
    if outside:
        found[f"left out by their place in no class folder, such as {outside[0].relative_to(root)}"] = len(outside)
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


def load_image(file: Path, where: str) -> bytes:
    """The bytes of an image file, or an InputError about `where`."""
    try:
        return read_file(os.fspath(file))
    except InputError as error:
        raise InputError(where, error.problem) from error


def folders_in(path: Path) -> list[Path]:
    """The folders in a folder, by name; those that are hidden are left out."""
    try:
        children = sorted(path.iterdir())
    except OSError:
        return []
    return [child for child in children if child.is_dir() and not child.name.startswith((".", "__"))]


def images_in(folder: Path) -> Iterator[Path]:
    """The image files in a folder, by name."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    yield from (folder / name for name in names if _is_image(name))


def images_below(folder: Path) -> Iterator[Path]:
    """The image files in a folder and in those inside it, by name; linked folders, too."""
    return (parent / name for parent, names in _walk(folder) for name in names if _is_image(name))


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and those inside it or linked to, each with its files' names; hidden ones are left out.

    Each is looked into once, and none around `root`: links may lead in circles.
    """
    real = root.resolve()
    seen = {real, *real.parents}
    for parent, folders, names in os.walk(root, followlinks=True, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in tuple(folders):
            target = (Path(parent) / name).resolve()
            if target in seen:
                folders.remove(name)
            seen.add(target)
        yield Path(parent), sorted(name for name in names if not name.startswith("."))


def _outside(root: Path, class_folders: Collection[Path]) -> Iterator[Path]:
    """The image files in a folder that lie in no class folder."""
    for parent, folders, names in os.walk(root, onerror=_unreadable):
        own = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__")) and name != _DISK_CHECK and own / name not in class_folders
        )
        yield from (own / name for name in sorted(names) if not name.startswith(".") and _is_image(name))


def _unreadable(error: OSError) -> NoReturn:
    """Nobody knows how many images are in it: to leave it out would be to lose them."""
    raise InputError(
        str(error.filename), f"cannot be looked into ({error.strerror}); make it readable, or move it elsewhere"
    ) from error


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


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
        level = [child for folder in level for child in folders_in(folder)][:1000]
    return []


register(ClassFolders())
