"""What files beside the labels of YOLO's form tell: the names of the classes, and the splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from mien.data.layouts.base import read_listing
from mien.data.layouts.names import split_name, spoken_split
from mien.data.layouts.photo_lists import Parts, PhotoLists, path_parts
from mien.data.layouts.places import is_image
from mien.data.layouts.yolo_places import NAMES_FILES, SPLIT_LISTS
from mien.errors import InputError, import_extra

__all__ = ["YoloMetadata"]

_SPLIT_KEYS = ("train", "val", "test")


class YoloMetadata:
    """The names of the classes and the splits of the files below a folder; each file that tells is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._around = cache(partial(_around, root))
        self._names, self._yaml, self._listed = cache(_class_names), cache(_split_folders), cache(_listed)

    def class_names(self, listing: Path) -> Mapping[str, str]:
        """The names of the classes by their numbers, for a file of labels; empty where nothing names them.

        Of a ``data.yaml`` around it, else of a list of names: the nearest, as LabelImg writes one into each folder.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        return self._names(self._around(listing.parent))

    def split(self, image: Path) -> str:
        """What a list of photos says, or else the folders around a photo by their names, or data.yaml; or ``train``.

        Raises
        ------
        InputError
            If a list cannot be read.
        """
        around = self._around(image.parent)
        inner = image.parent.relative_to(self._root).parts
        spoken = next(filter(None, map(spoken_split, inner)), None)
        return self._in_lists(around, image) or spoken or self._in_yaml(around, image) or "train"

    def _in_lists(self, around: Iterable[Path], image: Path) -> str | None:
        splits = {split for folder in around for split in self._listed(folder).splits(_below(folder, image))}
        return splits.pop() if len(splits) == 1 else None

    def _in_yaml(self, around: Iterable[Path], image: Path) -> str | None:
        told = {place: split for folder in around for place, split in self._yaml(folder).items()}
        return next((told[place] for place in image.parents if place in told), None)


def _around(root: Path, folder: Path) -> tuple[Path, ...]:
    """The folders in which what is said of a file may lie, from the nearest on."""
    inner = len(folder.relative_to(root).parts)
    found = (folder, *folder.parents)[: inner + 1]
    whole = root.resolve()
    # One part alone is read (train/, obj_train_data/): what is said of it lies beside it.
    return (*found, whole.parent) if spoken_split(whole.name) or whole.name.startswith("obj") else found


def _below(folder: Path, image: Path) -> Parts:
    return image.relative_to(folder).parts if image.is_relative_to(folder) else image.parts


def _listed(folder: Path) -> PhotoLists:
    found = PhotoLists()
    for file in (folder / name for name in SPLIT_LISTS):
        for line in read_listing(file, "a list of photos") if file.is_file() else ():
            if is_image(line.strip()):
                found.add(path_parts(line), split_name(file.stem))
    return found


def _split_folders(folder: Path) -> dict[Path, str]:
    """The folders that data.yaml names for one split alone."""
    found: dict[Path, set[str]] = {}
    for file in _yaml_files(folder):
        for key, value in _yaml(file).items():
            if key not in _SPLIT_KEYS:
                continue
            for entry in value if isinstance(value, list) else [value]:
                parts = path_parts(str(entry))
                places = (folder.joinpath(*parts[start:]) for start in range(len(parts)))
                for place in islice(filter(Path.is_dir, places), 1):
                    found.setdefault(place, set()).add(split_name(key))
    return {place: splits.pop() for place, splits in found.items() if len(splits) == 1}


def _class_names(around: tuple[Path, ...]) -> Mapping[str, str]:
    for file in (file for folder in around for file in _yaml_files(folder)):
        names = _yaml(file).get("names")
        if names is not None:
            numbered = dict(enumerate(names)) if isinstance(names, list) else names
            if isinstance(numbered, dict) and all(isinstance(name, str) for name in numbered.values()):
                return {str(number): name for number, name in numbered.items()}
            raise InputError(str(file), "its 'names' are in no form that is known; expected a list of names")
    for file in (file for folder in around for file in _names_files(folder)):
        lines = read_listing(file, "the names of classes, one a line")
        return {str(number): line.strip() for number, line in enumerate(lines) if line.strip()}
    return {}


def _names_files(folder: Path) -> Iterator[Path]:
    usual = [folder / name for name in NAMES_FILES if (folder / name).is_file()]
    other = _visible(folder.glob("*.names"))
    # Darknet's own folder has coco.names, voc.names and more beside obj.names.
    yield from usual or (other if len(other) == 1 else ())


def _yaml_files(folder: Path) -> list[Path]:
    return _visible(folder.glob("*.y*ml"))


def _visible(files: Iterable[Path]) -> list[Path]:
    return sorted(file for file in files if not file.name.startswith("."))


def _yaml(file: Path) -> Mapping[str, Any]:
    yaml = import_extra(f"Reading {file.name}", "yaml", "data")
    try:
        # All values stay texts: no class becomes a truth value for being called "no".
        found = yaml.load(file.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)  # makes only texts
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(str(file), f"cannot be read as YAML ({str(error).splitlines()[0]})") from error
    return found if isinstance(found, dict) else {}
