"""Small labelled datasets of made-up faces, written in the forms that users have."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mien.data import Dataset, DatasetInfo
from mien.data.ferplus import VOTE_LABELS
from mien.data.writer import DatasetWriter, Row
from mien.labels import FER7
from mien.opencv import encode_png


def smooth_faces(count: int, seed: int = 0, side_px: int = 48) -> np.ndarray:
    """Blurred noise: uint8 of shape (count, side_px, side_px)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8)).astype(np.uint8)
    return np.stack([cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_CUBIC) for image in coarse])


def write_dataset(
    path: Path,
    images: np.ndarray,
    *,
    labels: tuple[str, ...] = FER7,
    splits: tuple[str, ...] = ("validation",),
    leaked: bool = False,
    votes: bool = False,
    attributes: dict[str, list[str]] | None = None,
) -> Path:
    """A dataset of mien; row i has class i modulo the classes, and so splits and the values of attributes."""
    wanted = {"leaked": leaked, "votes": votes, "attributes": bool(attributes)}
    info = DatasetInfo(
        labels=labels,
        name="made",
        vote_labels=VOTE_LABELS if votes else (),
        attribute_names=tuple(attributes or ()),
        columns=tuple(name for name, there in wanted.items() if there),
    )
    rng = np.random.default_rng(3)
    with DatasetWriter(path, info) as writer:
        for i, image in enumerate(images):
            row = Row(encode_png(image), i % len(labels), splits[i % len(splits)], "made.csv", i)
            row.attributes = {name: values[i % len(values)] for name, values in (attributes or {}).items()}
            row.leaked = i % 3 == 0 if leaked else None
            row.votes = rng.multinomial(10, [0.1] * 10).tolist() if votes else None
            writer.write(row)
    assert len(Dataset(path)) == len(images)
    return path


def write_class_folders(path: Path, images: np.ndarray, labels: tuple[str, ...] = FER7) -> Path:
    """A folder with a folder of PNG files for each class."""
    for i, image in enumerate(images):
        folder = path / labels[i % len(labels)]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:03d}.png").write_bytes(encode_png(image))
    return path


def write_huggingface(path: Path, images: np.ndarray, labels: tuple[str, ...] = FER7) -> Path:
    """Parquet with an image column, as FER2013 lies in the shared folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    struct = [{"bytes": encode_png(image), "path": f"{i}.png"} for i, image in enumerate(images)]
    table = pa.table({"image": struct, "label": [i % len(labels) for i in range(len(images))]})
    table = table.replace_schema_metadata({"usage": "PublicTest", "label_names": ",".join(labels)})
    pq.write_table(table, path)
    return path
