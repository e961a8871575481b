"""Everything a run needs to go on after a kill, as one safetensors file: tensors, and JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from mien.errors import ModelError
from mien.files import parse_json, write_atomically

__all__ = ["load_state", "restore_network", "restore_optimizer", "save_state"]

# Counted up when the file's meaning changes.
_VERSION = 2


def save_state(
    path: Path,
    values: Mapping[str, Any],
    networks: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Write the state; whole or not at all.

    Parameters
    ----------
    path : Path
    values : mapping
        For JSON.
    networks : mapping of str to torch.nn.Module
        Under a name each.
    optimizer : torch.optim.Optimizer
        Its tensors; its settings come from the recipe.
    tensors : mapping of str to tensor
        More of them.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    gathered = dict(tensors)
    for name, network in networks.items():
        gathered |= _network_tensors(network, name)
    gathered |= _optimizer_tensors(optimizer)
    # Copies, since two names may share memory (tied weights).
    flat = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in gathered.items()}
    metadata = {"version": str(_VERSION), "values": json.dumps(values)}
    write_atomically(path, safetensors.torch.save(flat, metadata=metadata))


def load_state(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read what `save_state` wrote.

    Raises
    ------
    ModelError
        If the file is damaged or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copies: a tensor that stays maps the file, and Windows would let nothing be saved in its place.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if metadata.get("version") != str(_VERSION):
            raise ModelError(
                f"{path}: written by another version of mien, which this one cannot continue; start the run anew"
            )
        return parse_json(metadata["values"]), tensors
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as the state of a run ({error}); start the run anew") from error


def restore_network(network: nn.Module, tensors: Mapping[str, torch.Tensor], prefix: str) -> None:
    """Put loaded weights into a network, in place.

    Raises
    ------
    ModelError
        If they are of another network.
    """
    own = network.state_dict()
    for name, value in own.items():
        loaded = tensors.get(f"{prefix}.{name}")
        if loaded is None or loaded.shape != value.shape:
            raise ModelError(f"the run's state does not fit the network: '{name}' is missing or of another shape")
        value.copy_(loaded)


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put loaded tensors into an optimizer, each as its weight lies in memory."""
    weights = _weights(optimizer)
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            weight = weights[int(number)]
            # Adam's step counts stay on the CPU, unless the fused kernel needs them beside the weights.
            scalar = value.ndim == 0 and not optimizer.defaults.get("fused")
            optimizer.state[weight][key] = value if scalar else _laid_out_as(value, weight)


def _network_tensors(network: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """A network's weights and buffers under names that start with `prefix`."""
    return {f"{prefix}.{name}": value for name, value in network.state_dict().items()}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"optimizer.{number}.{key}": value
        for number, weight in enumerate(_weights(optimizer))
        for key, value in optimizer.state[weight].items()
        if isinstance(value, torch.Tensor)
    }


def _weights(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _laid_out_as(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A loaded tensor on the device of another, and in its memory layout where their shapes agree."""
    if value.shape != like.shape:
        return value.to(like.device)
    return torch.empty_like(like, dtype=value.dtype).copy_(value)
