"""A training that takes no time: its score is a known function of the recipe. And a program that searches with it."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

from mien.errors import TrainingError
from mien.train.options import Recipe
from mien.train.recipe import change_recipe, write_recipe
from mien.train.result import Progress, Report, RunResult
from mien.train.search import search_recipe

EPOCHS = 4
SPACE = {
    "learning_rate": {"low": 0.001, "high": 1.0, "log": True},
    "batch_size": [64, 128, 256],
    "dropout": {"low": 0.0, "high": 0.6, "step": 0.1},
}


def true_score(recipe: Any) -> float:
    """Best at a learning rate of 0.03; the batch hardly matters, the dropout not at all."""
    return 0.7 - 0.1 * (math.log10(recipe.optimizer.rate) + 1.5) ** 2 + 0.001 * (recipe.optimizer.batch_size == 64)


class MadeTraining:
    """Stands in for `train_model`; remembers what it was asked for."""

    def __init__(self, pause_s: float = 0.0, broken: Any = None) -> None:
        self.calls: list[tuple[Recipe, Path, bool]] = []
        self.epochs = 0
        self.pause_s = pause_s
        self.broken = broken or (lambda recipe: False)

    def __call__(self, recipe: Any, folder: Path, *, resume: bool, progress: Progress) -> RunResult:
        self.calls.append((recipe, folder, resume))
        folder.mkdir(parents=True, exist_ok=resume)
        write_recipe(recipe, folder / "recipe.yaml")
        (folder / "last.safetensors").write_bytes(bytes(1000))
        if self.broken(recipe):
            raise TrainingError("the loss is nan in epoch 1, step 3")
        score = true_score(recipe) + 0.01 * recipe.data.fold
        for epoch in range(1, EPOCHS + 1):
            self.epochs += 1
            time.sleep(self.pause_s)
            best = score * epoch / EPOCHS
            progress(
                Report(epoch, EPOCHS, 1, 1, epoch / EPOCHS, 1.0, 1.0, 15.0 * epoch, 0.0, {"validation_accuracy": best},
                       "validation_accuracy", best, epoch)
            )  # fmt: skip
        return RunResult(
            folder, "validation_accuracy", score, EPOCHS, EPOCHS, EPOCHS, 60.0, folder, folder, (), "budget"
        )


if __name__ == "__main__":
    from mien.train.options import ExpressionRecipe

    data, out = map(Path, sys.argv[1:3])
    search_recipe(
        change_recipe(ExpressionRecipe(), {"dataset": data}), SPACE, out, trials=6, folds=2, resume=out.exists(),
        train=MadeTraining(pause_s=0.02), prune_after=2,
    )  # fmt: skip
