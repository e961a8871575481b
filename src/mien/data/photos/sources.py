"""Layouts of photos with boxed faces: how to know them, and how to read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.layouts.base import attempt, is_archive, read_listing
from mien.data.layouts.boxed import Box, BoxedPhoto, is_face
from mien.data.layouts.coco import coco_files, coco_photos
from mien.data.layouts.names import split_name, split_of_file
from mien.data.layouts.places import beside
from mien.data.layouts.voc import is_voc, voc_photos
from mien.data.layouts.yolo import yolo_folders, yolo_photos
from mien.data.parquet_file import ParquetFile, load_pyarrow
from mien.data.photos.dataset import (
    FROM_LABEL,
    Photo,
    PhotoDataset,
    boxes_array,
    labelled_photo,
    landmarks_array,
)
from mien.data.pixels import decode_gray
from mien.errors import InputError
from mien.source.image import read_file

__all__ = ["LAYOUTS", "find_layout"]

# In WIDER FACE's list: x, y, width, height, blur, expression, illumination, invalid, occlusion, pose.
_WIDER_INVALID = 7
_BATCH_ROWS = 64
Reader = Callable[[Path], "Iterator[Photo | InputError]"]


def find_layout(path: Path, name: str | None = None) -> str:
    """The name of the layout of a file or folder.

    Raises
    ------
    InputError
        If there is nothing, or no layout is recognised.
    """
    if not path.exists():
        raise InputError(str(path), "no such file or folder")
    if name is not None:
        return name
    if path.is_dir():
        if yolo_folders(path):
            return "yolo"
        if coco_files(path):
            return "coco"
        if is_voc(path):
            return "voc"
    elif path.suffix.lower() == ".parquet":
        return "parquet"
    elif path.suffix.lower() == ".json":
        return "coco"
    elif path.suffix.lower() == ".txt":
        return "wider"
    if is_archive(path):
        raise InputError(str(path), "is an archive; unpack it, and give what was in it")
    raise InputError(
        str(path),
        "its layout is not recognised; expected a .parquet file with images and boxes, a .txt list as WIDER FACE has "
        "it, a .json file as COCO has it (or a folder of some), a folder with a .txt file for each photo as YOLO has "
        "it (in labels/ or beside the photos), or one with an .xml file for each as Pascal VOC and LabelImg have it",
    )


def read_parquet(path: Path) -> Iterator[Photo | InputError]:
    """Rows of photos: mien's own form, or columns ``image``, ``boxes``, ``landmarks``, ``ignore`` and their like."""
    if PhotoDataset.is_one(path):
        yield from PhotoDataset(path).photos()
        return
    pa = load_pyarrow()
    try:
        file = ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(path), f"cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    names = file.schema.names
    missing = [name for name in ("image", "boxes") if name not in names]
    if missing:
        faces = "; faces with a label are read by 'mien data import'" if "label" in names else ""
        raise InputError(
            str(path),
            f"its columns are {', '.join(names)}, without {' and '.join(missing)}; expected 'image' and 'boxes'{faces}",
        )
    start = 0
    for batch in file.batches(_BATCH_ROWS):
        for offset, row in enumerate(batch.to_pylist()):
            yield attempt(_from_columns, row, f"{path.name} row {start + offset}")
        start += len(batch)


def _from_columns(row: dict[str, Any], where: str) -> Photo:
    image = row["image"]["bytes"] if isinstance(row["image"], dict) else row["image"]
    if not image:
        raise InputError(where, "no image bytes")
    try:
        box_xyxy = boxes_array(row["boxes"])
        count = len(box_xyxy)
        ignore_xyxy = boxes_array(row.get("ignore") or [])
        return Photo(
            image=image,
            name=str(row.get("id") or where),
            source=str(row.get("source") or ""),
            split=split_name(str(row.get("split") or "train")),
            box_xyxy=box_xyxy,
            landmarks_xy=landmarks_array(row.get("landmarks") or [None] * count),
            box_from=tuple(row.get("box_from") or [FROM_LABEL] * count),
            landmarks_from=tuple(
                row.get("landmarks_from")
                or [FROM_LABEL if face else "" for face in row.get("landmarks") or [[]] * count]
            ),
            ignore_xyxy=ignore_xyxy,
            ignore_score=np.asarray(row.get("ignore_scores") or [0.0] * len(ignore_xyxy), np.float32),
            ignore_landmarks_xy=landmarks_array(row.get("ignore_landmarks") or [None] * len(ignore_xyxy)),
        )
    except (TypeError, ValueError) as error:
        raise InputError(where, f"its boxes or landmarks have another form than expected ({error})") from error


def read_wider(path: Path) -> Iterator[Photo | InputError]:
    """A list as WIDER FACE has it: a file name, the number of faces, and a line ``x y w h ...`` for each face.

    Faces that the list marks as invalid, and those below 2 px, are places to ignore.
    """
    lines = [line.strip() for line in read_listing(path, "a list of photos and faces")]
    split = split_of_file(path)
    index = 0
    while index < len(lines):
        name = lines[index].replace("\\", "/")
        index += 1
        if not name:
            continue
        where = f"{path.name} line {index}"
        try:
            count = int(lines[index])
            # A photo without a face has one line of zeros.
            rows = [[float(value) for value in line.split()] for line in lines[index + 1 : index + 1 + max(count, 1)]]
            faces = np.asarray([row[:4] for row in rows], np.float32).reshape(-1, 4)
        except (IndexError, ValueError) as error:
            raise InputError(where, f"expected '{name}' to be followed by its faces, 'x y w h' a line") from error
        if len(rows) < count:
            raise InputError(where, f"'{name}' is followed by {len(rows)} of its {count} faces")
        index += 1 + max(count, 1)
        invalid = np.asarray([len(row) > _WIDER_INVALID and row[_WIDER_INVALID] != 0 for row in rows], bool)
        kept, left_out = faces[:count][~invalid[:count]], faces[:count][invalid[:count]]
        yield attempt(_beside, path, name, split, Path(name).parent.name, _corners(kept), _corners(left_out))


def read_coco(path: Path) -> Iterator[Photo | InputError]:
    """A JSON file as COCO has it, or a folder with some.

    Every annotation is a face (``iscrowd`` ones are places to ignore), unless one of several categories is called
    "face": then only those are.
    """
    files = coco_files(path) if path.is_dir() else [path]
    if not files:
        raise InputError(str(path), "has no .json file as COCO has it; expected one here or in annotations/")
    for file in files:
        yield from _labelled(coco_photos(file, file.parent), file.stem)


def read_yolo(path: Path) -> Iterator[Photo | InputError]:
    """A text file a photo, in ``labels/`` or beside it: ``class x y w h`` in shares of the photo a line.

    Every class is a face, unless one of several is called "face": then only that is. A photo without a text file has
    none.
    """
    some = False
    for photo in _labelled(yolo_photos(path), path.name):
        some = True
        yield photo
    if not some:
        raise InputError(str(path), "has no photos; expected them in images/, and their boxes in labels/")


def read_voc(path: Path) -> Iterator[Photo | InputError]:
    """A folder with an XML file for each photo, beside it or in ``Annotations/``.

    Every object is a face (difficult ones are places to ignore), unless one is called "face": then only those are.
    A photo is of the split whose list in ``ImageSets/Main`` names it, or whose name a folder around its file has.
    """
    yield from _labelled(voc_photos(path), path.name)


def _labelled(found: Iterable[BoxedPhoto | InputError], source: str) -> Iterator[Photo | InputError]:
    """Photos with the boxes of all classes, or with those of faces alone where a class is called so."""
    photos = list(found)
    boxes = (box for photo in photos if isinstance(photo, BoxedPhoto) for box in photo.boxes)
    only_faces = any(is_face(box.label) for box in boxes if isinstance(box, Box))
    for photo in photos:
        yield attempt(_photo, photo, only_faces, source) if isinstance(photo, BoxedPhoto) else photo


def _photo(found: BoxedPhoto, only_faces: bool, source: str) -> Photo:
    boxes = []
    for box in found.boxes:
        if isinstance(box, InputError):
            raise box  # without this face the photo would teach that none is there
        if is_face(box.label) or not only_faces:
            boxes.append(box)
    data = found.load()
    scale = np.ones(4, np.float32)
    if found.in_shares:
        # Decoded, since the shares are of the upright photo.
        height, width = decode_gray(data, found.name).shape
        scale[:] = (width, height, width, height)
    kept, left_out = (boxes_array(box.xyxy for box in boxes if box.doubtful == own) * scale for own in (False, True))
    return labelled_photo(data, found.name, found.split, source, kept, left_out)


LAYOUTS: dict[str, Reader] = {
    "parquet": read_parquet, "wider": read_wider, "coco": read_coco, "yolo": read_yolo, "voc": read_voc,
}  # fmt: skip
"""The readers by the name of their layout."""


def _corners(box_xywh: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Left, top, width and height (N, 4) as left, top, right and bottom."""
    return np.concatenate((box_xywh[:, :2], box_xywh[:, :2] + box_xywh[:, 2:]), axis=1)


def _beside(listing: Path, name: str, split: str, source: str, box_xyxy: Any, ignore_xyxy: Any) -> Photo:
    return labelled_photo(read_file(str(beside(listing, name))), name, split, source, box_xyxy, ignore_xyxy)
