"""FER2013 with FER+ votes, in Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mien.data.ferplus import VOTE_LABELS
from mien.data.parquet_file import ParquetFile, load_pyarrow
from mien.data.pixels import decode_gray
from mien.errors import InputError
from mien.labels import FER7

__all__ = ["Fer2013", "read_fer2013_parquet"]

SIDE_PX = 48


class Fer2013(NamedTuple):
    """One split of FER2013.

    Attributes
    ----------
    images : uint8 array of shape (N, 48, 48)
        Gray faces.
    labels : int64 array of shape (N,)
        Index into `mien.labels.FER7`.
    votes : uint8 array of shape (N, 10)
        How many annotators chose each of `mien.data.ferplus.VOTE_LABELS`.
    row : int32 array of shape (N,)
        Row of the original ``fer2013.csv``, from 0.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    votes: npt.NDArray[np.uint8]
    row: npt.NDArray[np.int32]


def read_fer2013_parquet(path: Path) -> Fer2013:
    """Read a split from a Parquet file with the columns ``row, image, label, ferplus_votes``.

    Parameters
    ----------
    path : Path
        The file; `image` is a struct of encoded bytes and a name, as Hugging Face `datasets` writes it.

    Returns
    -------
    Fer2013
        All rows, in the order of the file.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, or a row holds no 48 x 48 picture, a label outside
        0 to 6, or votes of another number than ten.
    MissingExtraError
        If pyarrow is not installed.
    """
    pyarrow = load_pyarrow()
    try:
        table = ParquetFile(path).read(columns=["row", "image", "label", "ferplus_votes"])
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(str(path), f"cannot read it as a FER2013 Parquet file ({error})") from error
    missing = {"row", "image", "label", "ferplus_votes"} - set(table.column_names)
    if missing:
        raise InputError(str(path), f"lacks the columns {sorted(missing)}; it has {table.column_names}")
    encoded = [image["bytes"] if image else None for image in table.column("image").to_pylist()]
    images = np.stack([_decode(data, i, path) for i, data in enumerate(encoded)]) if encoded else _no_images()
    labels = np.asarray(table.column("label").to_pylist(), np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(FER7):
        raise InputError(str(path), f"labels reach from {labels.min()} to {labels.max()}; expected 0 to 6")
    votes = table.column("ferplus_votes").to_pylist()
    if any(vote is None or len(vote) != len(VOTE_LABELS) for vote in votes):
        raise InputError(str(path), "expected ten numbers a row in ferplus_votes")
    return Fer2013(
        images,
        labels,
        np.asarray(votes, np.uint8).reshape(-1, len(VOTE_LABELS)),
        np.asarray(table.column("row").to_pylist(), np.int32),
    )


def _no_images() -> npt.NDArray[np.uint8]:
    return np.zeros((0, SIDE_PX, SIDE_PX), np.uint8)


def _decode(data: bytes | None, index: int, path: Path) -> npt.NDArray[np.uint8]:
    expected = f"expected {SIDE_PX}x{SIDE_PX}"
    try:
        image = decode_gray(data or b"", str(path))
    except InputError as error:
        raise InputError(str(path), f"record {index} holds no picture ({error.problem}); {expected}") from error
    if image.shape != (SIDE_PX, SIDE_PX):
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise InputError(str(path), f"record {index} holds a picture of {size}; {expected}")
    return image
