"""Lists of the photos of each split, as Darknet's ``train.txt`` and Pascal VOC's ``ImageSets/Main/train.txt``."""

from __future__ import annotations

from pathlib import PurePosixPath

__all__ = ["Parts", "PhotoLists", "path_parts"]

Parts = tuple[str, ...]


def path_parts(path: str) -> Parts:
    """Without what only held where it was written: a drive, the root, and the way up."""
    parts = PurePosixPath(path.strip().replace("\\", "/")).parts
    return tuple(part for part in parts if part not in ("/", "..") and not part.endswith(":"))


class PhotoLists:
    """The splits of photos by their paths, which are known from different folders on."""

    def __init__(self) -> None:
        self._told: dict[str, list[tuple[Parts, str]]] = {}

    def add(self, parts: Parts, split: str) -> None:
        """Say of which split a photo is."""
        if parts:
            self._told.setdefault(parts[-1], []).append((parts, split))

    def splits(self, photo: Parts) -> set[str]:
        """The splits of a photo: where one of the two paths ends as the other."""
        told = self._told.get(photo[-1], ())
        return {split for parts, split in told if _ends_with(parts, photo) or _ends_with(photo, parts)}


def _ends_with(whole: Parts, end: Parts) -> bool:
    return whole[-len(end) :] == end
