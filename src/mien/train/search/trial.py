"""One recipe on the folds: trained on all but one, measured on that one, for each in turn."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.errors import MienWarning, ModelError, UsageError
from mien.files import make_folder, read_json, write_json
from mien.train.folder import RunFolder
from mien.train.folds import on_fold
from mien.train.options import ExpressionRecipe, Recipe
from mien.train.recipe import change_recipe
from mien.train.result import Progress, Report, RunResult

__all__ = ["FoldScore", "Train", "run_trial"]

POINTS = 10
"""At so many points of a fold's training a trial is held against others, whatever its budget is made of."""

Train = Callable[..., RunResult]
"""`mien.train.train_model`, or what stands in for it."""


@dataclass(frozen=True)
class FoldScore:
    """What a recipe scored on one fold.

    Attributes
    ----------
    score : float
        The best epoch's metric on the fold that was held out.
    epoch : int
        That epoch, from 1.
    seconds : float
        Of training.
    """

    score: float
    epoch: int
    seconds: float


def run_trial(
    recipe: ExpressionRecipe,
    data: Path,
    folds: list[int],
    folder: Path,
    train: Train,
    scores: list[FoldScore],
    *,
    at_point: Callable[[int, float], None],
    progress: Callable[[int, Report], None],
) -> None:
    """Cross-validate a recipe. What is finished is kept in the folder: a trial that was killed goes on where it was.

    Parameters
    ----------
    recipe : ExpressionRecipe
    data : Path
        A dataset with the column ``fold``.
    folds : list of int
        Those that are held out, in turn.
    folder : Path
    train : callable
    scores : list of FoldScore
        Filled, fold by fold.
    at_point : callable
        Told the number of a point (see `POINTS`, counted over the folds) and the mean score so far; what it raises ends
        the trial.
    progress : callable
        Told the place of the fold in `folds`, and how far its training is.
    """
    for place, fold in enumerate(folds):
        kept, run = folder / f"fold-{fold}.json", folder / f"fold-{fold}"
        score = _read(kept)
        if score is None:
            before, point = [one.score for one in scores], 0

            def watch(report: Report, place: int = place, before: list[float] = before) -> None:
                nonlocal point
                progress(place, report)
                reached = int(POINTS * report.progress + 1e-9)
                # The end of a fold is told below, with its final score.
                if report.metrics is not None and point < reached < POINTS and report.best_epoch:
                    point = reached
                    at_point(place * POINTS + reached, float(np.mean([*before, report.best])))

            tried = change_recipe(on_fold(recipe, data, fold), {"loggers": ("csv",)})
            score = _train(tried, run, train, watch)
            make_folder(folder)
            write_json(kept, vars(score))
        shutil.rmtree(run, ignore_errors=True)
        scores.append(score)
        at_point((place + 1) * POINTS, float(np.mean([one.score for one in scores])))


def _train(recipe: Recipe, folder: Path, train: Train, progress: Progress) -> FoldScore:
    resume = RunFolder(folder).recipe.is_file()
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    with warnings.catch_warnings():
        # A search tries learning rates that are too high, too; its table tells.
        warnings.filterwarnings("ignore", "the training loss of epoch", MienWarning)
        result = train(recipe, folder, resume=resume, progress=progress)
    return FoldScore(result.best, result.best_epoch, result.seconds)


def _read(path: Path) -> FoldScore | None:
    if not path.exists():
        return None
    try:
        return FoldScore(**read_json(path))
    except (UsageError, TypeError) as error:
        raise ModelError(f"{error}; remove {path} to train that fold again") from error
