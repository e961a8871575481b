"""Several trainings of one recipe, one after the other, each in its own folder: with several seeds, or on folds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mien.errors import MienError, ModelError
from mien.shell import shell_words
from mien.train.folder import RunFolder
from mien.train.lock import LOCK
from mien.train.options import Recipe
from mien.train.result import Progress, Report, RunResult
from mien.train.run import train_model

__all__ = ["SeveralProgress", "how_to_go_on", "no_false_start", "require_complete", "train_each"]

SeveralProgress = Callable[[int, Report], None]
"""Told which run is under way, by its seed or its fold, and how far it is."""


def train_each(
    recipes: Mapping[int, Recipe], folders: Mapping[int, Path], progress: SeveralProgress | None = None
) -> dict[int, RunResult]:
    """Train recipes in turn, and go on where that was stopped: what is done stays, what was begun goes on.

    Parameters
    ----------
    recipes : mapping of int to Recipe
        By the number of the run, such as its seed.
    folders : mapping of int to Path
        Of the runs, by the same numbers.
    progress : callable, optional
        Called with the number and a `Report`, every few seconds; what it raises ends the run.

    Raises
    ------
    MienError, Interrupted
        As `mien.train.train_model`.
    """
    # Looked up before the first run begins, so that all of its processes come to the same answer.
    runs = {number: RunFolder(folder) for number, folder in folders.items()}
    ended = {number: run.finished_result() for number, run in runs.items()}
    begun = {number: run.recipe.is_file() for number, run in runs.items()}
    results = {}
    for number, run in runs.items():
        done = ended[number]
        if done is not None:
            run.check_resume(recipes[number])
        else:
            done = train_model(recipes[number], run.path, resume=begun[number], progress=_for(number, progress))
        results[number] = done
    return results


@contextlib.contextmanager
def no_false_start(folder: Path, *names: str) -> Iterator[None]:
    """Where an error comes before any run has begun, leave nothing behind, so that the command can be given again.

    Parameters
    ----------
    folder : Path
        Of all runs.
    *names : str
        The files in it that are made before the runs.
    """
    try:
        yield
    except MienError:
        ours = {LOCK, *names}
        if all(file.name in ours for file in folder.iterdir()):
            for name in ours:
                (folder / name).unlink(missing_ok=True)
        raise


def require_complete(run: RunFolder, checkpoint: Path, whole: Path) -> None:
    """Refuse a run that has not come to its end, or lost its checkpoint; `whole` is what to resume (ModelError)."""
    if run.finished_result() is None:
        raise ModelError(f"{run.path}: this run is not complete; {how_to_go_on(whole)}")
    if not checkpoint.is_file():
        raise ModelError(f"{checkpoint}: no such file, although its run is complete; train it again")


def how_to_go_on(place: Path) -> str:
    """The command that continues what is in a folder."""
    return f"continue with: mien train --resume --out {shell_words(str(place))}"


def _for(number: int, progress: SeveralProgress | None) -> Progress | None:
    return None if progress is None else lambda report: progress(number, report)
