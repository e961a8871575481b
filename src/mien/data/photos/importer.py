"""Photos with boxed faces of any layout in, one dataset out, with a split for choosing."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from mien.data.copies import copy_groups, find_copies
from mien.data.info import TRAIN
from mien.data.photos.dataset import Photo, PhotoDataset, write_photos
from mien.data.photos.options import PhotoImportOptions
from mien.data.photos.sources import LAYOUTS, find_layout
from mien.data.pixels import decode_gray
from mien.errors import InputError
from mien.files import refuse_source
from mien.options import given_options
from mien.progress import Progress

__all__ = ["PhotoImportSummary", "choose_photos", "import_photos"]

VALIDATION = "validation"
_THUMB_PX = 48
_MOST_NAMED = 1000


@dataclass
class PhotoImportSummary:
    """What an import did.

    Attributes
    ----------
    layout : str
        The layout that was read.
    photos, faces : dict of str to dict of str to int
        Counts by source and split.
    copies : int
        Photos that are near copies of others.
    damaged : list of InputError
        The first 1,000 damaged photos that were left out.
    damaged_rows : int
        How many were left out in all.
    """

    layout: str
    photos: dict[str, dict[str, int]] = field(default_factory=dict)
    faces: dict[str, dict[str, int]] = field(default_factory=dict)
    copies: int = 0
    damaged: list[InputError] = field(default_factory=list)
    damaged_rows: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "damaged": [{"where": error.source, "problem": error.problem} for error in self.damaged]}


def import_photos(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    options: PhotoImportOptions | None = None,
    *,
    progress: Progress | None = None,
    **kwargs: Any,
) -> tuple[PhotoDataset, PhotoImportSummary]:
    """Read photos with boxed faces in any known layout and write them in the one form.

    The source is read twice, so that memory does not grow with it: first for small pictures in which copies are found,
    then for the photos themselves. Where the source has no evaluation split of its own, a share of every collection
    becomes the split ``validation``; photos that are near copies of each other stay on one side.

    Parameters
    ----------
    source : path
        A file or folder in a layout of `mien.data.photos.sources`: Parquet, WIDER FACE's list, COCO, YOLO or Pascal
        VOC.
    dest : path
        The Parquet file to write; it appears whole or not at all.
    options : PhotoImportOptions, optional
        Or its fields as keywords.
    progress : callable, optional
        Called with what is done, of how many (None where it is not known), and what is under way.

    Raises
    ------
    InputError
        If the source cannot be read, or at the first damaged photo unless `on_error` is ``"skip"``.
    UsageError
        If nothing can be written at `dest`.
    """
    options = given_options(PhotoImportOptions, options, kwargs)
    path = Path(source)
    refuse_source(Path(dest), path, "the source itself")
    layout = find_layout(path, options.layout)
    tell = progress or (lambda *_: None)
    summary = PhotoImportSummary(layout)
    readable, thumbs, sources, splits = _first_pass(path, layout, options, summary, tell)
    if set(splits) == {TRAIN} and options.validation:
        groups = copy_groups(len(thumbs), find_copies(np.asarray(thumbs, np.uint8)))
        summary.copies = len(thumbs) - len(np.unique(groups))
        chosen = choose_photos(sources, groups, options.validation, options.seed)
        splits = [VALIDATION if own else TRAIN for own in chosen]
    facts = {
        "step": "import", "layout": layout, "source": path.name, "validation": options.validation,
        "seed": options.seed, "near_copies": summary.copies,
        "damaged_rows": summary.damaged_rows,
    }  # fmt: skip
    total = len(thumbs)
    again = (photo for photo, kept in zip(LAYOUTS[layout](path), readable, strict=True) if kept)
    photos = (
        dataclasses.replace(photo, split=split)
        for photo, split in zip(again, splits, strict=True)
        if isinstance(photo, Photo)
    )
    dataset = write_photos(dest, photos, facts, lambda done, _, part: tell(done, total, part))
    _count(dataset, summary)
    return dataset, summary


class _FirstPass(NamedTuple):
    """What is known after a source was read once.

    Attributes
    ----------
    readable : list of bool
        For each photo of the source, whether it can be read; the other lists are of those that can.
    thumbs : list of uint8 array of shape (48, 48)
        Small gray pictures.
    sources, splits : list of str
        Each photo's collection and split.
    """

    readable: list[bool]
    thumbs: list[npt.NDArray[Any]]
    sources: list[str]
    splits: list[str]


def _first_pass(
    path: Path,
    layout: str,
    options: PhotoImportOptions,
    summary: PhotoImportSummary,
    tell: Callable[[int, int | None, str], None],
) -> _FirstPass:
    """Decode all photos; those that are damaged are counted in the summary, or raised."""
    seen = _FirstPass([], [], [], [])
    for photo in LAYOUTS[layout](path):
        try:
            if isinstance(photo, InputError):
                raise photo
            gray = decode_gray(photo.image, photo.name)
        except InputError as error:
            if options.on_error == "stop":
                raise
            summary.damaged_rows += 1
            summary.damaged += [error] if len(summary.damaged) < _MOST_NAMED else []
            seen.readable.append(False)
            continue
        seen.readable.append(True)
        seen.thumbs.append(cv2.resize(gray, (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA))
        seen.sources.append(photo.source)
        seen.splits.append(photo.split)
        tell(len(seen.thumbs), None, "looking for copies")
    if not seen.thumbs:
        left_out = f"; damaged: {summary.damaged_rows:,}" if summary.damaged_rows else ""
        raise InputError(str(path), f"has no photos that can be read{left_out}")
    return seen


def _count(dataset: PhotoDataset, summary: PhotoImportSummary) -> None:
    """Count photos and faces by source and split."""
    photos: Counter[tuple[str, str]] = Counter()
    faces: Counter[tuple[str, str]] = Counter()
    for photo in dataset.photos():
        photos[photo.source, photo.split] += 1
        faces[photo.source, photo.split] += len(photo.box_xyxy)
    for source, split in sorted(photos):
        summary.photos.setdefault(source, {})[split] = photos[source, split]
        summary.faces.setdefault(source, {})[split] = faces[source, split]


def choose_photos(sources: list[str], groups: npt.NDArray[np.int64], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose a share of the photos of every source for validation; groups of copies are taken whole, those that fit.

    The share is met as nearly as that goes: 19 near copies among 20 photos stay in training. Where no group fits, the
    smallest is taken, unless it is more than half of the source.

    Parameters
    ----------
    sources : list of str
        Each photo's collection.
    groups : int64 array of shape (N,)
        Photos with the same number stay together.
    share : float
        In (0, 1).
    seed : int
        The same seed gives the same choice.

    Returns
    -------
    bool array of shape (N,)
    """
    _, source = np.unique(np.asarray(sources), return_inverse=True)
    _, group = np.unique(groups, return_inverse=True)
    taken, chosen = np.zeros(len(groups), bool), np.zeros(len(groups), bool)  # by group
    for photos in np.split(np.argsort(source, kind="stable"), np.cumsum(np.bincount(source))[:-1]):
        held, wanted = int(chosen[group[photos]].sum()), round(share * len(photos))
        # A group counts for the first source that has a photo of it.
        own = photos[~taken[group[photos]]]
        unique, size = np.unique(group[own], return_counts=True)
        taken[unique] = True
        order = np.random.default_rng([seed, len(own)]).permutation(len(unique)).tolist()
        for place in order:
            # With a group of more than twice what is missing, the split is further from its share than without it.
            if size[place] <= 2 * (wanted - held) and held + size[place] < len(photos):
                chosen[unique[place]] = True
                held += int(size[place])
        smallest = min(order, key=lambda place: int(size[place]), default=None)
        if held == 0 < wanted and smallest is not None and 2 * size[smallest] <= len(photos):
            chosen[unique[smallest]] = True
    return np.asarray(chosen[group])
