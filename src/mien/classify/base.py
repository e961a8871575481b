"""What an expression classifier takes and gives."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mien.zoo.card import ModelCard

__all__ = ["Classifier"]


@runtime_checkable
class Classifier(Protocol):
    """A stage that reads expressions. Implementations must be safe to call from several threads."""

    @property
    def card(self) -> ModelCard:
        """The model's card: its preprocessing and what its outputs mean."""
        ...

    def logits(self, batch: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        """Run the network.

        Parameters
        ----------
        batch : array of shape (N, C, H, W)
            As `mien.classify.preprocess` makes it for this card.

        Returns
        -------
        dict of str to float32 array of shape (N, K)
            The logits of each head by the name of its output.
        """
        ...
