"""What a search tells: while it goes on, and at its end, with the files that keep it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.files import write_json
from mien.train.result import Report

__all__ = ["SearchReport", "SearchResult", "Trial", "write_result"]


@dataclass(frozen=True)
class SearchReport:
    """How far a search is.

    Attributes
    ----------
    trial, trials : int
        The one under way, from 1, and the budget.
    fold, folds : int
        The one under way, from 1, and how many.
    values : dict
        What the trial varies.
    report : Report
        Of the training under way.
    best : float or None
        Of the trials that are complete.
    finished : int
        Trials that are complete, pruned or failed.
    """

    trial: int
    trials: int
    fold: int
    folds: int
    values: dict[str, Any]
    report: Report
    best: float | None
    finished: int


@dataclass(frozen=True)
class Trial:
    """One recipe that was tried.

    Attributes
    ----------
    number : int
        From 0, in the order in which they were begun.
    state : str
        ``"complete"``, ``"pruned"`` (given up, since it was behind the others) or ``"failed"``.
    score : float or None
        Mean over the folds; of what was done where it was pruned; None where it failed.
    folds : tuple of float
        The score on each fold that was finished.
    values : dict
        Of the fields that are varied.
    seconds : float
        Of training.
    note : str
        Why it failed; "the recipe itself" for the one that the search started from.
    """

    number: int
    state: str
    score: float | None
    folds: tuple[float, ...]
    values: dict[str, Any]
    seconds: float
    note: str = ""

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the folds; None for fewer than two."""
        if len(self.folds) < 2:
            return None
        return statistics.stdev(self.folds)


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    folder : Path
        The folder of the search.
    metric : str
        What the score is, such as ``"validation_accuracy"``; the mean over the folds of each one's best epoch.
    trials : tuple of Trial
        In the order in which they were begun.
    best : Trial or None
        The complete one with the highest score.
    recipe_path : Path or None
        The best recipe, ready for `mien train`.
    importances : dict of str to float
        How much of the scores' spread each field explains, summing to 1 (fANOVA; Hutter et al., 2014); empty
        where too few trials are complete.
    space : dict
        What was varied.
    folds : int
        How many each recipe was tried on.
    rows : int
        Of the training split.
    seconds : float
        Of training, over all trials.
    stopped_by : str
        ``"trials"``, ``"minutes"``, or ``"space"``: each recipe that it holds was tried.
    """

    folder: Path
    metric: str
    trials: tuple[Trial, ...] = field(repr=False)  # in a notebook, pages of them
    best: Trial | None
    recipe_path: Path | None
    importances: dict[str, float]
    space: dict[str, Any]
    folds: int
    rows: int
    seconds: float
    stopped_by: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values |= {
            "folder": str(self.folder),
            "recipe_path": None if self.recipe_path is None else str(self.recipe_path),
            "trials": [_plain(trial) for trial in self.trials],
            "best": None if self.best is None else _plain(self.best),
        }
        return values


def _plain(trial: Trial) -> dict[str, Any]:
    return {**vars(trial), "folds": list(trial.folds), "deviation": trial.deviation}


def write_result(result: SearchResult) -> None:
    """Write ``result.json`` into the search's folder, whole or not at all (OutputError)."""
    write_json(result.folder / "result.json", result.to_dict())
