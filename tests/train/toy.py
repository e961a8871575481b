"""A task that learns in a blink, and a program that runs it: for tests that kill, or need several processes."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import safetensors.torch
import torch
from torch import nn

from mien.errors import MienError, TrainingError
from mien.files import write_atomically
from mien.options import Options, option
from mien.train import Interrupted, peers, train_model, train_seeds
from mien.train.options import Recipe
from mien.train.recipe import change_recipe
from mien.train.task import derived_seed


@dataclass(frozen=True, kw_only=True)
class ToyOptions(Options):
    points: int = option(256, "Points to learn from.", minimum=1)
    loss_factor: float = option(1.0, "What the loss of epoch 2 is multiplied with.")
    nan_at: int | None = option(None, "Step of epoch 2 whose loss is no number.")
    step_s: float = option(0.0, "Seconds that each step takes.")
    falling: bool = option(False, "Validation gets worse every epoch.")
    drawn: float = option(0.1, "Noise drawn for each batch.")
    fails: str | None = option(None, "PROCESS:HOW, with commas: those that fail in a step of epoch 2.")
    settled: bool = option(False, "Batch norm's means are set from the weights that are kept.")


@dataclass(frozen=True, kw_only=True)
class ToyRecipe(Recipe):
    kind: ClassVar[str] = "toy"
    task: ClassVar[str] = "tests.train.toy:ToyTask"
    toy: ToyOptions = field(default_factory=ToyOptions)


def toy_recipe(**changes):
    """Four quick epochs on the CPU, saved after each."""
    quick = {"epochs": 4, "batch_size": 32, "accelerator": "cpu", "save_every_s": 0, "loggers": ("csv",), "threads": 1}
    return change_recipe(ToyRecipe(), {**quick, "warmup_epochs": 1, **changes})


def weights_of(path):
    """The tensors of a checkpoint; two runs are the same where these are, bit for bit."""
    return safetensors.torch.load_file(path)


def same_weights(one, other):
    one, other = weights_of(one), weights_of(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def same_history(one, other):
    """Whether two histories agree in all but time."""

    def timeless(row):
        return {key: value for key, value in row.items() if key not in ("seconds", "images_per_s")}

    return [timeless(row) for row in one] == [timeless(row) for row in other]


class ToyTask:
    """Two rings of points; a network with batch norm and dropout, so that all that is random or moving matters."""

    metric = "accuracy"

    def __init__(self, recipe):
        self._recipe = recipe
        self._options = recipe.toy
        self.epochs_validated = 0
        self.rates = {}
        self.seen = []

    def _fail(self):
        how = dict(one.split(":") for one in (self._options.fails or "").split(",") if one).get(str(self._place.rank))
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "stuck":
            time.sleep(3600)
        elif how is not None:
            raise {"error": TrainingError, "bug": KeyError}[how]("as it was told to")

    def setup(self, place):
        self._place = place
        generator = torch.Generator().manual_seed(7)
        angle = 6.2832 * torch.rand(self._options.points, generator=generator)
        self._label = (torch.arange(self._options.points) % 2).to(place.device)
        radius = 1.0 + self._label.cpu() + 0.2 * torch.randn(self._options.points, generator=generator)
        self._points = torch.stack([radius * angle.cos(), radius * angle.sin()], 1).to(place.device)
        return nn.Sequential(nn.Linear(2, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 2))

    def facts(self):
        return {"checksum": f"{float(self._points.sum()):.6f}", "training": len(self._points)}

    @property
    def _own_size(self):
        return self._recipe.optimizer.batch_size // self._place.world_size

    @property
    def steps_per_epoch(self):
        return len(self._points) // self._recipe.optimizer.batch_size

    @property
    def guessing(self):
        return "loss", math.log(2)

    def batch(self, step):
        self.seen.append((step.epoch, step.index, step.progress))
        order = torch.Generator().manual_seed(derived_seed(self._recipe.run.seed, step.epoch))
        rows = torch.randperm(len(self._points), generator=order)
        start = step.index * self._recipe.optimizer.batch_size + self._place.rank * self._own_size
        rows = rows[start : start + self._own_size].to(self._place.device)
        noise = torch.Generator(self._place.device).manual_seed(derived_seed(step.seed, "noise"))
        drawn = torch.randn(self._own_size, 2, generator=noise, device=self._place.device)
        time.sleep(self._options.step_s)
        if (step.epoch, step.index) == (1, 2):
            self._fail()
        broken = self._options.nan_at is not None and (step.epoch, step.index) == (1, self._options.nan_at - 1)
        factor = float("nan") if broken else self._options.loss_factor if step.epoch == 1 else 1.0
        return self._points[rows] + self._options.drawn * drawn, self._label[rows], factor

    def losses(self, network, batch):
        points, label, factor = batch
        logits = network(points)
        loss = nn.functional.cross_entropy(logits, label)
        hits = (logits.argmax(1) == label).float().mean()
        return {"loss": loss * factor, "accuracy": hits.detach()}

    def settle(self, network):
        if self._options.settled:
            network[1].running_mean.copy_(network[0].weight.mean(dim=1))

    def validate(self, network):
        self.epochs_validated += 1
        logits = network(self._points)
        loss = nn.functional.cross_entropy(logits, self._label)
        accuracy = (logits.argmax(1) == self._label).float().mean()
        if self._options.falling:
            accuracy = 1.0 - 0.1 * self.epochs_validated
        # How far the processes' networks lie apart.
        own = torch.stack([value.double().sum() for value in network.state_dict().values()])
        apart = (self._place.sum(own.clone()) - self._place.world_size * own).abs().sum()
        return {"accuracy": float(accuracy), "loss": float(loss), "apart": float(apart)}

    def save_checkpoint(self, network, path, extra):
        weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        assert all(bool(torch.isfinite(value.float()).all()) for value in weights.values())
        write_atomically(path, safetensors.torch.save(weights, metadata=dict(extra)))

    def rate_of(self, name):
        return self.rates.get(name, 1.0)


def _place():
    """What processes of a run know each other by, and what Lightning sets beside it."""
    names = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS")
    return {name: os.environ.get(name) for name in names}, torch.get_num_threads()


def main(arguments):
    """Train into FOLDER... [--resume] [--impatient] [--term-at-step | --term-at-epoch] [--two-seeds | --three-seeds]
    [FIELD=VALUE ...].
    """
    folders = [argument for argument in arguments if not argument.startswith("--") and "=" not in argument]
    changes = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if "--impatient" in arguments:
        peers._END_S = peers._MEET_S = 1.0

    def show(report):
        # Just after the processes agreed on whether to stop: in the middle of the first epoch, or at its end.
        word = "--term-at-epoch" if report.metrics else "--term-at-step"
        if word in arguments and report.epoch == 1 and not report.validating:
            signal.raise_signal(signal.SIGTERM)
        print("epoch" if report.metrics else "step", report.epoch, report.step, flush=True)

    seeds = {"--two-seeds": 2, "--three-seeds": 3}

    def train(folder):
        before = _place()
        try:
            for count in (seeds[word] for word in arguments if word in seeds):
                train_seeds(toy_recipe(**changes), folder, count, resume="--resume" in arguments)
                return 0
            result = train_model(toy_recipe(**changes), Path(folder), resume="--resume" in arguments, progress=show)
        except Interrupted as stopped:
            print(stopped, file=sys.stderr)
            return 130
        except MienError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 2
        finally:
            assert _place() == before
        print("done", result.best_epoch, flush=True)
        return 0

    return max([train(folder) for folder in folders])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
