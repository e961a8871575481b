"""One device and one process: what the engine asks of Lightning Fabric, without the seconds that importing it takes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

__all__ = ["SingleDevice"]


class SingleDevice:
    """Stands in for `lightning.fabric.Fabric` where there is nothing to share.

    Parameters
    ----------
    device : torch.device
    half : bool
        Networks compute in bfloat16 where that is allowed (autocast); weights and outputs are float32.
    """

    world_size = 1
    global_rank = 0
    is_global_zero = True

    def __init__(self, device: torch.device, *, half: bool) -> None:
        self.device = device
        self._half = half

    def broadcast(self, value: Any) -> Any:
        """A value of the first process, in all processes."""
        return value

    def autocast(self) -> AbstractContextManager[Any]:
        """In which a network that was not set up computes as one that was."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half)

    def setup(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """A network that is on its device already, compiled or not, and its optimizer, ready to be trained."""
        return (_Half(network, self) if self._half else network), optimizer

    def backward(self, loss: torch.Tensor) -> None:
        """Find the gradients of a loss."""
        loss.backward()  # type: ignore[no-untyped-call]


class _Half(nn.Module):
    """A network under autocast, with float32 outputs."""

    def __init__(self, network: nn.Module, single: SingleDevice) -> None:
        super().__init__()
        self._network = network
        self._single = single

    def forward(self, *inputs: Any) -> Any:
        with self._single.autocast():
            outputs = self._network(*inputs)
        return _single_precision(outputs)


def _single_precision(outputs: Any) -> Any:
    """A tensor, or a tuple of them, as float32."""
    return outputs.float() if isinstance(outputs, torch.Tensor) else tuple(map(_single_precision, outputs))
