"""From what a person types (files, folders, patterns) to the list of files to read."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mien.errors import InputError
from mien.source.name import (
    A_PIPE,
    HIDDEN,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    is_live_name,
    is_pipe,
    shown_name,
    without_live_photo_clips,
)

__all__ = ["OutputFolder", "SourceFile", "count_videos", "expand_inputs"]

_MOST_FOLDERS = 1000
"""Where images are looked for only to say that --recursive would find them."""


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


@dataclass(frozen=True)
class OutputFolder:
    """A folder that is written to: it is skipped where a folder around it is searched.

    What is named itself, or the folder itself, is read all the same.

    Attributes
    ----------
    path : str
        It need not exist yet.
    left_out : list of str
        Photos and matches of a pattern that were left out so far.
    """

    path: str
    left_out: list[str] = field(default_factory=list)

    def is_below(self, root: str) -> bool:
        """Whether the folder lies below another, and is not that folder itself."""
        return _lies_in(self.path, root) and not _lies_in(root, self.path)

    def holds(self, name: str) -> bool:
        """Whether a file or folder is this folder, or lies in it."""
        return _lies_in(name, self.path)


def _lies_in(name: str, folder: str) -> bool:
    inner, outer = Path(name).resolve(), Path(folder).resolve()
    return inner == outer or outer in inner.parents


def expand_inputs(
    inputs: Iterable[str], recursive: bool = False, output: OutputFolder | None = None
) -> list[SourceFile | InputError]:
    """List the files that the inputs name, each once, in the order given (sorted by name within a folder).

    Parameters
    ----------
    inputs : iterable of str
        Files, folders, and patterns with ``*``, ``?``, ``[...]`` and ``**``.
    recursive : bool
        Look into the subfolders of folders too.
    output : OutputFolder, optional
        Left out of what folders and patterns hold; what that cost is noted in it.

    Warns
    -----
    MienWarning
        If a pattern matches Live Photos: their clips are left out.
    """
    found: list[SourceFile | InputError] = []
    seen: set[str] = set()
    for name in inputs:
        for item in _expand(name, recursive, output):
            key = item.path if isinstance(item, SourceFile) else str(item)
            if key not in seen:
                seen.add(key)
                found.append(item)
    return found


def _expand(name: str, recursive: bool, output: OutputFolder | None) -> list[SourceFile | InputError]:
    if is_live_name(name):  # before patterns: an address may hold a "?"
        return [SourceFile(name, shown_name(name))]
    if os.path.isdir(name):  # noqa: PTH112 - Path would change how the name is shown
        return _folder(name, recursive, output)
    if not os.path.lexists(name) and glob.has_magic(name):
        found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - likewise
        matches = [match for match in found if os.path.isfile(match)]  # noqa: PTH113
        if output is not None and output.is_below(_fixed_part(name)):
            output.left_out.extend(match for match in matches if output.holds(match))
            matches = [match for match in matches if not output.holds(match)]
        matches = list(without_live_photo_clips(matches, str, name, _opened))
        files: list[SourceFile | InputError] = [SourceFile(match, Path(match).name) for match in matches]
        return files or [InputError(name, "the pattern matches no file")]
    return [SourceFile(name, Path(name).name)]


def _opened(path: str) -> BinaryIO:
    return Path(path).open("rb")


def _fixed_part(pattern: str) -> str:
    """The folder that a pattern starts from."""
    parts = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    return str(Path(*parts))


def _folder(name: str, recursive: bool, output: OutputFolder | None) -> list[SourceFile | InputError]:
    if output is not None and not output.is_below(name):
        output = None
    problems: list[SourceFile | InputError] = []

    def blocked(error: OSError) -> None:
        problems.append(InputError(str(error.filename), "no permission to look into this folder"))

    files: list[SourceFile | InputError] = []
    for folder, names in _walk(name, recursive, blocked):
        paths = [os.path.join(folder, image) for image in _images(names)]  # noqa: PTH118
        if output is not None and folder != name and output.holds(folder):
            output.left_out.extend(paths)
        else:
            files += [_found(path, name) for path in paths]
    if files or problems:
        return files + problems
    below = not recursive and _any_below(name, output)
    hint = "; its subfolders hold some (add --recursive)" if below else ""
    if not hint and count_videos(name, recursive, output):
        hint = "; it holds videos, which are read when they are named (add /*.mp4 to the folder)"
    return [InputError(name, f"no photos in this folder{hint}")]


def _found(path: str, folder: str) -> SourceFile | InputError:
    # One that is named itself is read: somebody writes to it.
    return InputError(path, A_PIPE) if is_pipe(path) else SourceFile(path, Path(path).relative_to(folder).as_posix())


def count_videos(folder: str, recursive: bool = False, output: OutputFolder | None = None) -> int:
    """How many videos, told by their suffix, lie in a folder: `expand_inputs` leaves them out."""
    return sum(
        Path(name).suffix.lower() in VIDEO_SUFFIXES
        for path, names in _walk(folder, recursive)
        if path == folder or output is None or not output.holds(path)
        for name in names
    )


def _walk(
    name: str, recursive: bool, blocked: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """A folder, and those below it if wanted, each with the names of its files; sorted, without what is hidden."""
    for folder, subfolders, names in os.walk(name, onerror=blocked):
        subfolders[:] = sorted(s for s in subfolders if recursive and not s.startswith(HIDDEN))
        yield folder, sorted(n for n in names if not n.startswith(HIDDEN))


def _images(names: Iterable[str]) -> list[str]:
    return [n for n in names if Path(n).suffix.lower() in IMAGE_SUFFIXES]


def _any_below(name: str, output: OutputFolder | None) -> bool:
    walk = itertools.islice(_walk(name, recursive=True), _MOST_FOLDERS)
    return any(_images(names) for path, names in walk if output is None or not output.holds(path))
