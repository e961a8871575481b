"""Checkpoints of networks as safetensors: weights, what is needed to build the network again, and no pickle."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from mien.errors import MienError, ModelError, UsageError
from mien.files import parse_json
from mien.train.architectures import (
    FER7_HEAD,
    FERPLUS_HEAD,
    ExpressionNetwork,
    HeadSpec,
    NetworkSpec,
    build_network,
    list_architectures,
    make_spec,
)
from mien.train.narrow import can_narrow, narrowed
from mien.train.weights import KIND_KEY, fill, read_weights, write_weights
from mien.zoo.card import LearnedFrom

__all__ = [
    "LEARNED_KEY",
    "SPEC_KEY",
    "Checkpoint",
    "Start",
    "load_checkpoint",
    "make_network",
    "read_checkpoint",
    "save_checkpoint",
    "start_from",
]

SPEC_KEY = "mien.network"
"""In a checkpoint's metadata: the specification of the network, as JSON."""

LEARNED_KEY = "mien.learned_from"
"""In a checkpoint's metadata: what it was trained on."""

_OLD_INPUT = re.compile(r"1x(\d+)x(\d+) gray in \[0,1\], then \(x-([0-9.e-]+)\)/([0-9.e-]+)")
_OLD_NAMES = {"features.": "backbone.features.", "fer_head.": "heads.0.", "ferplus_head.": "heads.1."}
_ITS_OWN = "the network that the metadata tell of"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes
    ----------
    spec : NetworkSpec
        What is needed to build the network.
    weights : dict of str to tensor
        By the names of `ExpressionNetwork`; floating ones in float32.
    extra : dict of str to str
        What the writer added: where the weights come from, what they score.
    learned_from : LearnedFrom or None
        The split that it was trained on, where that was kept.
    """

    spec: NetworkSpec
    weights: dict[str, torch.Tensor]
    extra: dict[str, str]
    learned_from: LearnedFrom | None = None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint without building its network.

    Parameters
    ----------
    path : Path
        A file of `save_checkpoint`, or one from before there was a registry of architectures (its metadata hold
        ``widths``, ``convs_per_stage`` and ``input``).

    Raises
    ------
    ModelError
        If the file cannot be read, is no checkpoint of an expression network, or holds NaN.
    """
    weights, metadata = read_weights(path)
    kind = metadata.pop(KIND_KEY, None)
    if kind not in (None, "expression"):
        raise ModelError(f"{path}: this is a checkpoint of kind '{kind}'; expected 'expression'")
    if "widths" in metadata and SPEC_KEY not in metadata:
        return _old(path, metadata, weights)
    try:
        spec = NetworkSpec.from_dict(parse_json(metadata.pop(SPEC_KEY)))
    except (KeyError, ValueError, UsageError) as error:
        raise ModelError(
            f"{path}: no checkpoint of an expression network ({error}); expected one that 'mien train' wrote"
        ) from error
    learned = metadata.pop(LEARNED_KEY, None)
    return Checkpoint(spec, weights, metadata, None if learned is None else LearnedFrom.from_json(learned, str(path)))


class Start(NamedTuple):
    """What a network took from the checkpoint that it starts from.

    Attributes
    ----------
    labels : dict of str to tuple of str
        For each output of the network the labels whose rows were copied. Empty where no head of the checkpoint has any
        of them, or where it reads another number of features (without a global average they depend on the image size).
    learned_from : LearnedFrom or None
        As the checkpoint has it.
    """

    labels: dict[str, tuple[str, ...]]
    learned_from: LearnedFrom | None


def load_checkpoint(path: str | os.PathLike[str]) -> ExpressionNetwork:
    """Build the network of a checkpoint, with its weights, in float32 and in evaluation mode.

    It is the network as it is used: branches that it was trained with are folded (`ExpressionNetwork.fold`).

    Parameters
    ----------
    path : path
        A file of `save_checkpoint`, such as ``best.safetensors`` in a run folder.

    Raises
    ------
    ModelError
        If the file cannot be read, is no checkpoint of an expression network, or its weights do not fit.
    """
    path = Path(path)
    return make_network(read_checkpoint(path), path)


def make_network(found: Checkpoint, path: Path) -> ExpressionNetwork:
    """Build the network of a checkpoint that was read from `path`; as `load_checkpoint`."""
    try:
        network = build_network(found.spec)
    except UsageError as error:
        raise ModelError(f"{path}: its network cannot be built: {error}") from error
    fill(network, found.weights, path, _ITS_OWN)
    network.fold()
    return network.eval()


def start_from(network: ExpressionNetwork, path: Path) -> Start:
    """Copy the backbone of a checkpoint, and what it knows of a network's labels, into that network: to fine-tune from.

    Labels go by their names: each head takes the rows of its labels from that head of the checkpoint which has most of
    them. Other labels keep the rows that they have.

    Parameters
    ----------
    network : ExpressionNetwork
        Its backbone must be that of the checkpoint, or a narrower one of the same plain kind, into which the channels
        that matter most are copied (`mien.train.narrow`); size, normalisation and heads may differ. Branches of the
        checkpoint (the option ``repvgg``) are folded if the network has none.
    path : Path
        The checkpoint.

    Raises
    ------
    ModelError
        If the file cannot be read or is of another network.
    """
    found = read_checkpoint(path)
    if found.spec.options.get("repvgg") and not network.spec.options.get("repvgg"):
        folded = make_network(found, path)
        found = replace(found, spec=folded.spec, weights=folded.state_dict())
    if can_narrow(found.spec, network.spec):
        found = replace(found, weights=narrowed(found.weights, network.spec))
    mine = network.state_dict()
    copied = {name: value for name, value in found.weights.items() if name.startswith("backbone.")}
    differs = [name for name, value in copied.items() if name not in mine or mine[name].shape != value.shape]
    if differs or not any(name.startswith("backbone.") for name in copied):
        theirs, ours = found.spec, network.spec
        what_to_do = "start from a checkpoint of the same architecture"
        if ours.options.get("repvgg"):
            what_to_do += " that was trained with repvgg, too, or leave the branches out with repvgg=false"
        raise ModelError(
            f"{path}: holds a network '{theirs.architecture}' ({theirs.channels}, {theirs.size_px} px), "
            f"whose weights do not fit '{ours.architecture}' ({ours.channels}, {ours.size_px} px), "
            f"for example {', '.join(differs[:3]) or 'all'}; {what_to_do}"
        )
    known = {}
    for number, head in enumerate(network.spec.heads):
        own = {name: value for name, value in mine.items() if name.startswith(f"heads.{number}.")}
        known[head.output], tensors = _known_rows(head, f"heads.{number}.", own, found)
        copied |= tensors
    fill(network, {name: value for name, value in mine.items() if name.startswith("heads.")} | copied, path, _ITS_OWN)
    return Start(known, found.learned_from)


def _known_rows(
    head: HeadSpec, prefix: str, own: dict[str, torch.Tensor], found: Checkpoint
) -> tuple[tuple[str, ...], dict[str, torch.Tensor]]:
    """The labels of a head that a checkpoint knows, and the head's tensors with the checkpoint's rows for them."""

    def known_by(other: HeadSpec) -> tuple[str, ...]:
        return tuple(label for label in head.labels if label in other.labels)

    heads = found.spec.heads
    best = max(range(len(heads)), key=lambda number: (len(known_by(heads[number])), heads[number] == head, -number))
    source = heads[best]
    labels = known_by(source)
    target_rows = [head.labels.index(label) for label in labels]
    source_rows = [source.labels.index(label) for label in labels]
    tensors = {}
    for name, value in own.items():
        theirs = found.weights.get(f"heads.{best}.{name.removeprefix(prefix)}")
        if theirs is None or theirs.shape != (len(source.labels), *value.shape[1:]):
            return (), {}
        tensors[name] = value.clone()
        tensors[name][target_rows] = theirs[source_rows]
    return labels, tensors


def save_checkpoint(
    network: ExpressionNetwork, path: Path, *, half: bool = True, extra: Mapping[str, str] | None = None
) -> None:
    """Write a checkpoint, whole or not at all.

    Parameters
    ----------
    network : ExpressionNetwork
        With its weights and its specification.
    path : Path
        Replaced if it exists.
    half : bool
        Keep the trained weights in half precision, enough to export and to fine-tune from.
    extra : mapping of str to str, optional
        More metadata, such as where the weights come from.

    Raises
    ------
    UsageError
        If a weight is NaN, infinite, or too large for half precision.
    OutputError
        If the file cannot be written.
    """
    metadata = {**(extra or {}), KIND_KEY: "expression", SPEC_KEY: json.dumps(network.spec.to_dict())}
    write_weights(network, path, metadata, half=half)


def _old(path: Path, metadata: dict[str, str], weights: dict[str, torch.Tensor]) -> Checkpoint:
    """The first checkpoints of the project: plain networks with two heads."""
    try:
        layers: dict[str, object] = {
            "widths": tuple(int(width) for width in metadata["widths"].split(",")),
            "convs_per_stage": int(metadata["convs_per_stage"]),
        }
        match = _OLD_INPUT.fullmatch(metadata["input"])
        if match is None or match[1] != match[2]:
            raise ValueError(f"input is '{metadata['input']}'")
        same = [name for name, card in list_architectures().items() if layers.items() <= dict(card.options).items()]
        spec = make_spec(
            same[0] if same else "plain",
            (FER7_HEAD, FERPLUS_HEAD),
            size_px=int(match[1]),
            mean=float(match[3]),
            std=float(match[4]),
            options={**layers, "blur_pools": 0, "repvgg": False},
        )
    except (KeyError, ValueError, MienError) as error:
        raise ModelError(
            f"{path}: no checkpoint of a plain network ({error}); expected the metadata 'widths', "
            "'convs_per_stage' and 'input' (1xSxS gray in [0,1], then (x-MEAN)/STD), and two heads"
        ) from error
    renamed = {}
    for name, value in weights.items():
        old = next((prefix for prefix in _OLD_NAMES if name.startswith(prefix)), "")
        renamed[_OLD_NAMES.get(old, "") + name.removeprefix(old)] = value
    return Checkpoint(spec, renamed, {})
