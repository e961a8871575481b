"""The detector for the engine of `mien.train`: batches of mosaics, losses, and what chooses the best epoch."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien.data.faces import open_training
from mien.data.photos import PhotoDataset
from mien.data.pixels import fit_square
from mien.data.split import evenly
from mien.errors import UsageError
from mien.train.detector.assign import Cells, make_cells
from mien.train.detector.loss import Targets, detector_losses
from mien.train.detector.mosaic import TrainingImage, make_mosaic
from mien.train.detector.network import FaceDetectorNetwork, load_detector, save_detector
from mien.train.detector.photos import CroppedFaces, PhotoStore, find_in_crops, load_photos
from mien.train.detector.validate import ValidationPhotos
from mien.train.options import Recipe
from mien.train.options.detector import DetectorRecipe
from mien.train.prefetch import Prefetcher, StepReader
from mien.train.task import Place, Step, derived_seed

__all__ = ["DetectorTask", "collate"]

_CROP_PX = 48


class DetectorTask:
    """A face detector's training run."""

    metric = "score"

    def __init__(self, recipe: Recipe) -> None:
        if not isinstance(recipe, DetectorRecipe):
            raise UsageError(f"a recipe of kind '{recipe.kind}' came to the detector; expected kind 'detector'")
        self._recipe = recipe
        self._reader: StepReader[list[TrainingImage]] = StepReader()

    def setup(self, place: Place) -> nn.Module:
        """Read the photos and build the network."""
        data = self._recipe.data
        photos = data.require_photos()
        self._place = place
        dataset = PhotoDataset(photos)
        if data.choose_on == "train" or data.choose_on not in dataset.splits:
            raise UsageError(
                f"choose_on is '{data.choose_on}'; expected a split of {photos} that is not learned from: "
                f"{', '.join(name for name in dataset.splits if name != 'train') or 'it has none'}"
            )
        store = load_photos(photos, "train", data)
        if data.mosaic_workers:
            # Decoded once, before the workers are made, so that they share the pixels.
            store.decode()
        crops = _crops(data.crops, data.most_crops) if data.crops is not None else None
        self._validation = ValidationPhotos.read(dataset, data.choose_on, data.choose_photos)
        self._mosaics = Prefetcher(
            functools.partial(_make_mosaics, store, crops, self._recipe),
            data.mosaic_workers,
            # Forked processes share the decoded photos; others would each be sent a copy of them all.
            fork=sys.platform == "linux",
        )
        side = data.mosaic_px
        self._cells: Cells = make_cells(side, side, place.device)
        init = self._recipe.model.init
        network = FaceDetectorNetwork() if init is None else load_detector(init)
        self._facts = {
            "photos": len(store),
            "faces": sum(len(photo.box_xyxy) for photo in store.photos),
            "crops": 0 if crops is None else len(crops),
            "choosing_photos": len(self._validation),
            "checksum": _checksum(store, crops, self._validation, init),
        }
        return network

    def facts(self) -> Mapping[str, Any]:
        """Numbers of photos and faces, and a checksum of all that the run is made of."""
        return self._facts

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return max(1, self._recipe.data.mosaics_an_epoch // self._recipe.optimizer.batch_size)

    @property
    def guessing(self) -> None:
        """A sum of losses says nothing by itself."""

    def batch(self, step: Step) -> Targets:
        """The training images of one step, made here or ahead of time by worker processes."""
        images = self._reader.read(step, self._images_from)
        return collate(images, self._place.device, self._recipe.loss.teacher_landmarks)

    def _images_from(self, epoch: int, index: int) -> Iterator[list[TrainingImage]]:
        """The images of each step to the end of the epoch."""
        own, origin = self._recipe.optimizer.batch_size // self._place.world_size, (self._recipe.run.seed, "mosaic")
        return self._mosaics.items(
            [derived_seed(*origin, self._place.rank, epoch, step, number) for number in range(own)]
            for step in range(index, self.steps_per_epoch)
        )

    def losses(self, network: nn.Module, batch: Targets) -> Mapping[str, Tensor]:
        """One pass, and what it says."""
        return detector_losses(network(batch.images), self._cells, batch, self._recipe.loss, self._place.mean)

    def settle(self, network: nn.Module) -> None:
        """Nothing to adapt: the running statistics of batch norm are kept."""

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Recall, average precision and landmark error on the photos that choose, as recognition sees them."""
        return self._validation.measure(network, self._place)

    def save_checkpoint(self, network: nn.Module, path: Path, extra: Mapping[str, str]) -> None:
        """Write the weights."""
        if not isinstance(network, FaceDetectorNetwork):
            raise TypeError(f"expected a FaceDetectorNetwork, got {type(network).__name__}")
        save_detector(network, path, extra)

    def rate_of(self, name: str) -> float:
        """The same rate for every parameter."""
        del name
        return 1.0


def _make_mosaics(
    store: PhotoStore, crops: CroppedFaces | None, recipe: DetectorRecipe, seeds: list[int]
) -> list[TrainingImage]:
    """A training image of each seed: the same in any process."""
    side_px = recipe.data.mosaic_px
    return [make_mosaic(store, recipe.augment, side_px, np.random.default_rng(seed), crops) for seed in seeds]


def collate(images: list[TrainingImage], device: torch.device, teacher_landmarks: float) -> Targets:
    """Put training images on a device, with their faces padded to one number (a multiple of eight, for the caches)."""
    most = _rounded(max(len(image.box_xyxy) for image in images))
    most_ignored = _rounded(max(len(image.ignore_xyxy) for image in images))
    count = len(images)
    boxes = np.zeros((count, most, 4), np.float32)
    known = np.zeros((count, most), bool)
    landmarks = np.zeros((count, most, 5, 2), np.float32)
    weight = np.zeros((count, most, 5), np.float32)
    ignore = np.zeros((count, most_ignored, 4), np.float32)
    for number, image in enumerate(images):
        own = len(image.box_xyxy)
        boxes[number, :own] = image.box_xyxy
        known[number, :own] = True
        seen = np.asarray(np.isfinite(image.landmarks_xy).all(axis=2))
        landmarks[number, :own] = np.where(seen[..., None], image.landmarks_xy, 0)
        weight[number, :own] = seen * np.where(image.by_person, 1.0, teacher_landmarks)[:, None]
        ignore[number, : len(image.ignore_xyxy)] = image.ignore_xyxy

    def send(values: np.ndarray[Any, Any]) -> Tensor:
        tensor = torch.from_numpy(values)
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor

    return Targets(
        FaceDetectorNetwork.normalise(send(np.stack([image.image for image in images])[:, None])),
        send(boxes), send(known), send(landmarks), send(weight), send(ignore),
    )  # fmt: skip


def _rounded(count: int) -> int:
    return -(-count // 8) * 8


def _crops(path: Path, most: int) -> CroppedFaces:
    faces = open_training(path)
    images = faces.images(evenly(len(faces), most))
    return find_in_crops([fit_square(np.asarray(image, np.uint8), _CROP_PX) for image in images])


def _checksum(store: PhotoStore, crops: CroppedFaces | None, validation: ValidationPhotos, init: Path | None) -> str:
    """Of all that decides the run beside its recipe: what is learned from, what chooses, what is started from."""
    digest = hashlib.sha256()

    def add(*parts: bytes | np.ndarray[Any, Any]) -> None:
        for part in parts:
            # With its length: it says where a part ends.
            digest.update(f"{len(part) if isinstance(part, bytes) else part.shape};".encode())
            digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)

    for encoded, photo in zip(store.encoded, store.photos, strict=True):
        add(encoded, photo.box_xyxy, photo.landmarks_xy, photo.by_person, photo.ignore_xyxy)
    add(store.weights)
    if crops is not None:
        add(crops.images, crops.box_xyxy, crops.landmarks_xy)
    for name, image, truth in zip(validation.names, validation.images, validation.truth, strict=True):
        add(name.encode(), image, truth.box_xyxy, truth.landmarks_xy, truth.ignore_xyxy)
    if init is not None:
        add(init.read_bytes())
    return digest.hexdigest()
