"""What the engine asks of a kind of model: the `Task` protocol, and the small values that pass between them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

__all__ = ["Place", "Step", "Task", "derived_seed"]


def derived_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) that depends on every part and on nothing else, equal on every machine."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Place:
    """Where a process of the run works.

    Attributes
    ----------
    device : torch.device
        On which it computes.
    rank, world_size : int
        Number of this process, from 0, and how many there are.
    sum : callable
        Adds a tensor up over all processes; every process must call it, and gets the sum (its tensor may hold it, too).
        On a GPU the host does not wait for it.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1
    sum: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """As `sum`, divided by the number of processes."""
        return self.sum(tensor) / self.world_size


@dataclass(frozen=True)
class Step:
    """One step of the run. A batch must depend on these values only, so that a resumed run repeats it exactly.

    Attributes
    ----------
    epoch : int
        From 0.
    index : int
        The step in its epoch, from 0.
    progress : float
        What part of the whole budget (epochs or minutes) is behind, in [0, 1].
    seed : int
        For everything random in this step; differs by run seed, epoch, step and process. The engine has seeded
        torch's own generators with it, so that dropout repeats; seed further generators with it, or with
        ``derived_seed(step.seed, "what for")``.
    """

    epoch: int
    index: int
    progress: float
    seed: int


class Task(Protocol):
    """What differs between kinds of models. It is built from the recipe alone, which is cheap and reads nothing.

    The engine calls, in every process: `setup` once; then `batch` and `losses` step by step, `settle` and `validate`
    after every epoch; and in the first process `save_checkpoint` and `facts`.

    Attributes
    ----------
    metric : str
        The key of what `validate` returns by which the best epoch is chosen; more is better.
    """

    @property
    def metric(self) -> str: ...  # noqa: D102 - see the class

    def setup(self, place: Place) -> nn.Module:
        """Read the data, prepare them on the device, and build the network with its first weights.

        The engine has seeded torch's generators with the run's seed, alike in all processes. It moves the network to
        the device, lays it out in memory and compiles it; parameters without ``requires_grad`` stay as they are.

        Parameters
        ----------
        place : Place
            Where this process works.

        Raises
        ------
        MienError
            If the data or weights cannot be read or do not fit the recipe.
        """
        ...

    def facts(self) -> Mapping[str, Any]:
        """What to write down of the data: values for JSON.

        Must hold ``"checksum"``, of the training and validation rows: a run is only resumed on the same.
        """
        ...

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, at least 1, the same in every process; known after `setup`.

        All batches have the same shape (drop the last, incomplete one, or fill it up), so that graphs can be
        captured. ``recipe.optimizer.batch_size`` counts the images of all processes together, and is a multiple of
        their number.
        """
        ...

    @property
    def guessing(self) -> tuple[str, float] | None:
        """The name of one of the losses, and its value at chance level (all answers equally likely).

        Known after `setup`. An epoch that is clearly worse is warned of. None where there is no such value.
        """
        ...

    def batch(self, step: Step) -> Any:
        """Make the part of a batch that is this process's, on its device, ready for `losses`.

        Steps are asked for in order, but a resumed run starts in the middle of an epoch: what is read ahead must
        start over when a step does not follow the last one. Must not wait for the device (no ``.item()``).
        """
        ...

    def losses(self, network: nn.Module, batch: Any) -> Mapping[str, torch.Tensor]:
        """Pass a batch through the network, which is called exactly once. The batch stays as it is: SAM asks twice.

        Parameters
        ----------
        network : torch.nn.Module
            What `setup` built, in training mode, wrapped for precision and processes: to be called, not looked into.
        batch : object
            What `batch` gave.

        Returns
        -------
        mapping of str to float tensor of shape ()
            ``"loss"`` is minimised; processes average its gradients, so what it is divided by must be the same in all
            of them (``place.mean``). Others, detached, are averaged over the epoch and logged as ``train_NAME``, such
            as ``"accuracy"`` or the parts of the loss; the keys are always the same. Must not wait for the device.
        """
        ...

    def settle(self, network: nn.Module) -> None:
        """Adapt what is no weight, such as the statistics of batch norm, to the weights that will be kept.

        Parameters
        ----------
        network : torch.nn.Module
            As for `validate`, which comes next. May be called again for the same weights: the result must be the same,
            in every process.
        """
        ...

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Measure a network on the validation data.

        Parameters
        ----------
        network : torch.nn.Module
            Of the kind that `setup` built, with the averaged weights, in evaluation mode; autocast is on and
            gradients are off.

        Returns
        -------
        mapping of str to float
            With `metric` among the keys; logged as ``validation_NAME``. Every process calls this; share the rows by
            ``place.rank`` and ``place.sum``, or let each process do all of them.
        """
        ...

    def save_checkpoint(self, network: nn.Module, path: Path, extra: Mapping[str, str]) -> None:
        """Write a checkpoint for use (safetensors), whole or not at all.

        Parameters
        ----------
        network : torch.nn.Module
            Of the kind that `setup` built.
        path : Path
            The file, which is replaced if it exists.
        extra : mapping of str to str
            Facts about the run for the file's metadata: epoch, metric, version.
        """
        ...

    def rate_of(self, name: str) -> float:
        """Learning rate of a parameter, by its name in the network, as a multiple of the recipe's; usually 1."""
        ...
