"""Layouts of photos with boxed faces: how to know them, and how to read them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.info import load_pyarrow
from mien.data.layouts.base import read_listing, split_name
from mien.data.photos.form import FROM_LABEL, Photo, PhotoDataset, boxes_array, landmarks_array
from mien.data.pixels import decode_gray
from mien.errors import InputError
from mien.source.image import read_file

__all__ = ["LAYOUTS", "find_layout"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# In WIDER FACE's list: x, y, width, height, blur, expression, illumination, invalid, occlusion, pose.
_WIDER_INVALID = 7
Reader = Callable[[Path], Iterator[Photo]]


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
        if any((path / folder).is_dir() for folder in ("labels", "images")):
            return "yolo"
    elif path.suffix.lower() == ".parquet":
        return "parquet"
    elif path.suffix.lower() == ".json":
        return "coco"
    elif path.suffix.lower() == ".txt":
        return "wider"
    raise InputError(
        str(path),
        "its layout is not recognised; expected a .parquet file with images and boxes, a .txt list as WIDER FACE has "
        "it, a .json file as COCO has it, or a folder with images/ and labels/ as YOLO has it",
    )


def read_parquet(path: Path) -> Iterator[Photo]:
    """Rows of photos: mien's own form, or columns ``image``, ``boxes``, ``landmarks``, ``ignore`` and their like."""
    if PhotoDataset.is_one(path):
        yield from PhotoDataset(path).photos()
        return
    pa = load_pyarrow()
    try:
        file = pa.parquet.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(path), f"cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    names = file.schema_arrow.names
    missing = [name for name in ("image", "boxes") if name not in names]
    if missing:
        raise InputError(str(path), f"lacks the columns {missing}; expected 'image' and 'boxes', it has {names}")
    start = 0
    for batch in file.iter_batches(256):
        for offset, row in enumerate(batch.to_pylist()):
            yield _from_columns(row, f"{path.name} row {start + offset}")
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


def read_wider(path: Path) -> Iterator[Photo]:
    """A list as WIDER FACE has it: a file name, the number of faces, and a line ``x y w h ...`` for each face.

    Faces that the list marks as invalid, and those below 2 px, are places to ignore.
    """
    lines = [line.strip() for line in read_listing(path, "a list of photos and faces")]
    split = next((split_name(word) for word in path.stem.split("_") if split_name(word) != word), "train")
    index = 0
    while index < len(lines):
        name = lines[index]
        index += 1
        if not name:
            continue
        where = f"{path.name} line {index}"
        try:
            count = int(lines[index])
            rows = [[float(value) for value in line.split()] for line in lines[index + 1 : index + 1 + max(count, 1)]]
            faces = np.asarray([row[:4] for row in rows], np.float32).reshape(-1, 4)
        except (IndexError, ValueError) as error:
            raise InputError(where, f"expected '{name}' to be followed by its faces, 'x y w h' a line") from error
        index += 1 + max(count, 1)
        faces = np.concatenate((faces[:, :2], faces[:, :2] + faces[:, 2:]), axis=1)[: len(rows) if count else 0]
        invalid = np.asarray([len(row) > _WIDER_INVALID and row[_WIDER_INVALID] != 0 for row in rows], bool)
        tiny = (faces[:, 2:] - faces[:, :2]).min(axis=1, initial=np.inf) < 2
        left_out = invalid[: len(faces)] | tiny
        yield _labelled(_beside(path, name), name, split, Path(name).parent.name, faces[~left_out], faces[left_out])


def read_coco(path: Path) -> Iterator[Photo]:
    """A JSON file as COCO has it: every annotation is a face (``iscrowd`` ones are places to ignore)."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        faces: dict[Any, list[list[float]]] = defaultdict(list)
        crowds: dict[Any, list[list[float]]] = defaultdict(list)
        for annotation in values["annotations"]:
            left, top, width, height = (float(value) for value in annotation["bbox"])
            kind = crowds if annotation.get("iscrowd") else faces
            kind[annotation["image_id"]].append([left, top, left + width, top + height])
        images = [(image["id"], str(image["file_name"])) for image in values["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            str(path), f"cannot be read as COCO's JSON with 'images' and 'annotations' ({error})"
        ) from error
    split = next((split_name(word) for word in path.stem.split("_") if split_name(word) != word), "train")
    for number, name in images:
        file = _beside(path, name)
        yield _labelled(file, name, split, path.stem, boxes_array(faces[number]), boxes_array(crowds[number]))


def read_yolo(path: Path) -> Iterator[Photo]:
    """A folder with ``images/`` and ``labels/``: a text file a photo, ``class x y w h`` in shares of the photo a line.

    Every class is taken for a face.
    """
    root = path / "images" if (path / "images").is_dir() else path
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() in _SUFFIXES)
    if not files:
        raise InputError(str(path), "has no photos in images/")
    for file in files:
        inner = file.relative_to(root)
        listing = (path / "labels" / inner).with_suffix(".txt")
        # Decoded, since the shares are of the upright photo.
        height, width = decode_gray(read_file(str(file)), inner.as_posix()).shape
        boxes = []
        for number, line in enumerate(read_listing(listing, "a label file") if listing.is_file() else [], 1):
            try:
                x, y, w, h = (float(value) for value in line.split()[1:5])
            except ValueError as error:
                raise InputError(f"{listing.name} line {number}", "expected 'class x y w h'") from error
            boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        scale = np.asarray([width, height] * 2, np.float32)
        split = split_name(inner.parts[0]) if len(inner.parts) > 1 else "train"
        yield _labelled(file, inner.as_posix(), split, path.name, boxes_array(boxes) * scale, boxes_array([]))


LAYOUTS: dict[str, Reader] = {
    "parquet": read_parquet, "wider": read_wider, "coco": read_coco, "yolo": read_yolo,
}  # fmt: skip
"""The readers by the name of their layout."""


def _labelled(file: Path, name: str, split: str, source: str, box_xyxy: Any, ignore_xyxy: Any) -> Photo:
    count = len(box_xyxy)
    return Photo(
        image=read_file(str(file)),
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


def _beside(listing: Path, name: str) -> Path:
    """A photo that a list names: beside the list, or in a folder ``images`` there or one level up."""
    places = (listing.parent, listing.parent / "images", listing.parent.parent / "images", listing.parent.parent)
    for folder in places:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{listing.name}: {name}", f"no such photo in {', '.join(str(place) for place in places)}")
