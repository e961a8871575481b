"""What is stored of labelled faces: read row by row, from a dataset of mien's own or from any layout."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mien.data.dataset import Dataset
from mien.data.layouts import Item
from mien.data.pixels import check_box, cut_face, decode_gray, scaled_box
from mien.opencv import as_gray
from mien.source.image import decode_image

__all__ = ["DatasetRows", "Image", "IntArray", "ItemRows", "Stored", "decode_stored"]

Image = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]


class Stored(NamedTuple):
    """What is stored of a face.

    Attributes
    ----------
    pixels : bytes or uint8 array
        An image file's bytes, or pixels.
    box : sequence of float or None
        Left, top, right and bottom in it; None where all of it is the face.
    where : str
        Its name, for errors.
    in_shares : bool
        Whether the box is in shares of the width and height, else it is in pixels.
    """

    pixels: bytes | Image
    box: Sequence[float] | None
    where: str
    in_shares: bool = False

    def face(self, color: bool) -> Image:
        """What is in the box: gray (H, W), or in colour BGR (H, W, 3) or gray, as it is stored.

        Raises
        ------
        InputError
            If the image is damaged, or nothing of it is in the box.
        """
        image = decode_stored(self.pixels, self.where, color)
        box = self.box
        if box is not None and self.in_shares:
            box = scaled_box(box, image)
        check_box(box, image, self.where)
        return cut_face(image, box)


class DatasetRows:
    """What is stored of some rows of a dataset; a copy in another process opens the file again."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._boxes = dataset.column("box_xyxy")
        self._names = dataset.names()
        self._lock = threading.Lock()

    def __call__(self, index: IntArray) -> list[Stored]:
        """Read rows of the dataset, by their numbers."""
        with self._lock:  # pyarrow does not promise that several threads may read one file
            encoded = self._dataset.encoded(index)
        return [Stored(encoded[row] or b"", self._boxes[row], self._names[row]) for row in index.tolist()]

    def __reduce__(self) -> tuple[type[DatasetRows], tuple[Dataset]]:
        return DatasetRows, (self._dataset,)


class ItemRows:
    """What is stored of some rows of a layout; can be sent to another process."""

    def __init__(self, items: list[Item]) -> None:
        self._items = items

    def __call__(self, index: IntArray) -> list[Stored]:
        """Read items, by their numbers."""
        return [_stored(self._items[row]) for row in index.tolist()]


def _stored(item: Item) -> Stored:
    in_shares = item.box_shares is not None
    return Stored(item.load(), item.box_shares if in_shares else item.box_xyxy, item.where, in_shares)


def decode_stored(pixels: bytes | Image, where: str, color: bool) -> Image:
    """The whole image: gray (H, W), or in colour BGR (H, W, 3) or gray, as it is stored.

    Raises
    ------
    InputError
        If it is damaged; `where` names it.
    """
    if isinstance(pixels, bytes):
        return decode_image(pixels, where).image if color else decode_gray(pixels, where)
    return pixels if color else as_gray(pixels)
