"""What `mien search` can be told. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from mien.errors import UsageError
from mien.options import check_options, option

__all__ = ["SearchOptions"]


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How a recipe is searched for."""

    trials: int = option(
        20, "Budget: how many recipes are tried, those of a search that goes on counted in.", minimum=1
    )
    total_minutes: float | None = option(
        None, "Budget: minutes of training, over all trials; whichever budget ends first.", minimum=0.0
    )
    folds: int = option(
        5, "Folds of the training split; a dataset with a column 'fold' keeps its own.", minimum=2, maximum=100
    )
    folds_used: int | None = option(
        None,
        "Try a recipe on this many of the folds only: quicker and less sure. By default on all.",
        minimum=1,
    )
    sampler: str = option(
        "tpe",
        "How the next recipe is chosen: by what the ones before scored (Optuna's TPE), or at random.",
        choices=("tpe", "random"),
    )
    prune: bool = option(True, "Give up a trial that is behind the median of the others at the same point.")
    prune_after: int = option(4, "Trials that are finished before one is given up.", minimum=1)

    def __post_init__(self) -> None:
        check_options(self)
        if self.total_minutes is not None and self.total_minutes <= 0:
            raise UsageError(f"total_minutes is {self.total_minutes:g}; expected more than 0")
        if self.folds_used is not None and self.folds_used > self.folds:
            raise UsageError(f"folds_used is {self.folds_used}; expected at most folds, {self.folds}")
