"""From a recipe to a trained model in a folder."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import import_extra
from mien.train.options import Recipe
from mien.train.result import Progress, RunResult

if TYPE_CHECKING:
    from mien.train.task import Task

__all__ = ["make_task", "train_model"]


def make_task(recipe: Recipe) -> Task:
    """The task of a recipe, by its kind; nothing is read yet."""
    module, _, name = recipe.task.partition(":")
    task: Task = getattr(importlib.import_module(module), name)(recipe)
    return task


def train_model(
    recipe: Recipe, out: str | os.PathLike[str], *, resume: bool = False, progress: Progress | None = None
) -> RunResult:
    """Train the model of a recipe, of any kind, into the folder `out`.

    Parameters
    ----------
    recipe : Recipe
        What is trained, on what, and how.
    out : path
        The run folder. Must not exist or be empty; with `resume` it must hold a run of the same recipe.
    resume : bool
        Go on where the run in the folder stopped.
    progress : callable, optional
        Called with a `Report` every few seconds and after each epoch; what it raises ends the run.

    Raises
    ------
    InputError, ModelError
        If data or weights cannot be read, or do not fit the recipe.
    UsageError, TrainingError, OutputError, Interrupted
        As `mien.train.fit`.
    MissingExtraError
        If torch is not installed, or, for several devices, Lightning.
    """
    for library in ("safetensors", "torch"):
        import_extra("Training", library, "train")
    from mien.train.engine import fit

    return fit(make_task(recipe), recipe, Path(out), resume=resume, progress=progress)
