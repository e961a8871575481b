"""Layouts of photos with boxed faces: how to know them, and how to read them."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.info import load_pyarrow, open_parquet
from mien.data.layouts.base import read_listing
from mien.data.layouts.names import split_name, split_of_file
from mien.data.layouts.places import images_below
from mien.data.photos.dataset import (
    FROM_LABEL,
    Photo,
    PhotoDataset,
    boxes_array,
    is_face,
    labelled_photo,
    landmarks_array,
)
from mien.data.photos.voc import is_voc, read_voc
from mien.data.pixels import decode_gray
from mien.errors import InputError
from mien.source.image import read_file

__all__ = ["LAYOUTS", "find_layout"]

# In WIDER FACE's list: x, y, width, height, blur, expression, illumination, invalid, occlusion, pose.
_WIDER_INVALID = 7
# Cells of a line of YOLO: a box, one with a score, one with five landmarks of two or three numbers; else a polygon.
_YOLO_CELLS = (5, 6, 15, 20)
_BATCH_ROWS = 64
_SHARE_SLACK = 0.02
# In each of the folders train, valid and test, beside its photos.
_ROBOFLOW_COCO = "_annotations.coco.json"
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
        if _yolo_folders(path):
            return "yolo"
        if _coco_files(path):
            return "coco"
        if is_voc(path):
            return "voc"
    elif path.suffix.lower() == ".parquet":
        return "parquet"
    elif path.suffix.lower() == ".json":
        return "coco"
    elif path.suffix.lower() == ".txt":
        return "wider"
    raise InputError(
        str(path),
        "its layout is not recognised; expected a .parquet file with images and boxes, a .txt list as WIDER FACE has "
        "it, a .json file as COCO has it (or a folder of such), a folder with images/ and labels/ as YOLO has it, or a "
        "folder with an .xml file for each photo as Pascal VOC and LabelImg have it",
    )


def read_parquet(path: Path) -> Iterator[Photo | InputError]:
    """Rows of photos: mien's own form, or columns ``image``, ``boxes``, ``landmarks``, ``ignore`` and their like."""
    if PhotoDataset.is_one(path):
        yield from PhotoDataset(path).photos()
        return
    pa = load_pyarrow()
    try:
        file = open_parquet(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(path), f"cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    names = file.schema_arrow.names
    missing = [name for name in ("image", "boxes") if name not in names]
    if missing:
        raise InputError(str(path), f"lacks the columns {missing}; expected 'image' and 'boxes', it has {names}")
    start = 0
    for batch in file.iter_batches(_BATCH_ROWS):
        for offset, row in enumerate(batch.to_pylist()):
            yield _made(partial(_from_columns, row, f"{path.name} row {start + offset}"))
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
        yield _made(partial(_beside, path, name, split, Path(name).parent.name, _corners(kept), _corners(left_out)))


def read_coco(path: Path) -> Iterator[Photo | InputError]:
    """A JSON file as COCO has it, or a folder with some.

    Every annotation is a face (``iscrowd`` ones are places to ignore), unless one of several categories is called
    "face": then only those are.
    """
    files = _coco_files(path) if path.is_dir() else [path]
    if not files:
        raise InputError(str(path), "has no .json file as COCO has it; expected one here or in annotations/")
    for file in files:
        yield from _read_coco_file(file)


def _read_coco_file(path: Path) -> Iterator[Photo | InputError]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
        images = [(image["id"], str(image["file_name"]).replace("\\", "/")) for image in values["images"]]
        annotations = list(values["annotations"])
        names = {entry["id"]: is_face(str(entry.get("name"))) for entry in values.get("categories") or []}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            str(path), f"cannot be read as COCO's JSON with 'images' and 'annotations' ({error!r})"
        ) from error
    known = {number for number, _ in images}
    # Roboflow also lists the whole collection as a category, which has no boxes.
    named = any(isinstance(own, dict) and names.get(own.get("category_id")) for own in annotations)
    faces: dict[Any, list[list[float]]] = defaultdict(list)
    crowds: dict[Any, list[list[float]]] = defaultdict(list)
    for number, annotation in enumerate(annotations):
        where = f"{path.name} annotation {number}"
        try:
            left, top, width, height = (float(value) for value in annotation["bbox"])
            image = annotation["image_id"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(where, "expected 'image_id' and 'bbox', the numbers [x, y, width, height]") from error
        if image not in known:
            raise InputError(where, f"is of image_id {image}, which is not among the file's images")
        if named and not names.get(annotation.get("category_id"), True):
            continue
        (crowds if annotation.get("iscrowd") else faces)[image].append([left, top, width, height])
    split = _coco_split(path)
    for number, name in images:
        kept, left_out = _corners(boxes_array(faces[number])), _corners(boxes_array(crowds[number]))
        yield _made(partial(_beside, path, name, split, path.stem, kept, left_out))


def _coco_files(path: Path) -> list[Path]:
    """The JSON files with images and annotations in a folder or its ``annotations``, those for training first."""
    places = ("*.json", "annotations/*.json", f"*/{_ROBOFLOW_COCO}")
    found = [file for place in places for file in path.glob(place) if _is_coco(file)]
    return sorted(found, key=lambda file: (_coco_split(file) != "train", file))


def _coco_split(file: Path) -> str:
    return split_of_file(file.parent if file.name == _ROBOFLOW_COCO else file)


def _is_coco(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(1).strip() == "{" and path.stem.lower() not in ("package", "dataset_infos")
    except (OSError, UnicodeDecodeError):
        return False


def read_yolo(path: Path) -> Iterator[Photo | InputError]:
    """Folders ``images/`` and ``labels/``: a text file a photo, ``class x y w h`` in shares of the photo a line.

    Splits are folders inside the two, or (as Roboflow writes it) folders that hold the two. Every class is a face,
    unless ``data.yaml`` or ``classes.txt`` calls one of several "face": then only that is. A photo without a text file
    has none.
    """
    some = False
    faces = _yolo_faces(path)
    for root, labels, split in _yolo_folders(path):
        for file in sorted(images_below(root)):
            some = True
            inner = file.relative_to(root)
            own = split or (split_name(inner.parts[0]) if len(inner.parts) > 1 else "train")
            listing = (labels / inner).with_suffix(".txt")
            yield _made(partial(_read_yolo_photo, file, listing, faces, inner, own, path.name))
    if not some:
        raise InputError(str(path), "has no photos; expected them in images/, and their boxes in labels/")


def _yolo_folders(path: Path) -> list[tuple[Path, Path, str | None]]:
    """Folders of photos and of their labels, and the split where the folders say it."""
    if (path / "labels").is_dir():
        return [(path / "images" if (path / "images").is_dir() else path, path / "labels", None)]
    nested = [child for child in path.iterdir() if (child / "images").is_dir() and (child / "labels").is_dir()]
    found = [(child / "images", child / "labels", split_name(child.name)) for child in nested]
    return sorted(found, key=lambda item: (item[2] != "train", item[2]))


def _yolo_faces(path: Path) -> frozenset[str] | None:
    """The numbers of the class "face" where the classes have names; None where all are faces."""
    for file in (*sorted(path.glob("*.y*ml")), path / "classes.txt", path / "labels" / "classes.txt"):
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        if file.suffix != ".txt":
            # A list or a mapping on one line or several; PyYAML is not needed for that.
            found = re.search(r"^names:(.*(?:\n(?:[ \t-].*|\s*[\]}].*)?$)*)", text, re.MULTILINE)
            text = re.sub(r"#.*", "", found[1]) if found else ""
        cells = [cell.strip(" \t-'\"") for cell in re.split(r"[\n,\[\]{}]", text)]
        numbered = [re.match(r"(\d+)\s*:\s*(.*)", cell) for cell in cells if cell]
        names = {
            (match[1] if match else str(place)): match[2] if match else cell
            for place, (match, cell) in enumerate(zip(numbered, filter(None, cells), strict=True))
        }
        if faces := frozenset(number for number, name in names.items() if is_face(name)):
            return faces
    return None


def _read_yolo_photo(
    file: Path, listing: Path, faces: frozenset[str] | None, inner: Path, split: str, source: str
) -> Photo:
    data = read_file(str(file))
    boxes = []
    for number, line in enumerate(read_listing(listing, "a label file") if listing.is_file() else [], 1):
        if not line.strip():
            continue
        try:
            x, y, w, h = values = [float(value) for value in line.split()[1:5]]
        except ValueError:
            values = [math.nan]
        inside = all(-_SHARE_SLACK <= value <= 1 + _SHARE_SLACK for value in values)
        if not inside or len(line.split()) not in _YOLO_CELLS:
            raise InputError(
                f"{listing.name} line {number}",
                f"'{line.strip()[:60]}'; expected 'class x y w h', the middle and the size of a box in shares of the "
                "photo from 0 to 1",
            )
        if faces is None or line.split()[0] in faces:
            boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    # Decoded, since the shares are of the upright photo.
    height, width = decode_gray(data, inner.as_posix()).shape
    scale = np.asarray([width, height] * 2, np.float32)
    return labelled_photo(data, inner.as_posix(), split, source, boxes_array(boxes) * scale, boxes_array([]))


LAYOUTS: dict[str, Reader] = {
    "parquet": read_parquet, "wider": read_wider, "coco": read_coco, "yolo": read_yolo, "voc": read_voc,
}  # fmt: skip
"""The readers by the name of their layout."""


def _made(make: Callable[[], Photo]) -> Photo | InputError:
    """What a function makes, or why it cannot."""
    try:
        return make()
    except InputError as error:
        return error


def _corners(box_xywh: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Left, top, width and height (N, 4) as left, top, right and bottom."""
    return np.concatenate((box_xywh[:, :2], box_xywh[:, :2] + box_xywh[:, 2:]), axis=1)


def _beside(listing: Path, name: str, split: str, source: str, box_xyxy: Any, ignore_xyxy: Any) -> Photo:
    """A photo that a list names: beside the list or one level up, there also in ``images`` or a folder named alike."""
    own = listing.stem.removeprefix("instances_")
    # As the archives of WIDER FACE are unpacked: wider_face_split/wider_face_train_bbx_gt.txt, WIDER_train/images/.
    wider = f"WIDER_{own.removeprefix('wider_face_').removesuffix('_bbx_gt')}/images"
    folders = (".", "images", own, wider)
    places = [base / folder for base in (listing.parent, listing.parent.parent) for folder in folders]
    places += [listing.parent.parent / "images" / own]
    for folder in places:
        if (folder / name).is_file():
            return labelled_photo(read_file(str(folder / name)), name, split, source, box_xyxy, ignore_xyxy)
    raise InputError(
        f"{listing.name}: {name}", "no such photo beside the list, in images/ there, or in either place one level up"
    )
