"""The form in which photos with boxed faces are kept: one Parquet row a photo."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.info import PHOTOS_KEY
from mien.data.parquet_file import load_pyarrow, open_dataset, parquet_writer
from mien.errors import InputError
from mien.files import check_destination, json_text, parse_json, replaced_file, utf8_text
from mien.progress import Progress

__all__ = [
    "FROM_LABEL",
    "FROM_TEACHER",
    "Photo",
    "PhotoDataset",
    "boxes_array",
    "labelled_photo",
    "landmarks_array",
    "write_photos",
]

FORMAT_VERSION = 1
FROM_LABEL, FROM_TEACHER = "label", "teacher"
"""Who drew a box or set landmarks: a person, or another detector."""

FloatArray = npt.NDArray[np.float32]
_GROUP_ROWS = 256
_GROUP_BYTES = 64 << 20
_LEAST_SIDE_PX = 2.0


def _no_boxes() -> FloatArray:
    return np.zeros((0, 4), np.float32)


def _no_landmarks() -> FloatArray:
    return np.zeros((0, 5, 2), np.float32)


@dataclass(frozen=True)
class Photo:
    """One photo and the faces in it. Places are in pixels of the stored image.

    Attributes
    ----------
    image : bytes
        An image file.
    name : str
        What to call it.
    source : str
        The collection that it comes from.
    split : str
        ``"train"``, or an evaluation split.
    box_xyxy : float32 array of shape (N, 4)
        Left, top, right, bottom of each face; may reach past the image.
    landmarks_xy : float32 array of shape (N, 5, 2)
        In the order of `mien.detect.Detections`; NaN where unknown.
    box_from, landmarks_from : tuple of str, N each
        ``"label"`` (a person), ``"teacher"`` (another detector), or empty where there are no landmarks.
    ignore_xyxy : float32 array of shape (M, 4)
        Places that are neither face nor background: faces too small or hidden to be labelled, or doubtful.
    ignore_score : float32 array of shape (M,)
        How sure a teacher is that a face is there; 0 where nobody said.
    ignore_landmarks_xy : float32 array of shape (M, 5, 2)
        The teacher's landmarks there; NaN where unknown.
    """

    image: bytes
    name: str
    source: str = ""
    split: str = "train"
    box_xyxy: FloatArray = field(default_factory=_no_boxes)
    landmarks_xy: FloatArray = field(default_factory=_no_landmarks)
    box_from: tuple[str, ...] = ()
    landmarks_from: tuple[str, ...] = ()
    ignore_xyxy: FloatArray = field(default_factory=_no_boxes)
    ignore_score: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    ignore_landmarks_xy: FloatArray = field(default_factory=_no_landmarks)

    def __post_init__(self) -> None:
        faces, ignored = len(self.box_xyxy), len(self.ignore_xyxy)
        shapes = {
            "box_xyxy": (faces, 4), "landmarks_xy": (faces, 5, 2), "ignore_xyxy": (ignored, 4),
            "ignore_score": (ignored,), "ignore_landmarks_xy": (ignored, 5, 2),
        }  # fmt: skip
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"Photo.{name} has shape {getattr(self, name).shape}; expected {shape}")
        if len(self.box_from) != faces or len(self.landmarks_from) != faces:
            raise ValueError(f"Photo {self.name}: box_from and landmarks_from name {faces} faces each")


class PhotoDataset:
    """Photos on disk. Opening reads no image.

    Columns: ``image`` (bytes and name of an image file), ``name``, ``source``, ``split``, and lists with one element a
    face or place: ``boxes_xyxy`` (four numbers), ``landmarks_xy`` (ten numbers, or none), ``box_from``,
    ``landmarks_from``, ``ignore_xyxy``, ``ignore_score``, ``ignore_landmarks_xy``; see `Photo`.

    Parameters
    ----------
    path : path
        A file that `mien data photos` (`import_photos`) wrote.

    Raises
    ------
    InputError
        If the file cannot be read, or is not of this form.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = open_dataset(self.path, "mien data photos", "a dataset of photos with boxed faces")
        if PHOTOS_KEY not in (self._file.metadata.metadata or {}):
            raise InputError(
                str(path), "is not a dataset of photos with face boxes; 'mien data photos SOURCE DEST' makes one of it"
            )
        try:
            self.info: dict[str, Any] = parse_json(self._file.metadata.metadata[PHOTOS_KEY])
        except ValueError as error:
            raise InputError(str(path), f"its metadata cannot be read ({error})") from error

    @staticmethod
    def is_one(path: str | os.PathLike[str]) -> bool:
        """Whether this file is of the form; never raises."""
        try:
            PhotoDataset(path)
        except Exception:  # noqa: BLE001 - whatever it is, it is no such dataset
            return False
        return True

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    @functools.cached_property
    def split(self) -> npt.NDArray[np.str_]:
        """Each photo's split, of shape (N,)."""
        return np.array(self._file.read(columns=["split"]).column("split").to_pylist(), np.str_)

    @property
    def splits(self) -> dict[str, int]:
        """The number of photos in each split."""
        names, counts = np.unique(self.split, return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    def photos(self, split: str | None = None) -> Iterator[Photo]:
        """The photos in order, of one `split` or of all; memory stays flat.

        Raises
        ------
        InputError
            If there is no such split.
        """
        if split is not None and split not in self.splits:
            raise InputError(
                str(self.path),
                f"has no split '{split}'; it has "
                + ", ".join(f"{name} ({count})" for name, count in self.splits.items()),
            )
        for group in range(self._file.metadata.num_row_groups):
            # Not of two groups at once: a batch of more than 2 GB cannot be read.
            for batch in self._file.batches(_GROUP_ROWS, [group]):
                for row in batch.to_pylist():
                    if split is None or row["split"] == split:
                        yield _photo(row)


def write_photos(
    path: str | os.PathLike[str],
    photos: Iterable[Photo],
    info: Mapping[str, Any],
    progress: Progress | None = None,
) -> PhotoDataset:
    """Write photos as a dataset, which appears whole or not at all.

    Parameters
    ----------
    path : path
        Ends in ``.parquet``.
    photos : iterable of Photo
        They are written as they come: a generator keeps memory flat.
    info : mapping
        What was done, as plain values; kept in the file.
    progress : callable, optional
        Called with what is done, of how many, and what is under way.
    """
    pa = load_pyarrow()
    boxes = pa.list_(pa.list_(pa.float32()))
    texts = pa.list_(pa.string())
    schema = pa.schema([
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("name", pa.string()), ("source", pa.string()), ("split", pa.string()),
        ("boxes_xyxy", boxes), ("landmarks_xy", boxes), ("box_from", texts), ("landmarks_from", texts),
        ("ignore_xyxy", boxes), ("ignore_score", pa.list_(pa.float32())), ("ignore_landmarks_xy", boxes),
    ])  # fmt: skip
    kept = json_text({"version": FORMAT_VERSION, **info})
    done = 0
    with replaced_file(check_destination(path)) as part, parquet_writer(part, schema) as writer:
        writer.add_key_value_metadata({PHOTOS_KEY.decode(): kept})
        pending: list[dict[str, Any]] = []
        pending_bytes = 0
        for photo in photos:
            pending.append(_row(photo))
            pending_bytes += len(photo.image)
            done += 1
            if len(pending) == _GROUP_ROWS or pending_bytes >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(pending, schema))
                pending, pending_bytes = [], 0
                if progress is not None:
                    progress(done, None, "writing")
        if pending:
            writer.write_table(pa.Table.from_pylist(pending, schema))
        if progress is not None:
            progress(done, None, "writing")
    return PhotoDataset(path)


def _row(photo: Photo) -> dict[str, Any]:
    name = utf8_text(photo.name)
    return {
        "image": {"bytes": photo.image, "path": Path(name).name},
        "name": name,
        "source": utf8_text(photo.source),
        "split": utf8_text(photo.split),
        "boxes_xyxy": photo.box_xyxy.tolist(),
        "landmarks_xy": _landmark_lists(photo.landmarks_xy),
        "box_from": list(photo.box_from),
        "landmarks_from": list(photo.landmarks_from),
        "ignore_xyxy": photo.ignore_xyxy.tolist(),
        "ignore_score": photo.ignore_score.tolist(),
        "ignore_landmarks_xy": _landmark_lists(photo.ignore_landmarks_xy),
    }


def _landmark_lists(landmarks_xy: FloatArray) -> list[list[float]]:
    return [face.reshape(-1).tolist() if np.isfinite(face).all() else [] for face in landmarks_xy]


def _photo(row: dict[str, Any]) -> Photo:
    return Photo(
        image=row["image"]["bytes"],
        name=row["name"],
        source=row["source"],
        split=row["split"],
        box_xyxy=boxes_array(row["boxes_xyxy"]),
        landmarks_xy=landmarks_array(row["landmarks_xy"]),
        box_from=tuple(row["box_from"]),
        landmarks_from=tuple(row["landmarks_from"]),
        ignore_xyxy=boxes_array(row["ignore_xyxy"]),
        ignore_score=np.asarray(row["ignore_score"], np.float32),
        ignore_landmarks_xy=landmarks_array(row["ignore_landmarks_xy"]),
    )


def labelled_photo(image: bytes, name: str, split: str, source: str, box_xyxy: Any, ignore_xyxy: Any) -> Photo:
    """A photo whose boxes a person drew; those below 2 px are places to ignore.

    Raises
    ------
    InputError
        If a box has a number that is not finite.
    """
    if not np.isfinite(box_xyxy).all():
        raise InputError(name, "one of its boxes has a number that is not finite")
    tiny = (box_xyxy[:, 2:] - box_xyxy[:, :2]).min(axis=1, initial=np.inf) < _LEAST_SIDE_PX
    ignore_xyxy = np.concatenate((ignore_xyxy, box_xyxy[tiny]))
    box_xyxy = box_xyxy[~tiny]
    count = len(box_xyxy)
    return Photo(
        image=image,
        name=name,
        source=source,
        split=split,
        box_xyxy=box_xyxy,
        landmarks_xy=landmarks_array([None] * count),
        box_from=(FROM_LABEL,) * count,
        landmarks_from=("",) * count,
        ignore_xyxy=ignore_xyxy,
        ignore_score=np.zeros(len(ignore_xyxy), np.float32),
        ignore_landmarks_xy=landmarks_array([None] * len(ignore_xyxy)),
    )


def boxes_array(boxes: Iterable[Iterable[float]]) -> FloatArray:
    """Lists of four numbers as float32 (N, 4)."""
    return np.asarray([list(box) for box in boxes], np.float32).reshape(-1, 4)


def landmarks_array(landmarks: Iterable[Iterable[float] | None]) -> FloatArray:
    """Lists of ten numbers, empty or None where unknown, as float32 (N, 5, 2) with NaN."""
    faces = [list(face or ()) or [np.nan] * 10 for face in landmarks]
    return np.asarray(faces, np.float32).reshape(-1, 5, 2)
