"""Where the pixels of a split are while a network trains on it: all on the device, or streamed from disk.

Small sets are brought to the model's input size once and kept on the device as one uint8 tensor; a batch is then a
look-up. Sets that are larger than a limit are decoded by worker processes as they are needed. Both give the same
batches, and both come through `mien.classify.preprocess.whole_batch`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from mien.classify.preprocess import whole_batch
from mien.data.faces import Faces
from mien.errors import InputError
from mien.parallel import usable_cores
from mien.train.stop import deaf_workers, ignore_stops
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
    if spec.size_wh is None:  # the card of an expression model refuses this
        raise ValueError("an expression model has an input size")
    width, height = spec.size_wh
    channels = 1 if spec.channels == "gray" else 3
    if len(faces) * channels * width * height <= limit_gb * 1e9:
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
        starts = range(0, len(faces), _CHUNK)

        def decode(start: int) -> npt.NDArray[np.uint8]:
            index = np.arange(start, min(start + _CHUNK, len(faces)))
            return np.asarray(whole_batch(faces.images(index, color=spec.channels == "rgb"), spec), np.uint8)

        with ThreadPoolExecutor(usable_cores()) as pool:
            parts = [torch.from_numpy(part) for part in pool.map(decode, starts)]
        return cls(torch.cat(parts).to(device))

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
        self._order = _Order()
        options: dict[str, Any] = {}
        if workers:
            # A process that is forked while other threads run may hang; a fresh one cannot. (A server that forks would
            # end at SIGTERM, and its processes with it.)
            options = {"multiprocessing_context": "spawn", "persistent_workers": True, "prefetch_factor": 4}
        self._loader: Any = torch.utils.data.DataLoader(
            _Decoder(faces, spec),
            batch_size=None,
            sampler=self._order,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            worker_init_fn=_begin_work,
            # Otherwise a seed for the workers, which draw nothing, is taken from torch's global generator.
            generator=torch.Generator().manual_seed(0),
            **options,
        )

    def batches(self, order: IntArray) -> Iterator[torch.Tensor]:
        """See `ImageBatches`."""
        self._order.batches = list(order)
        with deaf_workers() if self._loader.num_workers else contextlib.nullcontext():
            loaded = iter(self._loader)
        for images in loaded:
            if isinstance(images, _Damaged):
                raise InputError(images.source, images.problem)
            yield images.to(self._device, non_blocking=True)


class _Order(torch.utils.data.Sampler[IntArray]):
    """What the loader reads next: one element a batch."""

    def __init__(self) -> None:
        self.batches: list[IntArray] = []

    def __iter__(self) -> Iterator[IntArray]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Damaged(NamedTuple):
    """An `InputError` on its way out of a worker process: torch would make a RuntimeError of it."""

    source: str
    problem: str


class _Decoder(torch.utils.data.Dataset[torch.Tensor | _Damaged]):
    """Rows to a batch of pixels; travels to the worker processes without its open files."""

    def __init__(self, faces: Faces, spec: InputSpec) -> None:
        self._faces = faces
        self._spec = spec

    def __getitem__(self, rows: IntArray) -> torch.Tensor | _Damaged:
        try:
            faces = self._faces.images(rows, color=self._spec.channels == "rgb")
        except InputError as error:
            return _Damaged(error.source, error.problem)
        return torch.from_numpy(np.asarray(whole_batch(faces, self._spec), np.uint8))


def _begin_work(worker: int) -> None:
    ignore_stops(worker)
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
