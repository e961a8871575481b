"""Networks, their checkpoints and their training. Needs the extra ``train`` (torch).

A recipe (`read_recipe`) is data: sections of options. `train_model` runs it into a folder: the engine (`fit`) does what
all models share, a `Task` what differs between kinds of models.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.train.engine import fit
    from mien.train.options import ExpressionRecipe, Recipe
    from mien.train.recipe import change_recipe, read_recipe, write_recipe
    from mien.train.result import Interrupted, Progress, Report, RunResult
    from mien.train.run import train_model
    from mien.train.task import Place, Step, Task

__all__ = [
    "ExpressionRecipe",
    "Interrupted",
    "Place",
    "Progress",
    "Recipe",
    "Report",
    "RunResult",
    "Step",
    "Task",
    "change_recipe",
    "fit",
    "read_recipe",
    "train_model",
    "write_recipe",
]

_HOMES = {
    "engine": ["fit"],
    "options": ["ExpressionRecipe", "Recipe"],
    "recipe": ["change_recipe", "read_recipe", "write_recipe"],
    "result": ["Interrupted", "Progress", "Report", "RunResult"],
    "run": ["train_model"],
    "task": ["Place", "Step", "Task"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Loaded at first use, so that the command line starts without torch.
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"mien.train.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'mien.train' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
