"""From what a person types (files, folders, patterns) to the list of files to read."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mien.errors import InputError
from mien.source.name import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_live_name, shown_name

__all__ = ["SourceFile", "count_videos", "expand_inputs"]


@dataclass(frozen=True)
class SourceFile:
    """A file to read.

    Attributes
    ----------
    path : str
        As it is shown and opened.
    relative : str
        Its place below the folder that was named, with forward slashes (its name alone if it was named itself).
    """

    path: str
    relative: str


def expand_inputs(inputs: Iterable[str], recursive: bool = False) -> list[SourceFile | InputError]:
    """List the files that the inputs name, each once, in the order given (sorted by name within a folder).

    Parameters
    ----------
    inputs : iterable of str
        Files, folders, and patterns with ``*``, ``?``, ``[...]`` and ``**``.
    recursive : bool
        Look into the subfolders of folders too.
    """
    found: list[SourceFile | InputError] = []
    seen: set[str] = set()
    for name in inputs:
        for item in _expand(name, recursive):
            key = item.path if isinstance(item, SourceFile) else str(item)
            if key not in seen:
                seen.add(key)
                found.append(item)
    return found


def _expand(name: str, recursive: bool) -> list[SourceFile | InputError]:
    if is_live_name(name):  # before patterns: an address may hold a "?"
        return [SourceFile(name, shown_name(name))]
    if os.path.isdir(name):  # noqa: PTH112 - Path would change how the name is shown
        return _folder(name, recursive)
    if not os.path.lexists(name) and glob.has_magic(name):
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - likewise
        files: list[SourceFile | InputError] = [
            SourceFile(match, Path(match).name)
            for match in matches
            if os.path.isfile(match)  # noqa: PTH113
        ]
        return files or [InputError(name, "the pattern matches no file")]
    return [SourceFile(name, Path(name).name)]


def _folder(name: str, recursive: bool) -> list[SourceFile | InputError]:
    problems: list[SourceFile | InputError] = []

    def blocked(error: OSError) -> None:
        problems.append(InputError(str(error.filename), "no permission to look into this folder"))

    files: list[SourceFile | InputError] = []
    for folder, subfolders, names in os.walk(name, onerror=blocked):
        subfolders[:] = sorted(s for s in subfolders if not s.startswith("."))
        paths = [os.path.join(folder, image) for image in _images(names)]  # noqa: PTH118
        files += [SourceFile(path, Path(path).relative_to(name).as_posix()) for path in paths]
        if not recursive:
            break
    if files or problems:
        return files + problems
    below = not recursive and _any_below(name)
    hint = "; its subfolders hold some (add --recursive)" if below else ""
    if not hint and count_videos(name, recursive):
        hint = "; it holds videos, which are read when they are named (add /*.mp4 to the folder)"
    return [InputError(name, f"no photos in this folder{hint}")]


def count_videos(folder: str, recursive: bool = False) -> int:
    """How many videos, told by their suffix, lie in a folder: `expand_inputs` leaves them out."""
    walk = itertools.islice(os.walk(folder), None if recursive else 1)
    return sum(Path(name).suffix.lower() in VIDEO_SUFFIXES for _, _, names in walk for name in names)


def _images(names: Iterable[str]) -> list[str]:
    return [n for n in sorted(names) if Path(n).suffix.lower() in IMAGE_SUFFIXES and not n.startswith(".")]


def _any_below(name: str, most_folders: int = 1000) -> bool:
    walk = itertools.islice(os.walk(name), most_folders)
    return any(_images(names) for _, _, names in walk)
