"""Folders of images whose names are no expressions: each folder is a class of its own name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mien.data.layouts.base import Contents, ReadOptions, register, split_name
from mien.data.layouts.folders import DEEPEST, ClassFolders, folders_in, images_in
from mien.files import utf8_text

__all__ = ["OwnFolders"]


class OwnFolders(ClassFolders):
    """``SPLIT/CLASS/image`` or ``CLASS/image`` with classes such as ``engaged`` and ``bored``; in small letters."""

    name = "own-folders"
    summary = "folders of images, each a class of its own name (engaged, bored, ...)"

    def matches(self, path: Path) -> bool:
        """A folder in which two folders of images or more lie side by side, in each split alike."""
        if not path.is_dir():
            return False
        parents = _named(path)
        names = {name for own in parents for name in own}
        # Splits are no classes; for numbers somebody has to say what they mean.
        told = not any(name.isdigit() or split_name(name) in ("train", "validation", "test") for name in names)
        return told and any(len(own) > 1 for own in parents) and all(own & parents[0] for own in parents)

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read all folders of images in the order of their names."""
        own = {name: utf8_text(name) for names in _named(path) for name in names} if path.is_dir() else {}
        return super().read(path, dataclasses.replace(options, classes={**own, **options.classes}))


def _named(root: Path) -> list[set[str]]:
    """Of each folder that holds folders of images, on the first level with such, the names of these."""
    level = [root]
    for _ in range(DEEPEST):
        named = [
            {child.name.strip().lower() for child in folders_in(folder) if any(images_in(child))} for folder in level
        ]
        if any(len(names) > 1 for names in named):
            return [names for names in named if names]
        level = [child for folder in level for child in folders_in(folder)][:1000]
    return []


register(OwnFolders())
