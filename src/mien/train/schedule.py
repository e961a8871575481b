"""How long a run lasts and which learning rate it has when. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mien.train.options import ScheduleOptions

__all__ = ["Budget", "LearningRate"]

# One-cycle starts and ends there, as shares of the peak (Smith and Topin, "Super-convergence", 2018).
_CYCLE_START = 1 / 25


class Budget:
    """How much of a run is behind: in epochs, or in minutes.

    Attributes
    ----------
    epochs : int or None
        How many there will be; None where the budget is in minutes.
    reserved_s : float
        Of a budget in minutes, what the last validation will take: training ends by so much earlier.
    """

    def __init__(self, options: ScheduleOptions, steps_per_epoch: int) -> None:
        self.reserved_s = 0.0
        self.epochs = options.epochs if options.minutes is None else None
        self._seconds = None if options.minutes is None else 60.0 * options.minutes
        self._steps = options.epochs * steps_per_epoch

    def progress(self, steps_done: int, seconds: float) -> float:
        """The part that is behind, in [0, 1]."""
        if self._seconds is None:
            return min(steps_done / self._steps, 1.0)
        return min(seconds / (self._seconds - min(self.reserved_s, 0.5 * self._seconds)), 1.0)


class LearningRate:
    """The learning rate of each step.

    Parameters
    ----------
    options : ScheduleOptions
    rate : float
        The largest.
    steps_per_epoch : int
    """

    def __init__(self, options: ScheduleOptions, rate: float, steps_per_epoch: int) -> None:
        self._options = options
        self._rate = rate
        self._warmup_steps = options.warmup_epochs * steps_per_epoch
        self._factor = 1.0
        self._best = -math.inf
        self._worse_epochs = 0

    def at(self, progress: float, steps_done: int) -> float:
        """The learning rate of the step that comes next.

        Parameters
        ----------
        progress : float
            Part of the budget that is behind, in [0, 1].
        steps_done : int
            In the whole run.
        """
        kind = self._options.schedule
        if kind == "one-cycle":
            peak = self._options.peak_share
            if progress < peak:
                return self._rate * (_CYCLE_START + (1 - _CYCLE_START) * _half_wave(1 - progress / peak))
            return self._rate * _half_wave((progress - peak) / (1 - peak))
        rate = self._rate * min(1.0, (steps_done + 1) / max(self._warmup_steps, 1.0))
        if kind == "cosine":
            return rate * _half_wave(progress)
        return rate * self._factor

    def epoch_done(self, metric: float) -> None:
        """Hear how good the epoch was; matters for plateau only."""
        if self._options.schedule != "plateau":
            return
        if metric > self._best:
            self._best = metric
            self._worse_epochs = 0
            return
        self._worse_epochs += 1
        if self._worse_epochs >= self._options.plateau_patience:
            self._factor *= self._options.plateau_factor
            self._worse_epochs = 0

    def state(self) -> dict[str, float]:
        """What to keep to go on later."""
        best = self._best if math.isfinite(self._best) else None
        return {"factor": self._factor, "worse_epochs": self._worse_epochs, **({} if best is None else {"best": best})}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._factor = float(state["factor"])
        self._worse_epochs = int(state["worse_epochs"])
        self._best = float(state.get("best", -math.inf))


def _half_wave(part: float) -> float:
    """From 1 at 0 down to 0 at 1, as a cosine."""
    return 0.5 * (1 + math.cos(math.pi * min(max(part, 0.0), 1.0)))
