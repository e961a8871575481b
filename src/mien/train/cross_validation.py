"""Cross-validation: one recipe trained once a fold, each time without that fold, on which it is then measured."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.errors import ModelError, UsageError
from mien.files import make_folder, read_json, write_json
from mien.train.earlier import warn_of_folds
from mien.train.folder import RunFolder, require_same_recipe
from mien.train.folds import FOLDS, fold_numbers, on_fold, open_folds
from mien.train.lock import locked
from mien.train.options import RECIPES, ExpressionRecipe, Recipe
from mien.train.recipe import recipe_from_dict, recipe_to_dict
from mien.train.result import RunResult
from mien.train.several import SeveralProgress, how_to_go_on, no_false_start, require_complete, train_each

__all__ = ["FoldsResult", "cross_validate", "find_fold_runs", "fold_name", "holds_folds", "read_folds"]

FACTS = "folds.json"
"""In the folder of a cross-validation: the recipe, the folds, and at the end the result."""


@dataclass(frozen=True)
class FoldsResult:
    """What came out of a cross-validation.

    Attributes
    ----------
    folder : Path
        It holds the run folder of each fold, ``fold-N``.
    data_path : Path
        The dataset of the faces with their folds, on which `mien.evaluate.evaluate_model` measures `folder`.
    runs : dict of int to RunResult
        The result of each run, by the fold that it did not learn from.
    metric : str
        Such as ``"validation_accuracy"``.
    scores : dict of int to float
        The metric on the fold held out at the end of each run. (Its best epoch was chosen by this very fold, and so
        scores too high.)
    mean, deviation : float
        Mean and standard deviation of the scores.
    """

    folder: Path
    data_path: Path
    runs: dict[int, RunResult]
    metric: str
    scores: dict[int, float]
    mean: float
    deviation: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folder": str(self.folder),
            "data_path": str(self.data_path),
            "metric": self.metric,
            "mean": self.mean,
            "deviation": self.deviation,
            "runs": [
                {
                    "fold": fold,
                    "score": self.scores[fold],
                    "best": run.best,
                    "best_epoch": run.best_epoch,
                    "epochs": run.epochs,
                    "seconds": run.seconds,
                    "last_path": str(run.last_path),
                }
                for fold, run in self.runs.items()
            ],
        }


def cross_validate(
    recipe: Recipe,
    out: str | os.PathLike[str],
    folds: int | None = None,
    *,
    resume: bool = False,
    progress: SeveralProgress | None = None,
) -> FoldsResult:
    """Train a recipe once a fold of its training split, each time without that fold, into a folder ``fold-N`` of `out`.

    Classes are spread evenly over the folds; copies of one picture, and pictures of one person where the dataset knows
    who is on them (the attribute ``person``), lie in one fold. A dataset that has a column ``fold`` keeps its own.
    Rows of other splits are not read.

    Parameters
    ----------
    recipe : Recipe
        Of expressions. ``data.dataset`` and ``data.train_split`` name what is learned from, ``run.seed`` decides the
        folds; what it says of validation does not count.
    out : path
        Must not exist or be empty; with `resume` it must hold folds of the same recipe. Those that are done stay.
    folds : int, optional
        How many, two or more; 5 by default, or those that the dataset has.
    resume : bool
        Go on with the folds in the folder.
    progress : callable, optional
        Called with the fold and a `Report`, every few seconds; what it raises ends the run.

    Raises
    ------
    UsageError
        If the recipe, the number of folds or the folder does not fit.
    MienError, Interrupted
        As `mien.train.train_model`.
    """
    folder = Path(out)
    recipe = _check(recipe, folds)
    if resume:
        began, before = read_folds(folder)
        require_same_recipe(folder, began, recipe)
        if None not in (folds, before) and folds != before:
            raise UsageError(f"{folder}: holds a cross-validation with {before} folds, not {folds}")
    else:
        RunFolder(folder).check_new()
        make_folder(folder)
    with locked(folder, "cross-validation"):
        with contextlib.ExitStack() as stack:
            if not resume:
                stack.enter_context(no_false_start(folder, FACTS, FOLDS))
                # Before the folds, which take a while: a cross-validation that is killed there is one to go on with.
                _write(folder, recipe, None)
            data = open_folds(recipe, folder, 5 if folds is None else folds)
            numbers = fold_numbers(data)
            if folds not in (None, len(numbers)):
                raise UsageError(
                    f"{recipe.data.dataset} has {len(numbers)} folds of its own (its column 'fold'), not {folds}; "
                    f"say {len(numbers)}, or make others with 'mien data split --folds {folds}'"
                )
            warn_of_folds(recipe, data)
            _write(folder, recipe, numbers)
            path = folder / FOLDS
            recipes = {fold: on_fold(recipe, path, fold) for fold in numbers}
            runs = train_each(recipes, {fold: folder / fold_name(fold) for fold in numbers}, progress)
        result = _result(folder, path, runs)
        _write(folder, recipe, numbers, result)
    return result


def holds_folds(folder: Path) -> bool:
    """Whether `cross_validate` has begun in a folder."""
    return (folder / FACTS).is_file()


def read_folds(folder: Path, kinds: Mapping[str, type[Recipe]] = RECIPES) -> tuple[Recipe, int | None]:
    """The recipe that `cross_validate` was given for a folder, and how many folds; None where they are not made yet.

    Raises
    ------
    UsageError
        If there is none, it cannot be read, or the recipe does not fit any more.
    """
    if not holds_folds(folder):
        raise UsageError(f"{folder}: holds no cross-validation to resume (no {FACTS})")
    values = _read(folder)
    try:
        return recipe_from_dict(values["recipe"], kinds), len(values["folds"]) or None
    except UsageError as error:
        raise UsageError(f"{folder / FACTS}: {error}") from error


def find_fold_runs(folder: Path) -> dict[int, RunFolder]:
    """The runs of a cross-validation, by the fold that each did not learn from.

    Raises
    ------
    ModelError
        If one is missing or not complete.
    """
    runs = {fold: RunFolder(folder / fold_name(fold)) for fold in _read(folder)["folds"]}
    if not runs:
        raise ModelError(f"{folder}: no fold is trained yet; {how_to_go_on(folder)}")
    for run in runs.values():
        if not run.recipe.is_file():
            raise ModelError(f"{folder}: lacks {run.path.name}; {how_to_go_on(folder)}")
        require_complete(run, run.last, folder)
    return runs


def fold_name(fold: int) -> str:
    """The folder of a fold's run, in that of all."""
    return f"fold-{fold}"


def _read(folder: Path) -> dict[str, Any]:
    """What the file of a cross-validation holds: ``folds``, ``recipe`` and more (UsageError)."""
    path = folder / FACTS
    values = read_json(path)
    try:
        folds = [int(fold) for fold in values["folds"]]
        return {**values, "folds": folds, "recipe": dict(values["recipe"])}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error


def _write(folder: Path, recipe: Recipe, folds: list[int] | None, result: FoldsResult | None = None) -> None:
    values = {"folds": folds or [], "recipe": recipe_to_dict(recipe)}
    write_json(folder / FACTS, {**values, "result": None if result is None else result.to_dict()})


def _check(recipe: Recipe, folds: int | None) -> ExpressionRecipe:
    if not isinstance(recipe, ExpressionRecipe):
        raise UsageError(f"recipes of kind '{recipe.kind}' cannot be cross-validated; expected kind 'expression'")
    if folds is not None and folds < 2:
        raise UsageError(f"folds is {folds}; expected 2 or more")
    if recipe.data.fold is not None:
        raise UsageError(f"fold is {recipe.data.fold}, which holds out that fold alone; leave it out, or folds")
    if recipe.run.devices * recipe.run.nodes > 1:
        raise UsageError("a cross-validation runs on one device; expected devices and nodes to be 1")
    return recipe


def _result(folder: Path, data: Path, runs: dict[int, RunResult]) -> FoldsResult:
    metric = next(iter(runs.values())).metric
    scores = {fold: float(run.history[-1][metric]) for fold, run in runs.items()}
    return FoldsResult(
        folder, data, runs, metric, scores, statistics.fmean(scores.values()), statistics.stdev(scores.values())
    )
