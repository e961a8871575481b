"""The network that learns: its steps, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mien.train.machine import in_memory_format
from mien.train.optimizer import MovingAverage, WeightInterpolation, copy_weights, frozen_copy, make_optimizer
from mien.train.options import Recipe
from mien.train.sam import SharpnessAware
from mien.train.state import restore_network, restore_optimizer
from mien.train.task import Task

__all__ = ["Learner"]


class Learner:
    """A network with its optimizer, its averages, and a copy of it at its best.

    Parameters
    ----------
    fabric : Fabric
        As `mien.train.machine.open_fabric` gives it.
    task : Task
        That has been set up.
    recipe : Recipe
    network : torch.nn.Module
        What the task was set up with.

    Attributes
    ----------
    raw : torch.nn.Module
        The network that the steps change, not wrapped.
    weights : list of tensor
        Those that are trained.
    optimizer : torch.optim.Optimizer
    best : torch.nn.Module
        A copy, as `keep_as_best` was last told.
    """

    def __init__(self, fabric: Any, task: Task, recipe: Recipe, network: nn.Module) -> None:
        self._fabric = fabric
        self._task = task
        self._recipe = recipe
        options, compiles, device = recipe.optimizer, recipe.run.compile, fabric.device
        network = in_memory_format(network.to(device), recipe.run, device)
        self.raw = network
        self.best = frozen_copy(network)
        self._average = MovingAverage(network, options.ema_decay) if options.ema_decay else None
        self._interpolation = WeightInterpolation(network, options.keep_start) if options.keep_start else None
        self._settled_at_step = -1
        optimizer = make_optimizer(network, options, task.rate_of, device)
        self.weights: list[torch.Tensor] = [weight for group in optimizer.param_groups for weight in group["params"]]
        self._sharpness = SharpnessAware(network, self.weights, options.sam_radius) if options.sam_radius else None
        compiled: Any = network
        if compiles != "none":
            compiled = torch.compile(network, mode="reduce-overhead" if compiles == "graphs" else None)
        self._network, self.optimizer = fabric.setup(compiled, optimizer)

    def train(self) -> None:
        """Be in training mode."""
        self._network.train()

    def step(self, batch: Any, rate: float, seed: int, number: int) -> Mapping[str, torch.Tensor]:
        """Learn from a batch.

        Parameters
        ----------
        batch : object
            Of the task.
        rate : float
            The learning rate.
        seed : int
            Of the step.
        number : int
            Of the step in the whole run, from 1.

        Returns
        -------
        mapping of str to float tensor of shape ()
            The batch's losses before the step.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        losses = self._pass(batch, seed)
        if self._sharpness is not None:
            with self._sharpness.perturbed():
                self._pass(batch, seed)
        if self._recipe.optimizer.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.weights, self._recipe.optimizer.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self._average is not None:
            self._average.update(number)
        return losses

    def _pass(self, batch: Any, seed: int) -> Mapping[str, torch.Tensor]:
        """A batch's losses; their gradient lies in the weights."""
        if self._sharpness is not None:  # Both passes drop out the same, whatever making the batch has drawn.
            torch.manual_seed(seed)
        if self._recipe.run.compile == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        losses = self._task.losses(self._network, batch)
        self._fabric.backward(losses["loss"])
        return losses

    def kept(self, steps_done: int, *, settled: bool) -> nn.Module:
        """The network that is validated and saved. In the middle of an epoch it is not worth the time to settle it."""
        newest = self._average.network if self._average else self.raw
        network = self._interpolation.network if self._interpolation else newest
        if settled and self._settled_at_step == steps_done:  # For the validation, just now.
            return network
        if self._interpolation:
            self._interpolation.update(newest)
        if settled:
            with torch.no_grad(), self._fabric.autocast():
                self._task.settle(network)
            self._settled_at_step = steps_done
        return network

    def keep_as_best(self, network: nn.Module) -> None:
        """Copy what `kept` gave into `best`."""
        copy_weights(network, self.best)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Those that a run goes on from, by name; the optimizer's tensors belong to them."""
        averages = {} if self._average is None else {"average": self._average.network}
        return {"network": self.raw, **averages}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from what was saved of `networks` and `optimizer` (ModelError if it is of another network)."""
        for name, network in self.networks.items():
            restore_network(network, tensors, name)
        restore_optimizer(self.optimizer, tensors)
