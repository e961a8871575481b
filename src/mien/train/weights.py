"""Weights of networks as safetensors files: no pickle, and equal weights and metadata give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from mien.errors import ModelError, UsageError
from mien.files import write_atomically

__all__ = ["KIND_KEY", "fill", "read_weights", "weights_of", "write_weights"]

KIND_KEY = "mien.kind"
"""Metadata: what a checkpoint holds, by the name of the recipe's kind."""

# Batch norm counts its batches for a momentum that no network here uses; the files leave it out.
_COUNTER = ".num_batches_tracked"


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """The weights and buffers of a network that a file of it holds, by name."""
    return {name: value for name, value in network.state_dict().items() if not name.endswith(_COUNTER)}


def write_weights(network: nn.Module, path: Path, metadata: Mapping[str, str], *, half: bool = False) -> None:
    """Write a network's weights and metadata as one file, complete or not at all.

    Parameters
    ----------
    network : torch.nn.Module
    path : Path
        Replaced if it exists.
    metadata : mapping of str to str
    half : bool
        Keep the trained weights in half precision (two bytes a weight), enough to export and to fine-tune from. The
        statistics of batch norm, which may be large, stay in float32.

    Raises
    ------
    UsageError
        If a weight is NaN, infinite, or too large for half precision.
    OutputError
        If the file cannot be written.
    """
    trained = {name for name, _ in network.named_parameters()}
    weights = {}
    for name, value in weights_of(network).items():
        dtype = torch.float16 if half and name in trained else torch.float32
        # A copy: safetensors refuses tensors that share memory.
        weights[name] = value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype, copy=True)
        weights[name] = weights[name].contiguous()
        if not bool(torch.isfinite(weights[name]).all()):
            raise UsageError(f"{path}: weight '{name}' is not finite in {dtype}; nothing was written")
    write_atomically(path, _sorted_header(safetensors.torch.save(weights, metadata=dict(metadata))))


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a file by name, floating ones in float32, and its metadata.

    Raises
    ------
    ModelError
        If the file cannot be read, or holds NaN.
    """
    if path.is_dir():
        raise ModelError(f"{path}: is a folder; expected a checkpoint, such as best.safetensors in the folder of a run")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot read the checkpoint as safetensors ({error})") from error
    weights = {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    broken = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ModelError(f"{path}: weights hold NaN or infinity: {broken[:5]}")
    return weights, metadata


def fill(network: nn.Module, weights: Mapping[str, torch.Tensor], path: Path, what: str) -> None:
    """Put weights that were read from `path` into a network, all of them.

    Raises
    ------
    ModelError
        If they are not those of the network, which `what` names.
    """
    try:
        missing, unexpected = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{path}: the weights do not fit {what}: some have another shape") from error
    missing = [name for name in missing if not name.endswith(_COUNTER)]
    if missing or unexpected:
        raise ModelError(f"{path}: the weights do not fit {what}: missing {missing[:5]}, unexpected {unexpected[:5]}")


def _sorted_header(content: bytes) -> bytes:
    """The same safetensors file with sorted metadata: the library writes them in random order."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]
