"""The faces of a dataset as recognition sees them: found, upright, and framed by their landmarks."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mien.align import FER2013_FRAMING_XY, align_faces
from mien.data.dataset import Dataset, as_dataset, check_new
from mien.data.options import AlignOptions
from mien.data.pixels import cut_face, decode_gray_or_color, enlarged, fit_square
from mien.data.rewrite import rewrite_table
from mien.data.writer import DatasetWriter
from mien.detect import Detector, open_detector
from mien.detect.suppression import iou_matrix
from mien.errors import InputError
from mien.opencv import encode_png, opencv_threads
from mien.options import given_options
from mien.parallel import ordered_map, usable_cores
from mien.progress import Progress

__all__ = ["AlignSummary", "align_dataset"]

Image = npt.NDArray[np.uint8]
How = Literal["by_own_landmarks", "by_detector", "no_face"]

_ROWS = 256
# So much of a box's longer side is looked at around it. The face in it overlaps the box by this (IoU) at least.
_AROUND, _LEAST_OVERLAP = 0.5, 0.1


@dataclass
class AlignSummary:
    """What aligning did.

    Attributes
    ----------
    rows_before, rows_after : int
        Rows of the dataset that was aligned, and of the new one.
    by_own_landmarks : int
        Faces aligned by five landmarks that the dataset has.
    by_detector : int
        Faces aligned by landmarks that the detector found.
    no_face : int
        Rows in which no face was found: kept as they were, or dropped.
    """

    rows_before: int
    rows_after: int = 0
    by_own_landmarks: int = 0
    by_detector: int = 0
    no_face: int = 0

    def to_dict(self) -> dict[str, int]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


class _Task(NamedTuple):
    encoded: bytes
    box_xyxy: Sequence[float] | None
    landmarks_xy: Sequence[Sequence[float]] | None
    where: str


def align_dataset(
    dataset: Dataset | str | os.PathLike[str],
    dest: str | os.PathLike[str],
    options: AlignOptions | None = None,
    *,
    progress: Progress | None = None,
    **kwargs: Any,
) -> tuple[Dataset, AlignSummary]:
    """Write a dataset with every face cut out upright, its landmarks where the shipped models expect them.

    So a network learns from faces that are framed as `mien.Recognizer` frames those in photos, whatever the dataset
    shows: whole photos, boxes that are drawn tighter or wider, or loose crops. The face is the largest of a picture; in
    a row with a box, the one that overlaps the box most. A row with five landmarks of its own is aligned by those. What
    is in colour stays in colour. All splits are treated alike.

    Parameters
    ----------
    dataset : Dataset, or path
        It is not changed.
    dest : path
        The Parquet file to write; it appears whole or not at all. It has neither boxes nor landmarks: each picture is
        the face.
    options : AlignOptions, optional
        Or its fields as keywords.
    progress : callable, optional
        Called with what is done, of how many, and what is under way.

    Returns
    -------
    Dataset
        The new one, opened.
    AlignSummary
        How many faces were aligned, and by what.

    Raises
    ------
    InputError
        If a picture is damaged, or rows without a face are dropped and there are no others.
    UsageError
        If an option makes no sense, or nothing can be written at `dest`.
    ModelError
        If the detector is unknown or cannot be loaded.
    """
    dataset, options = as_dataset(dataset), given_options(AlignOptions, options, kwargs)
    check_new(dest, dataset)
    detector = open_detector(options.detector, 1)
    threads = options.threads or usable_cores()
    names = dataset.names()
    drops = options.without_face == "drop"
    columns = tuple(name for name in dataset.info.columns if name not in ("box_xyxy", "landmarks_xy"))
    info = dataclasses.replace(dataset.info, columns=columns)

    def work(task: _Task) -> tuple[bytes, How]:
        face, how = _aligned(task, detector, options.face_px)
        return encode_png(face), how

    start = 0
    counts: Counter[str] = Counter()
    # OpenCV's own threads would fight with these over the cores.
    with opencv_threads(1), DatasetWriter(dest, info) as writer:
        for batch in dataset.batches(_ROWS):
            tasks = _tasks(batch, names[start : start + len(batch)])
            done = list(ordered_map(work, tasks, threads))
            kept = [row for row, (_, how) in enumerate(done) if not (drops and how == "no_face")]
            counts.update(how for _, how in done)
            paths = batch.column("image").combine_chunks().field("path").to_pylist()
            images = [{"bytes": done[row][0], "path": _as_png(paths[row])} for row in kept]
            writer.write_table(rewrite_table(batch, np.asarray(kept, np.int64), info, {"image": images}, None))
            start += len(batch)
            if progress is not None:
                progress(start, len(dataset), "aligning faces")
        summary = AlignSummary(start, start - (counts["no_face"] if drops else 0), **counts)
        if not summary.rows_after:
            raise InputError(
                str(dataset.path), "no face was found in any row, and such rows are dropped; nothing was written"
            )
        writer.info = info.after(
            "align",
            source=dataset.path.name,
            face_px=options.face_px,
            detector=options.detector,
            framing_xy=[list(point) for point in FER2013_FRAMING_XY],
            without_face=options.without_face,
            **summary.to_dict(),
        )
    return Dataset(dest), summary


def _tasks(batch: Any, names: Sequence[str]) -> list[_Task]:
    def values(name: str) -> list[Any]:
        return list(batch.column(name).to_pylist()) if name in batch.column_names else [None] * len(batch)

    encoded = [image["bytes"] or b"" for image in values("image")]
    return [_Task(*row) for row in zip(encoded, values("box_xyxy"), values("landmarks_xy"), names, strict=True)]


def _aligned(task: _Task, detector: Detector, face_px: int) -> tuple[Image, How]:
    """The face of a row, of shape (face_px, face_px) or (face_px, face_px, 3), and how it was found."""
    image = decode_gray_or_color(task.encoded, task.where)
    how: How = "by_own_landmarks"
    if task.landmarks_xy is not None and len(task.landmarks_xy) == 5:
        landmarks = np.asarray(task.landmarks_xy, np.float32)
    else:
        how = "by_detector"
        found = _find(image, task.box_xyxy, detector)
        if found is None:
            return fit_square(cut_face(image, task.box_xyxy), face_px), "no_face"
        landmarks = found
    return align_faces(image, landmarks[None], FER2013_FRAMING_XY, (face_px, face_px))[0], how


def _find(image: Image, box_xyxy: Sequence[float] | None, detector: Detector) -> npt.NDArray[np.float32] | None:
    """The five landmarks of a picture's face, float32 of shape (5, 2) in its pixels; None where no face is found."""
    region, left, top = _around(image, box_xyxy)
    larger, factor = enlarged(region)
    found = detector.detect(larger)
    if not len(found):
        return None
    boxes = (found.box_xyxy / factor + [left, top, left, top]).astype(np.float32)
    if box_xyxy is None:
        best = int(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax())
    else:
        overlaps = iou_matrix(boxes, np.asarray([box_xyxy], np.float32))[:, 0]
        best = int(overlaps.argmax())
        if overlaps[best] < _LEAST_OVERLAP:
            return None
    return np.asarray(found.landmarks_xy[best] / factor + [left, top], np.float32)


def _around(image: Image, box_xyxy: Sequence[float] | None) -> tuple[Image, int, int]:
    """A box with what is around it, and where that begins; the whole picture without a box."""
    if box_xyxy is None:
        return image, 0, 0
    left, top, right, bottom = box_xyxy
    margin = _AROUND * max(right - left, bottom - top)
    height, width = image.shape[:2]
    left, top = max(0, int(left - margin)), max(0, int(top - margin))
    region = image[top : min(height, int(bottom + margin) + 1), left : min(width, int(right + margin) + 1)]
    return (np.ascontiguousarray(region), left, top) if region.size else (image, 0, 0)


def _as_png(name: str | None) -> str | None:
    return str(PurePath(name).with_suffix(".png")) if name else name
