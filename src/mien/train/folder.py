"""The folder of a run: its files, and whether a run may begin or go on there."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mien.errors import UsageError
from mien.files import read_json, write_atomically, write_json
from mien.train.lock import LOCK, locked
from mien.train.options import RECIPES, Recipe
from mien.train.recipe import read_recipe, recipe_differences, recipe_to_dict
from mien.train.result import RunResult

__all__ = ["MAY_CHANGE", "RunFolder"]

MAY_CHANGE = (
    "run.loggers", "run.save_every_s", "run.accelerator", "run.threads", "data.workers", "data.mosaic_workers",
    "data.dataset", "data.validation_data",
)  # fmt: skip
"""What says where and how to run, and changes nothing that is learned. (A moved dataset is told by its checksum.)"""


class RunFolder:
    """Paths in a run folder.

    Attributes
    ----------
    path : Path
    recipe, record, metrics : Path
        ``recipe.yaml``; ``run.json``: versions, device, data; ``metrics.csv``: a row an epoch.
    best, last, state : Path
        Checkpoints, and what is needed to go on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.record = path / "run.json"
        self.metrics = path / "metrics.csv"
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self.state = path / "state.safetensors"
        self.curves = path / "curves.svg"
        self.page = path / "run.html"
        self.tensorboard = path / "tensorboard"

    def check(self, recipe: Recipe, resume: bool) -> RunResult | None:
        """See that a run may begin here, or go on.

        Returns
        -------
        RunResult or None
            Of the run that is to go on, if it has come to its end.

        Raises
        ------
        UsageError
            If the folder does not fit.
        """
        if not resume:
            self.check_new()
            return None
        self.check_resume(recipe)
        return self.finished_result()

    def check_new(self) -> None:
        """See that a run may begin here (UsageError if the folder is there and not empty)."""
        if self.path.exists() and (not self.path.is_dir() or any(file.name != LOCK for file in self.path.iterdir())):
            what = "holds a run" if self.recipe.exists() else "is there and not empty"
            raise UsageError(f"{self.path}: {what}; continue it with --resume, or name another folder with --out")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder, and keep other processes out of it (OSError; UsageError if one is there)."""
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path, "run"):
            yield

    def check_resume(self, recipe: Recipe) -> None:
        """See that the run in the folder is one of this recipe.

        Raises
        ------
        UsageError
            If there is no run, or one of another recipe; what differs is named.
        """
        if not self.recipe.is_file():
            raise UsageError(f"{self.path}: holds no run to resume (no {self.recipe.name})")
        before = read_recipe(self.recipe, {**RECIPES, recipe.kind: type(recipe)})
        require_same_recipe(self.path, before, recipe)

    def check_data(self, facts: Mapping[str, Any]) -> None:
        """See that a run goes on with the data that it began with (UsageError)."""
        before = self.read_record().get("data", {}).get("checksum")
        if before is not None and before != facts.get("checksum"):
            raise UsageError(
                f"{self.path}: the run began with other data, first weights or teachers (checksum {before}, now "
                f"{facts.get('checksum')}); "
                "give it those, or name another folder with --out"
            )

    def finished_result(self) -> RunResult | None:
        """The result of a run that has come to its end; None where it has not."""
        result = self.read_record().get("result")
        if not isinstance(result, dict):
            return None
        history = tuple(result.pop("history"))
        return RunResult(folder=self.path, best_path=self.best, last_path=self.last, history=history, **result)

    def read_record(self) -> dict[str, Any]:
        """What ``run.json`` holds; empty where there is none, or it is damaged."""
        try:
            return read_json(self.record)
        except UsageError:
            return {}

    def write_record(self, values: Mapping[str, Any]) -> None:
        """Write ``run.json`` (OutputError)."""
        write_json(self.record, values)

    def write_metrics(self, history: Sequence[Mapping[str, float]]) -> None:
        """Write ``metrics.csv`` (OutputError): a row an epoch, in the order of the first one's keys."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(history[0]), restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_atomically(self.metrics, text.getvalue().encode())


def require_same_recipe(folder: Path, before: Recipe, now: Recipe) -> None:
    """Refuse to go on in a folder with another recipe than it began with; what `MAY_CHANGE` may differ (UsageError)."""
    differences = recipe_differences(recipe_to_dict(before), recipe_to_dict(now))
    listed = [
        f"{name} was {old!r} and is {new!r}" for name, (old, new) in differences.items() if name not in MAY_CHANGE
    ]
    if listed:
        raise UsageError(
            f"{folder}: holds a run of another recipe ({', '.join(listed)}); name another folder with --out"
        )
