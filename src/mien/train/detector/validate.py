"""What chooses the best epoch: photos that are not learned from, looked at as recognition does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mien.data.photos import PhotoDataset
from mien.data.pixels import decode_gray
from mien.data.split import evenly
from mien.detect import Detections
from mien.detect.base import FloatArray, ImageArray
from mien.detect.mien import MienDetector
from mien.metrics.detection import (
    SIZES_PX,
    Truth,
    average_precision,
    pool,
    recall_at_false_finds,
    share_found,
    truth_of,
)
from mien.train.detector.network import DETECTOR_INPUT
from mien.train.machine import torch_threads
from mien.train.task import Place

__all__ = ["ValidationPhotos", "detector_of"]

MIN_FACE_PX = 20.0
_LOWEST_SCORE = 0.1


def detector_of(
    network: nn.Module,
    device: torch.device,
    *,
    min_face_px: float | None = None,
    score_threshold: float | None = None,
    threads: int | None = None,
) -> MienDetector:
    """A detector around a network in torch, in evaluation mode, with the usual settings; by default torch's threads."""

    def run(values: FloatArray) -> FloatArray:
        # Places in half precision would be off by a third of a pixel.
        with torch_threads(threads), torch.no_grad(), torch.autocast(device.type, enabled=False), _no_search():
            output = network(torch.from_numpy(values).to(device)).float()
            output = torch.cat((output[:, :1].sigmoid(), output[:, 1:]), dim=1)
        result: FloatArray = output.cpu().numpy()
        return result

    return MienDetector.with_network(run, DETECTOR_INPUT, min_face_px=min_face_px, score_threshold=score_threshold)


@contextlib.contextmanager
def _no_search() -> Iterator[None]:
    """Without cuDNN's search for the fastest kernels: each photo has another size, and would wait for it."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@dataclass(frozen=True)
class ValidationPhotos:
    """The photos that choose the best epoch, and their faces, in memory."""

    names: list[str]
    images: list[ImageArray]
    truth: list[Truth]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def read(cls, dataset: PhotoDataset, split: str, most: int) -> ValidationPhotos:
        """Read the photos of a split; `most` of them, spread evenly, or all for 0."""
        count = dataset.splits[split]
        wanted = set(evenly(count, most or count).tolist())
        names, images, truth = [], [], []
        for number, photo in enumerate(dataset.photos(split)):
            if number in wanted:
                names.append(photo.name)
                images.append(decode_gray(photo.image, photo.name))
                truth.append(truth_of(photo))
        return cls(names, images, truth)

    def measure(self, network: nn.Module, place: Place) -> Mapping[str, float]:
        """Look at all of them.

        Returns
        -------
        mapping of str to float
            ``score`` chooses: the mean of recall at one false find every ten photos at overlaps of 0.3 and 0.5, less
            a third of the landmark error. ``recall``, ``ap`` (overlap 0.5), ``recall_03`` (overlap 0.3),
            ``landmark_error``, ``threshold``, and ``recall_small`` (20 to 40 px), ``recall_large`` (from 160 px).
        """
        detector = detector_of(network, place.device, score_threshold=_LOWEST_SCORE)
        found = [Detections.empty()] * len(self)
        # Each process looks at its share; the sums put them together.
        own = range(place.rank, len(self), place.world_size)
        for number in own:
            found[number] = detector.detect(self.images[number])
        if place.world_size > 1:
            found = _shared(found, place)
        loose = pool(found, self.truth, iou_threshold=0.3, min_face_px=MIN_FACE_PX)
        strict = pool(found, self.truth, iou_threshold=0.5, min_face_px=MIN_FACE_PX)
        (recall,), (threshold,) = recall_at_false_finds(strict)
        (recall_03,), _ = recall_at_false_finds(loose)
        errors = strict.landmark_error[(strict.hit == 1) & (strict.score >= threshold)]
        errors = errors[np.isfinite(errors)]
        error = float(np.clip(errors, 0, 1).mean()) if len(errors) else 1.0
        values = {
            "score": (recall + recall_03) / 2 - error / 3,
            "recall": recall,
            "recall_03": recall_03,
            "ap": average_precision(strict) or 0.0,
            "landmark_error": error,
            "threshold": threshold,
        }
        for name, low, high in (("small", SIZES_PX[1], SIZES_PX[2]), ("large", SIZES_PX[4], np.inf)):
            hits, faces = share_found(strict, threshold, (strict.size_px >= low) & (strict.size_px < high))
            values[f"recall_{name}"] = hits / faces if faces else 0.0
        return {name: float(value) for name, value in values.items()}


def _shared(found: list[Detections], place: Place) -> list[Detections]:
    """Put together what the processes found: the lengths first, then the numbers."""
    counts = place.sum(torch.tensor([len(own) for own in found], device=place.device)).cpu().numpy()
    ends = np.cumsum(counts)
    rows = np.zeros((int(counts.sum()), 15), np.float32)
    for own, end in zip(found, ends, strict=True):
        if len(own):
            rows[end - len(own) : end] = np.concatenate(
                (own.score[:, None], own.box_xyxy, own.landmarks_xy.reshape(-1, 10)), axis=1
            )
    rows = place.sum(torch.from_numpy(rows).to(place.device)).cpu().numpy()
    parts = np.split(rows, ends[:-1])
    return [Detections(part[:, 1:5].copy(), part[:, 0].copy(), part[:, 5:].reshape(-1, 5, 2).copy()) for part in parts]
