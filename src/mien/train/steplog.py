"""The losses of an epoch's steps, kept on the device: the host looks at them now and then, not at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mien.errors import TrainingError, warn

__all__ = ["StepLog", "warn_of_divergence"]

# A loss so many times as large as at chance level is neither uncertainty nor noise.
_FAR_WORSE = 2.0


class StepLog:
    """A row of losses and a learning rate for each step of an epoch.

    Parameters
    ----------
    steps : int
        Of an epoch.
    device : torch.device

    Attributes
    ----------
    rates : list of float
        Learning rates of the steps that were done.
    """

    def __init__(self, steps: int, device: torch.device) -> None:
        self.rates: list[float] = []
        self._steps = steps
        self._device = device
        self._keys: list[str] = []
        self._rows = torch.zeros(0, 0, device=device)

    def add(self, losses: Mapping[str, torch.Tensor], rate: float) -> None:
        """Take in the next step's losses, float tensors of shape (); nothing waits for the device."""
        if not self._keys:
            self._keys = list(losses)
            self._rows = torch.zeros(self._steps, len(self._keys), device=self._device)
        self._rows[len(self.rates)].copy_(torch.stack([losses[key].detach().float() for key in self._keys]))
        self.rates.append(rate)

    def rows(self) -> torch.Tensor:
        """A copy of the losses so far, float32 of shape (steps done, number of losses), on the device."""
        return self._rows[: len(self.rates)].clone()

    def means(self, rows: torch.Tensor) -> dict[str, float]:
        """The mean of each loss by its name."""
        return dict(zip(self._keys, rows.double().mean(dim=0).tolist(), strict=True))

    def check(self, rows: torch.Tensor, epoch: int) -> None:
        """Check that the loss of every step is finite.

        Raises
        ------
        TrainingError
            If it is none; `epoch` (from 1), step and learning rate are named.
        """
        loss = rows[:, self._keys.index("loss")]
        bad = (~torch.isfinite(loss)).nonzero()
        if not len(bad):
            return
        step = int(bad[0])
        raise TrainingError(
            f"the loss is {float(loss[step])} in epoch {epoch} at step {step + 1} of {self._steps}, with learning rate "
            f"{self.rates[step]:.3g}; try a lower learning_rate, a smaller clip_norm or more warmup_epochs"
        )

    def check_weights(self, weights: list[torch.Tensor], epoch: int) -> None:
        """Check that the weights are finite after the last step: its loss is of those before.

        Raises
        ------
        TrainingError
            If one is not; `epoch` (from 1), step and learning rate are named.
        """
        norms = torch.stack(torch._foreach_norm(weights))
        if not bool(torch.isfinite(norms).all()):
            raise TrainingError(
                f"the weights are no longer finite numbers after epoch {epoch}, step {len(self.rates)}, at "
                f"learning rate {self.rates[-1]:.3g}; try a lower learning_rate or a smaller clip_norm"
            )

    def restart(self) -> None:
        """Begin a new epoch."""
        self.rates = []

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """What to keep to go on in the middle of an epoch: values for JSON, and tensors."""
        return {"keys": self._keys, "rates": self.rates}, {"log": self._rows} if self._keys else {}

    def load_state(self, values: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        self._keys = list(values["keys"])
        self.rates = list(values["rates"])
        if self._keys:
            self._rows = tensors["log"].to(self._device)


def warn_of_divergence(history: Sequence[Mapping[str, float]], loss: str, guessed: float, rate: float) -> None:
    """Say that the last epoch was far worse than guessing, if it is the first of a run that was.

    Parameters
    ----------
    history : sequence of mapping of str to float
        What is logged of each epoch, the last one included.
    loss : str
        Its name.
    guessed : float
        What guessing would give.
    rate : float
        The recipe's learning rate.
    """
    *before, now = (row[f"train_{loss}"] > _FAR_WORSE * guessed for row in history)
    if now and not any(before):
        warn(
            f"the training loss of epoch {history[-1]['epoch']} is {history[-1][f'train_{loss}']:.2f}, where guessing "
            f"gives {guessed:.2f}: the steps are too large. Try --learning-rate {rate / 10:.3g}"
        )
