"""Sharpness-aware minimisation (SAM): steps towards weights in whose surroundings the loss is low everywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

__all__ = ["SharpnessAware"]


class SharpnessAware:
    """Moves a network's weights to where, nearby, the loss is highest, and back (Foret et al. 2021, arXiv:2010.01412).

    Steps by the gradient that is found there lead to flat minima, which tend to generalise better.

    Parameters
    ----------
    network : torch.nn.Module
        On its device, and not yet wrapped.
    weights : sequence of tensor
        Those that are trained.
    radius : float
        How far the weights move, as the Euclidean norm over all of them; above 0. The paper's rho.
    """

    def __init__(self, network: nn.Module, weights: Sequence[torch.Tensor], radius: float) -> None:
        self._weights = weights
        self._radius = radius
        self._buffers = list(network.buffers())

    @contextlib.contextmanager
    def perturbed(self) -> Iterator[None]:
        """Within it the weights lie `radius` further along their gradients, which are dropped; afterwards as before.

        Buffers, too, are afterwards as before: batch norm's statistics are those of passes with the network's own
        weights. Several processes move alike, by the mean of their gradients, which each of them has after its backward
        pass: a run does not depend on their number. (The paper's each move by their own.) Nothing waits for the device.
        """
        moved = [weight for weight in self._weights if weight.grad is not None]
        steps = [weight.grad for weight in moved if weight.grad is not None]
        with torch.no_grad():
            before, buffers_before = ([value.clone() for value in values] for values in (moved, self._buffers))
            norm = torch.stack(torch._foreach_norm(steps)).norm()
            # All gradients may be zero.
            torch._foreach_mul_(steps, self._radius / (norm + 1e-12))
            torch._foreach_add_(moved, steps)
        for weight in moved:
            weight.grad = None
        yield
        with torch.no_grad():
            # Not by taking the step off again, which would leave rounding errors.
            torch._foreach_copy_(moved, before)
            if self._buffers:
                torch._foreach_copy_(self._buffers, buffers_before)
