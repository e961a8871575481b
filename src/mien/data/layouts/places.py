"""What lies in folders: images, other folders, and what these are called."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from mien.data.info import USUAL_SPLITS
from mien.data.layouts.names import split_name
from mien.errors import InputError
from mien.source.image import read_file
from mien.source.name import HIDDEN, IMAGE_SUFFIXES

__all__ = [
    "DEEPEST",
    "PASSED_OVER",
    "beside",
    "folders_in",
    "folders_inside",
    "images_below",
    "images_in",
    "is_image",
    "load_image",
    "named_file",
    "named_split",
    "spellings",
    "unreadable",
    "walk",
]

PASSED_OVER = (*HIDDEN, "__")
"""How the names of folders begin that are not looked into: hidden ones, and those that macOS packs into archives."""

DEEPEST = 4
"""How many levels down folders of classes, or of photos, are looked for."""


def named_split(root: Path, folder: Path) -> str | None:
    """The last folder on the way down that is called train, validation or test in any spelling."""
    parts = folder.relative_to(root).parts
    return next((part for part in reversed(parts) if split_name(part) in USUAL_SPLITS), None)


def named_file(path: Path, name: str, places: Sequence[str]) -> Path | None:
    """The file of a name: `path` itself, or the first in some places in it; None where there is none."""
    if path.is_file():
        return path if path.name == name else None
    return next((path / place / name for place in places if (path / place / name).is_file()), None)


def load_image(file: Path, where: str) -> bytes:
    """The bytes of an image file, or an InputError about `where`."""
    try:
        return read_file(os.fspath(file))
    except InputError as error:
        raise InputError(where, error.problem) from error


def beside(listing: Path, name: str) -> Path:
    """The photo that a list names: beside the list or one level up, there also in ``images`` or a folder named alike.

    Raises
    ------
    InputError
        If it is in none of these places.
    """
    own = listing.stem.removeprefix("instances_")
    # As the archives of WIDER FACE are unpacked: wider_face_split/wider_face_train_bbx_gt.txt, WIDER_train/images/.
    wider = f"WIDER_{own.removeprefix('wider_face_').removesuffix('_bbx_gt')}/images"
    folders = (".", "images", own, wider, f"images/{own}")
    bases = (listing.parent, listing.parent.parent)
    places = (base / folder / written for written in spellings(name) for base in bases for folder in folders)
    for place in places:
        if place.is_file():
            return place
    raise InputError(
        f"{listing.name}: {name}", "no such photo beside the list, in images/ there, or in either place one level up"
    )


def spellings(name: str) -> list[str]:
    """A name as it is, and with each accent in one with its letter or after it, as archives of macOS may have it."""
    return list(dict.fromkeys([name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]))


def folders_in(path: Path) -> list[Path]:
    """The folders in a folder, by name; those that are hidden are left out."""
    try:
        with os.scandir(path) as entries:
            # Of most entries the list itself says what they are: a hundred thousand images are not asked one by one.
            names = sorted(entry.name for entry in entries if _is_folder(entry))
    except OSError:
        return []
    return [path / name for name in names]


def folders_inside(level: Iterable[Path]) -> list[Path]:
    """The folders in each of some folders: one level further down, a thousand at the most."""
    return [child for folder in level for child in folders_in(folder)][:1000]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return not entry.name.startswith(PASSED_OVER) and entry.is_dir()
    except OSError:  # a link to itself, or nothing to look into
        return False


def images_in(folder: Path) -> Iterator[Path]:
    """The image files in a folder, by name."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        unreadable(error)
    yield from (folder / name for name in names if is_image(name))


def images_below(folder: Path) -> Iterator[Path]:
    """The image files in a folder and in those inside it, by name; linked folders, too."""
    return (parent / name for parent, names in walk(folder) for name in names if is_image(name))


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and those inside it or linked to, each with its files' names; hidden ones are left out.

    Each is looked into once, and none around `root`: links may lead in circles.
    """
    real = root.resolve()
    seen = {real, *real.parents}
    for parent, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith(PASSED_OVER))
        for name in tuple(folders):
            target = (Path(parent) / name).resolve()
            if target in seen:
                folders.remove(name)
            seen.add(target)
        yield Path(parent), sorted(name for name in names if not name.startswith("."))


def unreadable(error: OSError) -> NoReturn:
    """Nobody knows how many images are in it: to leave it out would be to lose them."""
    raise InputError(
        str(error.filename), f"cannot be looked into ({error.strerror}); make it readable, or move it elsewhere"
    ) from error


def is_image(name: str) -> bool:
    """Whether a file is an image by its ending."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES
