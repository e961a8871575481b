"""Checkpoints of networks as safetensors: weights and the numbers to rebuild the network, and no pickle."""

from __future__ import annotations

import json
import re
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from mien.errors import ModelError, UsageError
from mien.files import write_atomically
from mien.train.architectures import PlainConfig, PlainNet

__all__ = ["load_checkpoint", "save_checkpoint"]

_INPUT = re.compile(r"1x(\d+)x(\d+) gray in \[0,1\], then \(x-([0-9.e-]+)\)/([0-9.e-]+)")
# Batch norm counts its batches for a momentum that these networks do not use; the files leave it out.
_COUNTER = ".num_batches_tracked"


def load_checkpoint(path: Path) -> PlainNet:
    """Build the network of a checkpoint, with its weights, in float32 and in evaluation mode.

    Parameters
    ----------
    path : Path
        A safetensors file whose metadata hold ``widths`` ("64,128"), ``convs_per_stage`` ("2") and ``input``
        ("1x48x48 gray in [0,1], then (x-0.5077)/0.255").

    Raises
    ------
    ModelError
        If the file cannot be read, is no checkpoint of this architecture, or its weights do not fit.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot read the checkpoint as safetensors ({error})") from error
    network = PlainNet(_config(path, metadata, weights))
    try:
        missing, unexpected = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{path}: the weights do not fit the network that the metadata tell of") from error
    missing = [name for name in missing if not name.endswith(_COUNTER)]
    if missing or unexpected:
        raise ModelError(
            f"{path}: the weights do not fit the network that the metadata tell of: "
            f"missing {missing}, unexpected {unexpected}"
        )
    broken = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ModelError(f"{path}: weights hold NaN or infinity: {broken}")
    return network.eval()


def save_checkpoint(network: PlainNet, path: Path, *, half: bool = True) -> None:
    """Write weights and metadata as one safetensors file, complete or not at all.

    Parameters
    ----------
    network : PlainNet
        What to keep.
    path : Path
        File to write; replaced if it exists.
    half : bool
        Keep half precision (two bytes a weight), enough to export and to fine-tune from.

    Raises
    ------
    UsageError
        If a weight is NaN, infinite, or too large for half precision.
    """
    config = network.config
    dtype = torch.float16 if half else torch.float32
    weights = {
        name: value.detach().cpu().to(dtype).contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith(_COUNTER)
    }
    for name, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise UsageError(f"{path}: weight '{name}' is not finite in {dtype}; nothing was written")
    metadata = {
        "widths": ",".join(map(str, config.widths)),
        "convs_per_stage": str(config.convs_per_stage),
        "input": f"1x{config.size_px}x{config.size_px} gray in [0,1], then (x-{config.mean})/{config.std}",
    }
    content = _sorted_header(safetensors.torch.save(weights, metadata=metadata))
    write_atomically(path, content)


def _sorted_header(content: bytes) -> bytes:
    """The same safetensors file with sorted metadata: the library writes them in random order."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _config(path: Path, metadata: dict[str, str], weights: dict[str, torch.Tensor]) -> PlainConfig:
    try:
        widths = tuple(int(width) for width in metadata["widths"].split(","))
        convs_per_stage = int(metadata["convs_per_stage"])
        match = _INPUT.fullmatch(metadata["input"])
        if match is None or match[1] != match[2]:
            raise ValueError(f"input is '{metadata['input']}'")
        return PlainConfig(
            widths=widths,
            convs_per_stage=convs_per_stage,
            size_px=int(match[1]),
            mean=float(match[3]),
            std=float(match[4]),
            fer7_classes=len(weights["fer_head.bias"]),
            ferplus_classes=len(weights["ferplus_head.bias"]),
        )
    except (KeyError, ValueError, UsageError) as error:
        raise ModelError(
            f"{path}: no checkpoint of a plain network ({error}); expected the metadata 'widths', "
            "'convs_per_stage' and 'input' (1xSxS gray in [0,1], then (x-MEAN)/STD), and two heads"
        ) from error
