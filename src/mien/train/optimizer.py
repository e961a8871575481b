"""Optimizers, and copies of a network: its moving average (EMA), and one between its first weights and today's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mien.errors import UsageError
from mien.train.options import OptimizerOptions

__all__ = ["MovingAverage", "WeightInterpolation", "copy_weights", "frozen_copy", "make_optimizer"]


def make_optimizer(
    network: nn.Module, options: OptimizerOptions, rate_of: Callable[[str], float], device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer of a network's trainable weights.

    Parameters
    ----------
    network : torch.nn.Module
        Already on its device.
    options : OptimizerOptions
    rate_of : callable
        Learning rate of a parameter by its name, as a multiple; becomes ``factor`` of its group.
    device : torch.device

    Raises
    ------
    UsageError
        If nothing in the network can be trained.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        if not weight.requires_grad:
            continue
        # Norms and biases have one dimension; everything that mixes features has more.
        decay = options.decay if options.decay_norms or weight.ndim > 1 else 0.0
        groups.setdefault((rate_of(name), decay), []).append(weight)
    if not groups:
        raise UsageError("no weight of the network can be trained: all are frozen")
    settings: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": decay, "factor": factor} for (factor, decay), weights in groups.items()
    ]
    # One kernel for all weights: there are hundreds of small tensors, and a GPU would wait for Python.
    fused = device.type == "cuda"
    if options.optimizer == "sgd":
        # Nesterov's method needs a momentum above 0.
        return torch.optim.SGD(
            settings, lr=options.rate, momentum=options.momentum, nesterov=options.momentum > 0, fused=fused
        )
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return kind(settings, lr=options.rate, betas=(options.momentum, options.second_beta), fused=fused)


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy of a network, in evaluation mode, that has no gradients."""
    return copy.deepcopy(network).requires_grad_(False).eval()


class MovingAverage:
    """The exponential moving average (EMA) of a network's weights and buffers (batch norm's), as a network of its own.

    Parameters
    ----------
    network : torch.nn.Module
        On its device, and not yet wrapped; the average starts with its weights.
    decay : float
        Share that is kept at each step. Early on it is (1 + steps) / (10 + steps), where that is less: a short run has
        an average of its own weights, not of the random first ones.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = frozen_copy(network)
        self._decay = decay
        pairs = _pairs(self.network, network)
        self._own = [own for own, _ in pairs if own.is_floating_point()]
        self._now = [now for own, now in pairs if own.is_floating_point()]
        self._counts = [(own, now) for own, now in pairs if not own.is_floating_point()]

    def update(self, steps_done: int) -> None:
        """Take in the network as it is after `steps_done` steps; nothing waits for the device."""
        decay = min(self._decay, (1 + steps_done) / (10 + steps_done))
        torch._foreach_lerp_(self._own, self._now, 1 - decay)
        if self._counts:
            torch._foreach_copy_([own for own, _ in self._counts], [now for _, now in self._counts])


class WeightInterpolation:
    """A network whose weights and buffers lie between those that another one has now and those that it started with.

    Fine-tuning gains on what is new and loses some of what was known; weights on the straight line between the two
    keep most of both (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903).

    Parameters
    ----------
    network : torch.nn.Module
        With its first weights, on its device, and not yet wrapped.
    share : float
        Of the first weights, in [0, 1].
    """

    def __init__(self, network: nn.Module, share: float) -> None:
        self.network = frozen_copy(network)
        self._share = share
        self._own = [own for own, _ in _pairs(self.network, self.network) if own.is_floating_point()]
        self._first = [own.clone() for own in self._own]

    def update(self, network: nn.Module) -> None:
        """Give `self.network` weights between the first and those that `network` has now."""
        copy_weights(network, self.network)
        torch._foreach_lerp_(self._own, self._first, self._share)


def _pairs(one: nn.Module, other: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weights and buffers of two networks alike. Not by state_dict, which names tied weights twice."""
    return [
        (own.detach(), now.detach())
        for part in (nn.Module.parameters, nn.Module.buffers)
        for own, now in zip(part(one), part(other), strict=True)
    ]


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy weights and buffers between two networks alike; nothing waits for the device."""
    pairs = _pairs(target, source)
    torch._foreach_copy_([own for own, _ in pairs], [now for _, now in pairs])
