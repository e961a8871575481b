"""Checkpoints as classifiers: what a network says can be measured before it is exported."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mien.errors import ModelError
from mien.train.checkpoint import make_network, read_checkpoint
from mien.train.machine import torch_threads
from mien.zoo.card import Head, ModelCard
from mien.zoo.store import StoredModel

__all__ = ["TorchClassifier"]

_MAX_BATCH = 256


class TorchClassifier:
    """A checkpoint, run by torch; a `mien.classify.Classifier`.

    Its card is made up from the checkpoint: it is not calibrated yet.

    Parameters
    ----------
    path : Path
        A safetensors file that `mien train` wrote.
    threads : int
        Threads of a call on the CPU.
    gpu : bool
        Run on a GPU.

    Raises
    ------
    ModelError
        If the file is no checkpoint of an expression network, or is damaged.
    """

    def __init__(self, path: Path, threads: int = 1, *, gpu: bool = False) -> None:
        try:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"{path}: cannot read the checkpoint ({error.strerror})") from error
        self._threads = threads
        self._device = torch.device("cuda" if gpu else "cpu")
        found = read_checkpoint(path)
        self._network = make_network(found, path).to(self._device)
        spec = self._network.spec
        card = ModelCard(
            name=path.stem,
            kind="expression",
            summary=f"A checkpoint of {spec.architecture}.",
            file=path.name,
            sha256=sha256,
            licence="",
            training_data=(),
            input=spec.input_spec(),
            heads=tuple(Head(head.output, head.labels) for head in spec.heads),
            parameters=self._network.parameter_count,
            precision="float32",
            made_by="mien train",
            learned_from=found.learned_from,
        )
        self._stored = StoredModel(card, path)

    @property
    def card(self) -> ModelCard:
        """A card made up from the checkpoint."""
        return self._stored.card

    @property
    def stored(self) -> StoredModel:
        """The card with the checkpoint's place."""
        return self._stored

    def logits(self, batch: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        """Run the network on a uint8 batch of shape (N, C, H, W); see `mien.classify.Classifier.logits`."""
        parts: list[list[npt.NDArray[np.float32]]] = [
            [np.zeros((0, len(head.labels)), np.float32)] for head in self.card.heads
        ]
        with torch_threads(self._threads), torch.inference_mode():
            for start in range(0, len(batch), _MAX_BATCH):
                pixels = torch.from_numpy(batch[start : start + _MAX_BATCH]).to(self._device)
                for part, logits in zip(parts, self._network(self._network.normalise(pixels)), strict=True):
                    part.append(logits.float().cpu().numpy())
        return {head.output: np.concatenate(part) for head, part in zip(self.card.heads, parts, strict=True)}
