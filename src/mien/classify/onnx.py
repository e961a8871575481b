"""Expression models in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.zoo.card import ModelCard
from mien.zoo.session import open_session
from mien.zoo.store import StoredModel

__all__ = ["OnnxClassifier"]

MAX_BATCH = 32
"""Faces that go through the network at once: more brings no speed and only costs memory."""


class OnnxClassifier:
    """A model of the zoo, ready to run. Safe to call from several threads.

    Parameters
    ----------
    model : StoredModel
        From `mien.zoo.find_model`.
    threads : int
        Threads of one call.
    gpu : bool
        Run on a GPU instead of the CPU.

    Raises
    ------
    ModelError
        If the weights are damaged, are no ONNX model, or do not have the outputs that the card names.
    """

    def __init__(self, model: StoredModel, threads: int = 1, *, gpu: bool = False) -> None:
        self._card = model.card
        self._session = open_session(model, threads, gpu)
        self._outputs = [head.output for head in model.card.heads]

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._card

    def logits(self, batch: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        """Run the network on a batch of shape (N, C, H, W); see `Classifier.logits`."""
        if len(batch) == 0:
            return {head.output: np.zeros((0, len(head.labels)), np.float32) for head in self._card.heads}
        parts = [
            self._session.run(self._outputs, {self._card.input.name: batch[start : start + MAX_BATCH]})
            for start in range(0, len(batch), MAX_BATCH)
        ]
        return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(self._outputs)}
