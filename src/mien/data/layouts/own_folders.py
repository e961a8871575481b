"""Folders of images whose names are no expressions: each folder is a class of its own name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mien.data.info import USUAL_SPLITS
from mien.data.layouts.base import Contents, ReadOptions, register
from mien.data.layouts.folders import ClassFolders
from mien.data.layouts.names import class_key, split_name, spoken_split
from mien.data.layouts.places import DEEPEST, folders_in, folders_inside, images_below, images_in, named_split
from mien.files import utf8_text

__all__ = ["OwnFolders"]


class OwnFolders(ClassFolders):
    """``SPLIT/CLASS/image`` or ``CLASS/image`` with classes such as ``engaged`` and ``bored``; in small letters.

    What lies deeper in a class folder (``CLASS/PERSON/image``) is of that class.
    """

    name = "own-folders"
    summary = "folders of images, each a class of its own name (engaged, bored, ...)"

    def matches(self, path: Path) -> bool:
        """A folder in which two folders of images or more lie side by side, in each split alike."""
        if not path.is_dir():
            return False
        folders = _class_folders(path)
        parents = [_names(own) for own in folders]
        # For numbers somebody has to say what they mean.
        if any(name.isdigit() for own in parents for name in own):
            return False
        # Nor are splits classes that are called in other ways, as train2017 and val2017.
        if all(spoken_split(name) for own in parents for name in own):
            return False
        # Without splits engaged/anna and anna/engaged look the same.
        told = sum(any(images_in(child)) or named_split(path, child) is not None for own in folders for child in own)
        return told > 1 and any(len(own) > 1 for own in parents) and all(own & parents[0] for own in parents)

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read all folders of images in the order of their names."""
        folders = _class_folders(path) if path.is_dir() else []
        own = {name: utf8_text(name) for children in folders for name in _names(children)}
        return super().read(path, dataclasses.replace(options, classes={**own, **options.classes}))


def _names(folders: list[Path]) -> set[str]:
    return {class_key(folder.name) for folder in folders}


def _class_folders(root: Path) -> list[list[Path]]:
    """The class folders of each split: on the first level with several, below the folders that are named as splits."""
    level = start = [root]
    for _ in range(DEEPEST):
        level = folders_inside(level)
        if any(split_name(folder.name) in USUAL_SPLITS for folder in level):
            start = level
            break
    for _ in range(DEEPEST):
        children = [[child for child in folders_in(folder) if any(images_below(child))] for folder in start]
        if any(len(own) > 1 for own in children):
            return [own for own in children if own]
        start = [child for own in children for child in own][:1000]
    return []


register(OwnFolders())
