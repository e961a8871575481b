"""The training of an expression model, as the engine asks for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from mien.data.balance import class_weights
from mien.data.dataset import count_labels
from mien.data.split import evenly
from mien.errors import UsageError, warn
from mien.metrics.classification import class_scores
from mien.train.architectures import ExpressionNetwork, build_network
from mien.train.checkpoint import LEARNED_KEY, save_checkpoint, start_from
from mien.train.earlier import warn_of_held_out
from mien.train.expression.augment import Augmenter, strength_at
from mien.train.expression.distill import Teachers, distillation_loss, teacher_file
from mien.train.expression.images import ImageBatches, ResidentImages, open_images
from mien.train.expression.losses import chance_loss, consistency_loss, mass_loss, registered_loss
from mien.train.expression.network_spec import make_network_spec
from mien.train.expression.norms import renew_norms
from mien.train.expression.order import epoch_order, steps_in_epoch
from mien.train.expression.rows import Rows, open_rows
from mien.train.expression.targets import target_masses
from mien.train.expression.warp import nudged
from mien.train.machine import computes_in_bf16
from mien.train.options import ExpressionRecipe
from mien.train.own import find_loss
from mien.train.prefetch import StepReader
from mien.train.task import Place, Step, derived_seed
from mien.zoo.card import LearnedFrom

__all__ = ["Batch", "ExpressionTask"]

_VALIDATION_BATCH = 512


class Batch(NamedTuple):
    """One process's part of a step.

    Attributes
    ----------
    pictures : float32 tensor of shape (N, C, S, S)
        Augmented, in [0, 1]; twice as many with a consistency loss: the second half are the first, moved a little.
    masses : tuple of float tensor of shape (N, K)
        Target masses, one tensor a head.
    answers : tuple of float tensor of shape (N, K) or None
        The teachers', one a head.
    """

    pictures: torch.Tensor
    masses: tuple[torch.Tensor, ...]
    answers: tuple[torch.Tensor | None, ...]


class ExpressionTask:
    """What a recipe of kind ``expression`` trains; see `mien.train.task.Task` for the methods."""

    metric = "accuracy"

    def __init__(self, recipe: ExpressionRecipe) -> None:
        self.recipe = recipe
        self._started_with: dict[str, tuple[str, ...]] = {}
        self._earlier: LearnedFrom | None = None

    def setup(self, place: Place) -> nn.Module:
        """Read the data, bring it to the device, load the teachers and build the network."""
        recipe = self.recipe
        self._place = place
        self._batch_size = recipe.optimizer.batch_size // place.world_size
        self._training, self._validation = open_rows(recipe.data, recipe.rows_seed)
        self._network_spec = make_network_spec(recipe, self._training)
        network = self._make_network()
        masses = target_masses(self._training, self._network_spec.heads, recipe.loss)
        self._prepare_training(masses)
        self._prepare_validation()
        self._teachers = self._open_teachers()
        if self._training.learned_from is not None:
            warn_of_held_out(recipe, self._training.learned_from)
        self._checksum = self._make_checksum(masses)
        return network

    def facts(self) -> Mapping[str, Any]:
        """What the data are: counts by class, what was left out, how pixels are kept; a checksum of it all.

        The checksum is also of the weights that are started from and of the teachers'.
        """
        facts: dict[str, Any] = {"checksum": self._checksum, "labels": list(self._training.scheme.labels)}
        for name, rows in (("training", self._training), ("validation", self._validation)):
            facts[name] = {
                "source": rows.faces.source,
                "split": rows.faces.split,
                "faces": len(rows),
                "classes": count_labels(rows.label, rows.scheme.labels),
                "left_out": rows.left_out,
                "kept": "on the device" if isinstance(self._images_of[name], ResidentImages) else "streamed",
            }
        facts["heads"] = {head.output: list(head.labels) for head in self._network_spec.heads}
        if self._started_with:
            facts["started_with"] = {output: list(labels) for output, labels in self._started_with.items()}
        facts["teachers"] = [str(path) for path in self.recipe.distill.teachers]
        return facts

    @property
    def steps_per_epoch(self) -> int:
        """The nearest whole number of batches."""
        return steps_in_epoch(len(self._training), self._batch_size, self._place.world_size)

    @property
    def guessing(self) -> tuple[str, float] | None:
        """Of the labels' loss only: the votes' and the teachers' at chance level differ from face to face."""
        classes, own = len(self._network_spec.heads[0].labels), find_loss(self.recipe.loss.loss)
        if own is None:
            return "label_loss", chance_loss(classes, self._focal)
        labels = torch.eye(classes, device=self._place.device)
        guessed = float(registered_loss(self.recipe.loss.loss, own, torch.zeros_like(labels), labels))
        # Of a loss that can be below 0, twice the value is no measure.
        return ("label_loss", guessed) if guessed > 0 else None

    def batch(self, step: Step) -> Batch:
        """Look up or decode the images of a step, augment them, and ask the teachers."""
        images, rows = self._reader.read(step, self._read_from)
        generator = self._generator.manual_seed(derived_seed(step.seed, "augment"))
        draws = self._augmenter.draw(len(images), generator)
        share = strength_at(step.progress, self.recipe.augment)
        strength = torch.full((), share, device=self._place.device)
        masses = tuple(mass.index_select(0, rows) for mass in self._masses)
        changed = self._augmenter.own(images, generator, share)
        pictures, masses = self._change(changed, masses, draws, strength)
        answers: tuple[torch.Tensor | None, ...] = (None,) * len(masses)
        if self._teachers is not None:
            shown, see = pictures, self.recipe.distill.teachers_see
            if see != "same":
                seen = draws if see == "clear" else self._augmenter.draw(len(images), generator)
                shown, _ = self._change(images, (), seen, strength, clear=True)
            answers = self._teachers(shown, self.recipe.distill.distill_temperature)
        if self.recipe.loss.consistency:
            uniform = torch.rand(4, len(pictures), generator=generator, device=self._place.device)
            pictures = torch.cat([pictures, nudged(pictures, uniform)])
        return Batch(pictures, masses, answers)

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, torch.Tensor]:
        """The labels' loss, the votes' loss, the teachers' and that of consistency, as far as the recipe has them."""
        loss, distill = self.recipe.loss, self.recipe.distill
        count = len(batch.masses[0])
        every: tuple[torch.Tensor, ...] = network(self._normalise(batch.pictures))
        logits = [head[:count] for head in every]
        totals = self._place.mean(torch.stack([mass.sum() for mass in batch.masses]))
        parts = {"label_loss": self._label_loss(logits[0], batch.masses[0], totals[0])}
        total = parts["label_loss"]
        for head, mass, in_all in zip(logits[1:], batch.masses[1:], totals[1:], strict=True):
            parts["votes_loss"] = mass_loss(head, mass, total=in_all)
            total = total + loss.ferplus_weight * parts["votes_loss"]
        weights = (1.0, *(loss.ferplus_weight for _ in logits[1:]))
        taught = [
            weight * distillation_loss(head, answers, distill.distill_temperature)
            for head, answers, weight in zip(logits, batch.answers, weights, strict=True)
            if answers is not None
        ]
        if taught:
            parts["teachers_loss"] = torch.stack(taught).sum()
            total = (1.0 - distill.distill_weight) * total + distill.distill_weight * parts["teachers_loss"]
        if loss.consistency:
            parts["consistency_loss"] = consistency_loss(every[0][:count], every[0][count:])
            total = total + loss.consistency * parts["consistency_loss"]
        right = logits[0].argmax(dim=1) == batch.masses[0].argmax(dim=1)
        shown = {name: value.detach() for name, value in parts.items()}
        return {"loss": total, "accuracy": right.float().mean(), **shown}

    def settle(self, network: nn.Module) -> None:
        """Measure the statistics of batch norm anew, if the recipe says so, on faces that are not augmented."""
        if self.recipe.model.fresh_norms:
            renew_norms(network, self._plain_batches())

    @torch.no_grad()
    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Accuracy, balanced accuracy and loss on the validation rows as they are; without leaked rows, where known."""
        classes, device = len(self._network_spec.heads[0].labels), self._place.device
        confusion = torch.zeros(2 * classes * classes, dtype=torch.float64, device=device)
        loss = torch.zeros((), dtype=torch.float64, device=device)
        batches = self._images_of["validation"].batches(self._validation_order)
        for images, rows, counts in zip(batches, self._validation_rows, self._validation_counts, strict=True):
            first = network(self._normalise(images))[0].float()
            label, leaked = self._validation_label[rows], self._validation_leaked[rows]
            cell = (leaked * classes + label) * classes + first.argmax(dim=1)
            confusion.index_add_(0, cell, counts)
            loss += (functional.cross_entropy(first, label, reduction="none").double() * counts).sum()
        total = self._place.sum(torch.cat([confusion, loss[None]])).cpu().numpy()
        return _scores(total[:-1].reshape(2, classes, classes), float(total[-1]), self._leaks_known)

    def save_checkpoint(self, network: nn.Module, path: Path, extra: Mapping[str, str]) -> None:
        """Write the network with its specification and what it was trained on, in half precision."""
        assert isinstance(network, ExpressionNetwork)  # noqa: S101 - the engine gives what `setup` built
        learned = self._training.learned_from
        if learned is not None:
            extra = {**extra, LEARNED_KEY: replace(learned, earlier=self._earlier).to_json()}
        save_checkpoint(network, path, extra=extra)

    def rate_of(self, name: str) -> float:
        """The backbone may learn more slowly than the heads."""
        return self.recipe.model.backbone_rate if name.startswith("backbone.") else 1.0

    def _label_loss(self, logits: torch.Tensor, mass: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        own = find_loss(self.recipe.loss.loss)
        if own is None:
            return mass_loss(logits, mass, self._focal, total)
        return registered_loss(self.recipe.loss.loss, own, logits, mass, total)

    @property
    def _focal(self) -> float:
        return self.recipe.loss.focal_gamma if self.recipe.loss.loss == "focal" else 0.0

    @property
    def _compiled(self) -> bool:
        return self.recipe.run.compile != "none" and self._place.device.type == "cuda"

    def _make_network(self) -> ExpressionNetwork:
        model = self.recipe.model
        network = build_network(self._network_spec, pretrained=model.pretrained_weights or model.pretrained)
        # The network's own specification has every option filled in.
        self._network_spec = network.spec
        self._normalise = network.normalise
        if model.start_from is not None:
            self._start_from(network, model.start_from)
        if model.frozen_backbone:
            network.freeze_backbone()
        return network

    def _start_from(self, network: ExpressionNetwork, path: Path) -> None:
        """Give the network a checkpoint's weights, and warn of what that means for new labels."""
        self._started_with, self._earlier = start_from(network, path)
        for head in network.spec.heads:
            known = self._started_with[head.output]
            new = [label for label in head.labels if label not in known]
            if new:
                warn(
                    f"{path}: the output '{head.output}' takes {', '.join(known) or 'no class'} from the checkpoint; "
                    f"{', '.join(new)} start{'s' * (len(new) == 1)} from scratch"
                )

    def _prepare_training(self, masses: list[npt.NDArray[np.float32]]) -> None:
        recipe, device, spec, rows = self.recipe, self._place.device, self._network_spec, self._training
        self._masses = tuple(torch.from_numpy(mass).to(device) for mass in masses)
        self._sampling_weights = rows.weight
        if recipe.data.sampling == "balanced":
            self._sampling_weights = class_weights(rows.label, len(rows.scheme.labels))
        images = self._open_images(rows)
        self._images_of: dict[str, ImageBatches] = {"training": images}
        self._groups = None if isinstance(images, ResidentImages) else rows.faces.groups
        self._augmenter = Augmenter(recipe.augment, spec.size_px, spec.in_channels, device)
        self._generator = torch.Generator(device)
        self._change = self._augmenter.changed
        if self._compiled:
            self._change = torch.compile(self._augmenter.changed, dynamic=False)
        self._reader: StepReader[tuple[torch.Tensor, torch.Tensor]] = StepReader()

    def _prepare_validation(self) -> None:
        place, device, rows = self._place, self._place.device, self._validation
        self._images_of["validation"] = images = self._open_images(rows)
        self._validation_label = torch.from_numpy(rows.label).to(device)
        leaked = rows.faces.leaked
        if leaked is None:
            leaked = _copies(images, self._images_of["training"], len(rows))
        self._leaks_known = bool(leaked.any()) and not bool(leaked.all())
        self._validation_leaked = torch.from_numpy(leaked.astype(np.int64)).to(device)
        # Every process reads its share, in whole batches; rows that fill the last one up do not count.
        own = np.arange(len(rows))[place.rank :: place.world_size]
        size = min(_VALIDATION_BATCH, max(1, len(own)))
        steps = -(-len(own) // size)
        filled = np.zeros(steps * size, np.int64)
        filled[: len(own)] = own
        counts = (np.arange(steps * size) < len(own)).astype(np.float64)
        self._validation_order = filled.reshape(steps, size)
        self._validation_rows = torch.from_numpy(self._validation_order).to(device)
        self._validation_counts = torch.from_numpy(counts.reshape(steps, size)).to(device)

    def _plain_batches(self) -> Iterator[torch.Tensor]:
        """The same training faces each time, from all over the set; of augmentation they have the small ones only."""
        augment, spec = self.recipe.augment, self._network_spec
        options = augment.only(low_resolution=augment.low_resolution)
        augmenter = Augmenter(options, spec.size_px, spec.in_channels, self._place.device)
        generator = torch.Generator(self._place.device).manual_seed(0)
        rows = evenly(len(self._training), self.recipe.model.fresh_norms)
        steps = max(1, round(len(rows) / _VALIDATION_BATCH))
        order = np.resize(rows, (steps, -(-len(rows) // steps)))
        for images in self._images_of["training"].batches(order):
            yield self._normalise(augmenter(images, (), generator)[0])

    def _open_teachers(self) -> Teachers | None:
        distill, place = self.recipe.distill, self._place
        if not distill.teachers or not distill.distill_weight:
            return None
        if distill.teachers_see == "other" and self._augmenter.mixes:
            raise UsageError(
                "teachers_see 'other' shows teachers the same face moved otherwise, which mixed faces have none of; "
                "set mixup and cutmix to 0, or teachers_see to 'same' or 'clear'"
            )
        return Teachers(
            distill.teachers,
            self._network_spec.heads,
            place.device,
            views=distill.teacher_ten_views,
            half=computes_in_bf16(self.recipe.run, place.device.type),
            compiled=self._compiled,
        )

    def _make_checksum(self, masses: list[npt.NDArray[np.float32]]) -> str:
        """Of all that a run depends on: targets, pixels where they are at hand, first weights and teachers.

        How it is made must not change: runs that were begun before could not be resumed.
        """
        model = self.recipe.model
        files = [path for path in (model.start_from, model.pretrained_weights) if path is not None]
        if self._teachers is not None:
            files += [teacher_file(teacher) for teacher in self.recipe.distill.teachers]
        checksum = _checksum(masses, self._images_of["training"])
        for more in (
            _checksum([self._validation.label.astype(np.float32)], self._images_of["validation"]),
            *(hashlib.sha256(path.read_bytes()).hexdigest() for path in files),
        ):
            checksum = hashlib.sha256((checksum + more).encode()).hexdigest()
        return checksum

    def _open_images(self, rows: Rows) -> ImageBatches:
        data = self.recipe.data
        limits = {"auto": data.resident_limit_gb, "resident": float("inf"), "stream": -1.0}
        return open_images(
            rows.faces,
            self._network_spec.input_spec(),
            self._place.device,
            limit_gb=limits[data.feeding],
            workers=data.workers,
        )

    def _read_from(self, epoch: int, index: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The images of each step to the end of the epoch, and their rows."""
        order = epoch_order(
            len(self._training),
            self._batch_size,
            seed=self.recipe.run.seed,
            epoch=epoch,
            world_size=self._place.world_size,
            weights=self._sampling_weights,
            groups=self._groups,
        )[index:, self._place.rank]
        rows = torch.from_numpy(np.ascontiguousarray(order)).to(self._place.device)
        return zip(self._images_of["training"].batches(order), rows, strict=True)


def _scores(confusion: npt.NDArray[np.float64], loss: float, leaks_known: bool) -> dict[str, float]:
    """Scores of two confusion matrices, of rows that are not leaked and of those that are."""
    every = confusion.sum(axis=0).astype(np.int64)
    scores = {
        "accuracy": float(np.trace(every) / every.sum()),
        "balanced_accuracy": float(class_scores(every).balanced_accuracy),
        "loss": loss / float(every.sum()),
    }
    if leaks_known:
        scores["accuracy_without_leaks"] = float(np.trace(confusion[0]) / confusion[0].sum())
    return scores


def _copies(images: ImageBatches, of: ImageBatches, count: int) -> npt.NDArray[np.bool_]:
    """Which images have an exact copy among others; none, unless all of them are in memory."""
    if not isinstance(images, ResidentImages) or not isinstance(of, ResidentImages):
        return np.zeros(count, np.bool_)
    known = set(_digests(of))
    return np.array([digest in known for digest in _digests(images)], np.bool_)


def _digests(images: ResidentImages) -> Iterator[bytes]:
    """Of each image: the pixels themselves would fill the host's memory a second time."""
    for start in range(0, len(images.images), _VALIDATION_BATCH):
        for image in images.images[start : start + _VALIDATION_BATCH].cpu().numpy():
            yield hashlib.blake2b(image.data, digest_size=16).digest()


def _checksum(masses: list[npt.NDArray[np.float32]], images: ImageBatches) -> str:
    """Of targets, and of pixels where they are at hand."""
    digest = hashlib.sha256()
    for mass in masses:
        digest.update(np.ascontiguousarray(mass).data)
    if isinstance(images, ResidentImages):
        digest.update(images.images.cpu().numpy().data)
    return digest.hexdigest()
