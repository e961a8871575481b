"""What `mien search` can be told. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from mien.errors import UsageError
from mien.options import Options, option

__all__ = ["SearchOptions"]


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """How a recipe is searched for."""

    trials: int = option(20, "Budget: how many recipes are tried in all, including those before a --resume.", minimum=1)
    total_minutes: float | None = option(
        None,
        "Budget: minutes of training over all trials. Whichever budget is used up first ends the search.",
        minimum=0.0,
    )
    folds: int = option(
        5, "Folds of the training split; a dataset with a column 'fold' keeps its own.", minimum=2, maximum=100
    )
    folds_used: int | None = option(
        None,
        "Try each recipe on only this many of the folds: faster, but the scores are less certain. By default on all.",
        minimum=1,
    )
    sampler: str = option(
        "tpe",
        "How the next recipe is chosen: by the scores so far (Optuna's TPE), or at random.",
        choices=("tpe", "random"),
    )
    prune: bool = option(True, "Stop a trial early if it is behind the median of the others at the same point.")
    prune_after: int = option(4, "Trials that must be finished before one is stopped early.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.total_minutes is not None and self.total_minutes <= 0:
            raise UsageError(f"total_minutes is {self.total_minutes:g}; expected more than 0")
        if self.folds_used is not None and self.folds_used > self.folds:
            raise UsageError(f"folds_used is {self.folds_used}; expected at most the number of folds, {self.folds}")
