"""Where the pixels of a split are while a network trains on it: all on the device, or streamed from disk.

Small sets are brought to the model's input size once and kept on the device as one uint8 tensor; a batch is then a
look-up. Sets that are larger than a limit are decoded by worker processes as they are needed. For the same rows both
give the same batches, by `mien.classify.preprocess.whole_batch`; but rows are drawn in another order where those that
are stored together are only cheap to read together (`mien.train.expression.order`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from mien.classify.preprocess import whole_batch
from mien.data.faces import Faces
from mien.parallel import usable_cores
from mien.train.prefetch import Prefetcher
from mien.zoo.card import InputSpec

__all__ = ["ImageBatches", "ResidentImages", "StreamedImages", "open_images"]

IntArray = npt.NDArray[np.int64]
_CHUNK = 512


class ImageBatches(Protocol):
    """Where batches of images come from."""

    def batches(self, order: IntArray) -> Iterator[torch.Tensor]:
        """Batches as an order says.

        Parameters
        ----------
        order : int64 array of shape (steps, batch size)
            Rows.

        Yields
        ------
        uint8 tensor of shape (batch size, C, H, W)
            On the device.
        """
        ...


def open_images(
    faces: Faces,
    spec: InputSpec,
    device: torch.device,
    *,
    limit_gb: float,
    workers: int = 0,
) -> ImageBatches:
    """Keep the pixels of a split on the device where they fit into `limit_gb` gigabytes, else stream them.

    Raises
    ------
    InputError
        If an image is damaged; it is named.
    """
    if math.prod(_shape(faces, spec)) <= limit_gb * 1e9:
        return ResidentImages.read(faces, spec, device)
    return StreamedImages(faces, spec, device, workers)


class ResidentImages:
    """All images of a split as one tensor on the device.

    Parameters
    ----------
    images : uint8 tensor of shape (N, C, H, W)
        Already on the device.
    """

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    @classmethod
    def read(cls, faces: Faces, spec: InputSpec, device: torch.device) -> ResidentImages:
        """Decode a split with all cores.

        Raises
        ------
        InputError
            If an image is damaged; it is named.
        """
        pixels = np.empty(_shape(faces, spec), np.uint8)

        def decode(start: int) -> None:
            rows = np.arange(start, min(start + _CHUNK, len(faces)))
            pixels[rows] = _pixels(faces, spec, rows)

        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(decode, range(0, len(faces), _CHUNK)))  # raises what one of them did
        return cls(torch.from_numpy(pixels).to(device))

    def batches(self, order: IntArray) -> Iterator[torch.Tensor]:
        """See `ImageBatches`. The order is sent to the device once, so that no step waits for it."""
        rows = torch.from_numpy(np.ascontiguousarray(order)).to(self.images.device)
        for row in rows:
            yield self.images.index_select(0, row)


class StreamedImages:
    """Images that worker processes decode while the network trains.

    Parameters
    ----------
    faces : Faces
    spec : InputSpec
    device : torch.device
    workers : int
        Processes; 0 decodes in this one.
    """

    def __init__(self, faces: Faces, spec: InputSpec, device: torch.device, workers: int = 0) -> None:
        self._device = device
        self._prefetcher = Prefetcher(functools.partial(_batch, faces, spec), workers, pinned=device.type == "cuda")

    def batches(self, order: IntArray) -> Iterator[torch.Tensor]:
        """See `ImageBatches`."""
        for images in self._prefetcher.items(order):
            yield images.to(self._device, non_blocking=True)


def _shape(faces: Faces, spec: InputSpec) -> tuple[int, int, int, int]:
    """That of all pixels of a split: (N, C, H, W)."""
    if spec.size_wh is None:  # the card of an expression model refuses this
        raise ValueError("an expression model has an input size")
    width, height = spec.size_wh
    return len(faces), 1 if spec.channels == "gray" else 3, height, width


def _pixels(faces: Faces, spec: InputSpec, rows: IntArray) -> npt.NDArray[np.uint8]:
    return np.asarray(whole_batch(faces.images(rows, color=spec.channels == "rgb"), spec), np.uint8)


def _batch(faces: Faces, spec: InputSpec, rows: IntArray) -> torch.Tensor:
    """In a worker process, to which `faces` travel without their open files."""
    return torch.from_numpy(_pixels(faces, spec, rows))
