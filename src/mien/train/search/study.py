"""Which recipe next: the search itself, by Optuna, in a folder from which it can go on after a kill."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mien.data.dataset import Dataset
from mien.errors import InputError, MienError, MissingExtraError, OutputError, UsageError
from mien.options import given_options
from mien.train.earlier import warn_of_folds
from mien.train.folds import FOLDS, fold_numbers, open_folds
from mien.train.lock import locked
from mien.train.options import ExpressionRecipe, Recipe
from mien.train.recipe import change_recipe, write_recipe
from mien.train.result import Report
from mien.train.search.backend import load_optuna, make_pruner, make_sampler, open_storage
from mien.train.search.folder import holds_search, keep_facts, open_folder, search_facts
from mien.train.search.options import SearchOptions
from mien.train.search.result import SearchReport, SearchResult, Trial, write_result
from mien.train.search.space import Space
from mien.train.search.trial import POINTS, FoldScore, Train, run_trial

__all__ = ["search_recipe"]

_NAME = "mien"
_STUDY, _BEST = "study.db", "best.yaml"
_MOST_FAILURES = 3
# Keys of the attributes that are kept with a trial.
_OWN = "own"  # it is the recipe itself
_SCORES = "folds"  # of its folds
_SECONDS = "seconds"
_NOTE = "note"  # why it failed
_PLACE = "folder"  # number of the folder that it works in
_REPEATS = "repeats"  # number of the trial that it goes on with


class _Pruned(Exception):  # noqa: N818 - no error
    """A trial is given up."""


class _OutOfTime(Exception):  # noqa: N818 - no error
    """The budget in minutes ends in the middle of a trial."""


def search_recipe(
    recipe: Recipe,
    space: Space | Mapping[str, Any],
    out: str | os.PathLike[str],
    options: SearchOptions | None = None,
    *,
    resume: bool = False,
    progress: Callable[[SearchReport], None] | None = None,
    train: Train | None = None,
    **kwargs: Any,
) -> SearchResult:
    """Look for the values of a recipe's fields that score best in cross-validation on the training split.

    The recipe's own values are tried first, where they lie in the space. Each recipe is trained on all folds but one
    and scored on that one by its best epoch, for each fold in turn; copies of one picture never lie in two folds, and
    rows of other splits are never read. The same recipe, space and seed give the same trials, also after a kill (with a
    budget in trials, on the CPU). No recipe is tried twice: where all recipes of the space were, the search ends.

    Parameters
    ----------
    recipe : Recipe
        ``data.dataset`` and ``data.train_split`` name what is learned from; ``run.seed`` is the search's too.
    space : Space or mapping
        What is varied; a mapping is checked as `Space.of` does.
    out : path
        The folder of the search.
    options : SearchOptions, optional
        Or its fields as keywords.
    resume : bool
        Go on with the search in the folder; budgets may differ, nothing else.
    progress : callable, optional
        Called with a `SearchReport` every few seconds.
    train : callable, optional
        Called with the arguments of `mien.train.train_model`, in its place.

    Returns
    -------
    SearchResult
        Also written to ``result.json``; the best recipe to ``best.yaml``, after every trial.

    Raises
    ------
    UsageError
        If the space does not fit the recipe, the folder holds another search, or three trials in a row failed.
    InputError, OutputError
        If the dataset cannot be read, or the folder cannot be written.
    MissingExtraError
        If Optuna is not installed.
    """
    optuna = load_optuna()
    options, out = given_options(SearchOptions, options, kwargs), Path(out)
    space = space if isinstance(space, Space) else Space.of(recipe, space)
    if train is None:
        from mien.train.run import train_model

        train = train_model
    if not isinstance(recipe, ExpressionRecipe):
        raise UsageError(f"recipes of kind '{recipe.kind}' cannot be searched for; expected kind 'expression'")
    if recipe.run.devices * recipe.run.nodes > 1:
        raise UsageError("a search runs on one device; expected devices and nodes to be 1")
    open_folder(out, resume)
    with locked(out, "search"):
        if not holds_search(out):
            (out / FOLDS).unlink(missing_ok=True)  # of one that was cut before it began, perhaps with other data
        data = open_folds(recipe, out, options.folds)
        warn_of_folds(recipe, data)
        facts = search_facts(recipe, space, options, data)
        keep_facts(out, facts)
        storage = open_storage(out / _STUDY)
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=_NAME,
                load_if_exists=True,
                direction="maximize",
                pruner=make_pruner(options),
            )
            return _Search(study, recipe, space, out, options, facts, data, train, progress).run()
        finally:
            storage.remove_session()
            storage.engine.dispose()


class _Search:
    """The state of a search while it runs."""

    def __init__(
        self,
        study: Any,
        recipe: ExpressionRecipe,
        space: Space,
        out: Path,
        options: SearchOptions,
        facts: dict[str, Any],
        data: Dataset,
        train: Train,
        progress: Callable[[SearchReport], None] | None,
    ) -> None:
        self.study = study
        self.recipe = recipe
        self.space = space
        self.out = out
        self.options = options
        self.facts = facts
        self.data = data
        self.train = train
        self.progress = progress
        every = fold_numbers(data)
        self.folds = every[: facts["folds_used"] or len(every)]
        self.metric = self.study.user_attrs.get("metric", "")

    def run(self) -> SearchResult:
        """Try recipes until a budget is used up."""
        self._recover()
        stopped_by, failures = "trials", 0
        while self._finished() < self.options.trials:
            left_s = self._seconds_left()
            if left_s is not None and left_s <= 0:
                stopped_by = "minutes"
                break
            if self.space.count is not None and len(self._tried()) == self.space.count:
                stopped_by = "space"
                break
            state = self._try_next()
            if state == "out of time":
                stopped_by = "minutes"
                break
            failures = failures + 1 if state == "failed" else 0
            if failures == _MOST_FAILURES:
                raise UsageError(f"{failures} trials in a row failed, the last one so: {self._trials()[-1].note}")
            self._write_best()
        result = self.result(stopped_by)
        write_result(result)
        return result

    def _recover(self) -> None:
        """Begin trials again that a kill left running, with the same values and the folds that are done."""
        from optuna.trial import TrialState

        trials = self.study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                self.study.tell(trial.number, state=TrialState.FAIL)
                if set(trial.params) == set(self.space.fields):
                    self._again(trial)
        own = self.space.values_of(self.recipe)
        if not trials and own is not None:
            self.study.enqueue_trial(own, user_attrs={_OWN: True})

    def _again(self, trial: Any) -> None:
        kept = {key: trial.user_attrs[key] for key in (_OWN, _PLACE) if key in trial.user_attrs}
        self.study.enqueue_trial(dict(trial.params), user_attrs={_PLACE: trial.number, **kept, _REPEATS: trial.number})

    def _finished(self) -> int:
        return len(self._trials())

    def _seconds_left(self) -> float | None:
        if self.options.total_minutes is None:
            return None
        return 60 * self.options.total_minutes - sum(trial.seconds for trial in self._trials())

    def _try_next(self) -> str:
        """Try one recipe; returns what became of it."""
        from optuna.trial import TrialState

        trial, values = self._choose()
        folder = self.out / "trials" / f"{trial.user_attrs.get(_PLACE, trial.number):04d}"
        left_s = self._seconds_left()
        scores: list[FoldScore] = []
        spent_s = 0.0

        def watch(fold: int, report: Report) -> None:
            nonlocal spent_s
            spent_s = sum(one.seconds for one in scores) + report.seconds
            self._tell(fold, values, report)
            if left_s is not None and spent_s > left_s:
                raise _OutOfTime

        def at_point(point: int, score: float) -> None:
            trial.report(score, point)
            # At the very end there is nothing left to save.
            if point < POINTS * len(self.folds) and trial.should_prune():
                raise _Pruned

        try:
            tried = change_recipe(self.recipe, values)
            run_trial(
                tried, self.out / FOLDS, self.folds, folder, self.train, scores, at_point=at_point, progress=watch
            )
        except _Pruned:
            self._end(trial, folder, TrialState.PRUNED, spent_s, scores)
            return "pruned"
        except _OutOfTime:
            # What is done stays: the trial goes on if the search gets more time.
            self.study.tell(trial, state=TrialState.FAIL)
            self._again(self.study.get_trials(deepcopy=False)[trial.number])
            return "out of time"
        except (InputError, OutputError, MissingExtraError):
            raise  # of the dataset or the machine, not of the recipe: no other trial would do better
        except (MienError, MemoryError) as error:
            note = (str(error) or type(error).__name__).splitlines()[0]
            self._end(trial, folder, TrialState.FAIL, spent_s, scores, note)
            return "failed"
        self._end(trial, folder, TrialState.COMPLETE, sum(one.seconds for one in scores), scores)
        return "complete"

    def _choose(self) -> tuple[Any, dict[str, Any]]:
        """Ask Optuna for the next trial, with values that were not tried before."""
        from optuna.trial import TrialState

        # The choice depends on what is finished and on nothing else, so that it is the same after a kill.
        finished = self._finished()
        self.study.sampler = make_sampler(self.facts["sampler"], self.facts["seed"], finished)
        trial = self.study.ask()
        values = self.space.suggest(trial)
        known = self._tried()
        if known and self.space.numbers_of(values) in known:
            # It would cost a training and score the same.
            self.study.tell(trial, state=TrialState.FAIL)
            self.study.enqueue_trial(self.space.another(known, self.facts["seed"] + finished))
            trial = self.study.ask()
            values = self.space.suggest(trial)
        return trial, values

    def _tell(self, fold: int, values: dict[str, Any], report: Report) -> None:
        """Pass on how far the training under way is; the first report also says what is measured."""
        if not self.metric:
            self.metric = report.metric
            self.study.set_user_attr("metric", report.metric)
        if self.progress is None:
            return
        finished, best = self._finished(), self._best()
        self.progress(
            SearchReport(
                trial=finished + 1,
                trials=self.options.trials,
                fold=fold + 1,
                folds=len(self.folds),
                values=values,
                report=report,
                best=None if best is None else best.score,
                finished=finished,
            )
        )

    def _end(
        self, trial: Any, folder: Path, state: Any, seconds: float, scores: list[FoldScore], note: str = ""
    ) -> None:
        own = [one.score for one in scores]
        trial.set_user_attr(_SECONDS, round(seconds, 3))
        trial.set_user_attr(_SCORES, own)
        if note:
            trial.set_user_attr(_NOTE, note)
        complete = state.name == "COMPLETE"
        self.study.tell(trial, sum(own) / len(own) if complete else None, state=state)
        shutil.rmtree(folder, ignore_errors=True)

    def _trials(self) -> list[Trial]:
        """The trials, numbered anew, without those that were begun again or repeated another one."""
        from optuna.trial import TrialState

        names = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
        stored = self.study.get_trials(deepcopy=False)
        repeated = {trial.user_attrs.get(_REPEATS) for trial in stored}
        found: list[Trial] = []
        for trial in stored:
            # A trial that failed by itself says why; one that was cut off goes on as another, or was one too many.
            cut_off = trial.state == TrialState.FAIL and _NOTE not in trial.user_attrs
            if trial.state not in names or cut_off or trial.number in repeated:
                continue
            own = "the recipe itself" if trial.user_attrs.get(_OWN) else ""
            found.append(
                Trial(
                    len(found),
                    names[trial.state],
                    None if trial.state == TrialState.FAIL else trial.value,
                    tuple(trial.user_attrs.get(_SCORES, ())),
                    dict(trial.params),
                    float(trial.user_attrs.get(_SECONDS, 0.0)),
                    trial.user_attrs.get(_NOTE, own),
                )
            )
        return found

    def _tried(self) -> set[tuple[int, ...]]:
        """Which recipes were tried, of a space that can be counted."""
        if self.space.count is None:
            return set()
        return {self.space.numbers_of(trial.values) for trial in self._trials()}

    def _best(self) -> Trial | None:
        complete = [trial for trial in self._trials() if trial.state == "complete" and trial.score is not None]
        return max(complete, key=lambda trial: trial.score or 0.0, default=None)

    def _write_best(self) -> None:
        best = self._best()
        if best is not None:
            write_recipe(change_recipe(self.recipe, best.values), self.out / _BEST)

    def result(self, stopped_by: str) -> SearchResult:
        """What is known so far."""
        self._write_best()
        trials, best = self._trials(), self._best()
        return SearchResult(
            folder=self.out,
            metric=self.metric,
            trials=tuple(trials),
            best=best,
            recipe_path=None if best is None else self.out / _BEST,
            importances=self._importances(),
            space=self.space.to_dict(),
            folds=len(self.folds),
            rows=len(self.data),
            seconds=round(sum(trial.seconds for trial in trials), 1),
            stopped_by=stopped_by,
        )

    def _importances(self) -> dict[str, float]:
        import optuna

        complete = [trial for trial in self._trials() if trial.state == "complete"]
        if len(complete) < 4 or len({trial.score for trial in complete}) < 2:
            return {}
        found = optuna.importance.get_param_importances(
            self.study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=self.facts["seed"])
        )
        return {name: round(float(value), 4) for name, value in found.items()}
