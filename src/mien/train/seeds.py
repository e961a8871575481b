"""One recipe trained with several seeds, one run after the other: how much of a score is luck."""

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
from mien.train.folder import MAY_CHANGE, RunFolder, require_same_recipe
from mien.train.options import RECIPES, ExpressionRecipe, Recipe
from mien.train.process import is_first_process
from mien.train.recipe import change_recipe, read_recipe_values, recipe_differences, recipe_from_dict, recipe_to_dict
from mien.train.result import RunResult
from mien.train.several import SeveralProgress, how_to_go_on, no_false_start, require_complete, train_each

__all__ = ["SeedsResult", "find_runs", "holds_seeds", "read_seeds", "run_name", "train_seeds"]

SEEDS = "seeds.json"
"""In the folder of several seeds: the recipe, the seeds, and at the end the result."""
_SEED = "run.seed"
_PLACES = ("data.dataset", "data.validation_data")
_ONLY_SEEDS = "several runs are measured together if only their seeds differ"

_Differences = Mapping[str, tuple[Any, Any]]
"""As `recipe_differences` gives them."""


@dataclass(frozen=True)
class SeedsResult:
    """What came out of several seeds.

    Attributes
    ----------
    folder : Path
        It holds the run folder of each seed, ``seed-N``.
    runs : dict of int to RunResult
        The result of each run, by seed.
    metric : str
        What chose each run's best epoch, such as ``"validation_accuracy"``.
    mean, deviation : float
        Mean of the runs' best values, and their standard deviation.
    """

    folder: Path
    runs: dict[int, RunResult]
    metric: str
    mean: float
    deviation: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folder": str(self.folder),
            "metric": self.metric,
            "mean": self.mean,
            "deviation": self.deviation,
            "runs": [
                {
                    "seed": seed,
                    "best": run.best,
                    "best_epoch": run.best_epoch,
                    "epochs": run.epochs,
                    "seconds": run.seconds,
                    "best_path": str(run.best_path),
                }
                for seed, run in self.runs.items()
            ],
        }


def train_seeds(
    recipe: Recipe,
    out: str | os.PathLike[str],
    count: int | None = None,
    *,
    resume: bool = False,
    progress: SeveralProgress | None = None,
) -> SeedsResult:
    """Train a recipe with several seeds, each into its own folder ``seed-N`` of `out`.

    All runs learn from the same faces and choose their best epoch by the same: where training holds some out or draws
    some, the recipe's seed decides which for all of them (`data_seed`).

    Parameters
    ----------
    recipe : Recipe
        The seeds are its own and the next ones.
    out : path
        Must not exist or be empty; with `resume` it must hold runs of the same recipe. Those that are done stay.
    count : int, optional
        How many seeds, two or more; on resuming by default as many as before, or more.
    resume : bool
        Go on with the runs in the folder: those that are not done, and those that a larger `count` adds.
    progress : callable, optional
        Called with the seed and a `Report`, every few seconds; what it raises ends the run.

    Raises
    ------
    UsageError
        If there are fewer than two seeds, or the folder does not fit.
    MienError, Interrupted
        As `mien.train.train_model`.
    """
    folder = Path(out)
    recipe = _with_its_rows(recipe)
    if recipe.run.nodes > 1:
        raise UsageError(
            f"nodes is {recipe.run.nodes}; several seeds are trained on one machine: give each its own run"
        )
    first = is_first_process(recipe.run)
    seeds = _seeds(recipe, folder, count, resume, first)
    recipes = {seed: change_recipe(recipe, {"seed": seed}) for seed in seeds}
    with contextlib.ExitStack() as stack:
        if first:
            _write(folder, recipe, seeds)
            if not resume:
                stack.enter_context(no_false_start(folder, SEEDS))
        results = train_each(recipes, {seed: folder / run_name(seed) for seed in seeds}, progress)
    result = _result(folder, results)
    if first:
        _write(folder, recipe, seeds, result)
    return result


def holds_seeds(folder: Path) -> bool:
    """Whether `train_seeds` has begun in a folder."""
    return (folder / SEEDS).is_file()


def read_seeds(folder: Path, kinds: Mapping[str, type[Recipe]] = RECIPES) -> tuple[Recipe, int]:
    """The recipe that `train_seeds` was given for a folder, and how many seeds.

    Raises
    ------
    UsageError
        If they cannot be read, or the recipe does not fit any more.
    """
    values = _read(folder)
    try:
        return recipe_from_dict(values["recipe"], kinds), len(values["seeds"])
    except UsageError as error:
        raise UsageError(f"{folder / SEEDS}: {error}") from error


def find_runs(folder: Path) -> dict[int, RunFolder]:
    """The runs of one recipe with several seeds, by seed: what `train_seeds` wrote, or the same by hand.

    Raises
    ------
    ModelError
        If the folder holds something else: fewer than two runs or than `train_seeds` was to train, one that is not
        complete, two with one seed, or runs that differ in more than the seed, or learned from other data.
    """
    if RunFolder(folder).best.is_file():
        raise ModelError(f"{folder}: is the folder of one run; give its checkpoint, {RunFolder(folder).best}")
    runs = [RunFolder(path) for path in sorted(folder.iterdir()) if RunFolder(path).recipe.is_file()]
    if holds_seeds(folder):
        there = {run.path.name for run in runs}
        missing = [name for name in map(run_name, _read(folder)["seeds"]) if name not in there]
        if missing:
            raise ModelError(f"{folder}: lacks {missing[0]}; {how_to_go_on(folder)}")
    if len(runs) < 2:
        raise ModelError(
            f"{folder}: holds {'one run' if runs else 'no run'}; expected a model, or a folder with runs of several "
            "seeds, as 'mien train --seeds' writes it"
        )
    found: dict[int, RunFolder] = {}
    recipes = [read_recipe_values(run.recipe) for run in runs]
    for run, recipe in zip(runs, recipes, strict=True):
        differences = recipe_differences(recipes[0], recipe)
        _require_only_seeds(folder, runs[0], run, differences)
        require_complete(run, run.best, folder if holds_seeds(folder) else run.path)
        _require_same_data(folder, runs[0], run, recipe, differences)
        seed = recipe.get("run", {}).get("seed")
        if seed in found:
            raise ModelError(f"{folder}: {found[seed].path.name} and {run.path.name} have the same seed, {seed}")
        found[seed] = run
    return dict(sorted(found.items()))


def _require_only_seeds(folder: Path, first: RunFolder, run: RunFolder, differences: _Differences) -> None:
    different = next((name for name in differences if name not in (*MAY_CHANGE, _SEED)), None)
    if different is not None:
        before, after = differences[different]
        raise ModelError(
            f"{folder}: holds runs of different recipes: {different} is {before!r} in {first.path.name} and "
            f"{after!r} in {run.path.name}; {_ONLY_SEEDS}"
        )


def _require_same_data(
    folder: Path, first: RunFolder, run: RunFolder, recipe: Mapping[str, Any], differences: _Differences
) -> None:
    if _checksum(run) == _checksum(first):
        return
    moved = [f"{name} is {old!r} and {new!r}" for name, (old, new) in differences.items() if name in _PLACES]
    # Without a seed of their own the faces that are held out are chosen by that of each run.
    if moved or recipe.get("data", {}).get("data_seed") is not None:
        where = moved[0] if moved else "by the checksums in their run.json"
        raise ModelError(
            f"{folder}: {first.path.name} and {run.path.name} learned from different data ({where}); {_ONLY_SEEDS}"
        )


def _checksum(run: RunFolder) -> Any:
    return run.read_record().get("data", {}).get("checksum")


def _read(folder: Path) -> dict[str, Any]:
    """What the file of several seeds holds: ``seeds``, ``recipe`` and more (UsageError)."""
    path = folder / SEEDS
    values = read_json(path)
    try:
        return {**values, "seeds": [int(seed) for seed in values["seeds"]], "recipe": dict(values["recipe"])}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error


def run_name(seed: int) -> str:
    """The folder of a seed's run, in that of all."""
    return f"seed-{seed}"


def _with_its_rows(recipe: Recipe) -> Recipe:
    if isinstance(recipe, ExpressionRecipe) and recipe.data.data_seed is None:
        return change_recipe(recipe, {"data_seed": recipe.run.seed})
    return recipe


def _seeds(recipe: Recipe, folder: Path, count: int | None, resume: bool, first: bool) -> list[int]:
    """Which seeds to train; the first process refuses a folder that holds something else."""
    before = 0
    if resume:
        if not holds_seeds(folder):
            raise UsageError(f"{folder}: holds no runs of several seeds to resume (no {SEEDS})")
        began, before = read_seeds(folder, {**RECIPES, recipe.kind: type(recipe)})
        require_same_recipe(folder, began, recipe)
    elif first:
        RunFolder(folder).check_new()
    count = before if count is None else count
    if count < 2:
        raise UsageError(f"seeds is {count}; expected 2 or more (3 or more say how far a score depends on the seed)")
    if count < before:
        raise UsageError(f"{folder}: holds runs of {before} seeds; expected seeds {before} or more, to add some")
    return list(range(recipe.run.seed, recipe.run.seed + count))


def _write(folder: Path, recipe: Recipe, seeds: list[int], result: SeedsResult | None = None) -> None:
    values = {"seeds": seeds, "recipe": recipe_to_dict(recipe), "result": None if result is None else result.to_dict()}
    make_folder(folder)
    write_json(folder / SEEDS, values)


def _result(folder: Path, runs: dict[int, RunResult]) -> SeedsResult:
    best = [run.best for run in runs.values()]
    metric = next(iter(runs.values())).metric
    return SeedsResult(folder, runs, metric, statistics.fmean(best), statistics.stdev(best))
