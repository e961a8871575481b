"""The training loop that all kinds of models share, on Lightning Fabric."""

from __future__ import annotations

from pathlib import Path

from mien.train.options import Recipe
from mien.train.result import Progress, RunResult
from mien.train.task import Task

__all__ = ["fit"]


def fit(
    task: Task, recipe: Recipe, folder: Path, *, resume: bool = False, progress: Progress | None = None
) -> RunResult:
    """Train until the budget is used up; the best and the last weights are kept.

    Parameters
    ----------
    task : Task
        What is trained, on what.
    recipe : Recipe
        Of any kind: its sections optimizer, schedule and run are carried out, all of it is kept in the folder.
    folder : Path
        The run folder. Must not exist or be empty; with `resume` it must hold a run of the same recipe.
    resume : bool
        Go on where the run in the folder stopped. On the CPU the result is the same, bit for bit, as without a stop
        (where the budget is in epochs).
    progress : callable, optional
        Told how far it is; what it raises ends the run.

    Raises
    ------
    UsageError
        If the folder does not fit, or the device that was asked for is not there.
    TrainingError
        If the loss is no number any more; epoch, step and learning rate are named.
    OutputError
        If a file cannot be written (full disk, say); those written before are whole.
    Interrupted
        At Ctrl-C; everything needed to go on is saved.
    """
    raise NotImplementedError
