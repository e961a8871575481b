"""What a run tells: while it goes on, and at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Interrupted", "Progress", "Report", "RunResult"]


@dataclass(frozen=True)
class Report:
    """How far a run is.

    Attributes
    ----------
    epoch : int
        The epoch under way, or the one that was just finished, from 1.
    epochs : int or None
        How many there will be; None where the budget is in minutes.
    step, steps : int
        Steps done in this epoch, and all of them.
    progress : float
        Part of the whole budget that is behind, in [0, 1].
    loss : float
        Mean over the epoch so far.
    images_per_s : float
        Over the last moments, all processes together.
    seconds, seconds_left : float
        Since the run began (without pauses), and estimated until its end.
    metrics : mapping of str to float, or None
        At the end of an epoch: everything that is logged of it; None in between.
    metric : str
        The key in `metrics` by which the best epoch is chosen.
    best, best_epoch : float, int
        The best so far and the epoch, from 1, that it belongs to; NaN and 0 before the first validation.
    validating : bool
        The steps of the epoch are done and the network is being validated, which may take a while.
    """

    epoch: int
    epochs: int | None
    step: int
    steps: int
    progress: float
    loss: float
    images_per_s: float
    seconds: float
    seconds_left: float
    metrics: Mapping[str, float] | None
    metric: str
    best: float
    best_epoch: int
    validating: bool = False


Progress = Callable[[Report], None]
"""Called every few seconds, and at the end of every epoch; what it raises ends the run."""


@dataclass(frozen=True)
class RunResult:
    """What came out of a run.

    Attributes
    ----------
    folder : Path
        The run folder, with all that was written.
    metric : str
        The metric by which the best epoch was chosen, such as ``"validation_accuracy"``.
    best : float
        Its best value.
    best_epoch, epochs : int
        The epoch that it belongs to, from 1, and how many were run.
    steps : int
        Updates of the weights, over all epochs.
    seconds : float
        Without pauses between resumed parts.
    best_path, last_path : Path
        Checkpoints of the best and of the last epoch.
    history : tuple of mapping
        A row an epoch, as in ``metrics.csv``.
    stopped_by : str
        ``"budget"`` or ``"early_stop"``.
    """

    folder: Path
    metric: str
    best: float
    best_epoch: int
    epochs: int
    steps: int
    seconds: float
    best_path: Path
    last_path: Path
    history: tuple[Mapping[str, float], ...] = field(repr=False)  # in a notebook, pages of it
    stopped_by: str


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM while training: everything needed to go on is saved.

    Attributes
    ----------
    folder : Path
        The run folder to resume.
    epoch, step : int
        Where it stopped, from 1.
    """

    def __init__(self, folder: Path, epoch: int, step: int) -> None:
        super().__init__(f"stopped in epoch {epoch} after step {step}; {folder} holds all that is needed to go on")
        self.folder = folder
        self.epoch = epoch
        self.step = step
