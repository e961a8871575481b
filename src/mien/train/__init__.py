"""Networks, their checkpoints and their training. Needs the extra ``train`` (torch).

A recipe (`read_recipe`) is data: sections of options. `train_model` runs it into a folder: the engine (`fit`) does what
all models share, a `Task` what differs between kinds of models.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mien.lazy import lazy_names

# By default torch's threads wait busily for each other. On a machine with other work each then keeps a core from
# the one that it waits for, and a step took four times as long; on an idle one there is no difference. The
# variable is read when torch is loaded, which nothing here does before; a value of the user's own stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from mien.train.cross_validation import FoldsResult, cross_validate
    from mien.train.engine import fit
    from mien.train.options import ExpressionRecipe, Recipe
    from mien.train.own import register_augmentation, register_loss
    from mien.train.recipe import change_recipe, read_recipe, write_recipe
    from mien.train.result import Interrupted, Progress, Report, RunResult
    from mien.train.run import train_model
    from mien.train.seeds import SeedsResult, train_seeds
    from mien.train.task import Place, Step, Task

__all__ = [
    "ExpressionRecipe",
    "FoldsResult",
    "Interrupted",
    "Place",
    "Progress",
    "Recipe",
    "Report",
    "RunResult",
    "SeedsResult",
    "Step",
    "Task",
    "change_recipe",
    "cross_validate",
    "fit",
    "read_recipe",
    "register_augmentation",
    "register_loss",
    "train_model",
    "train_seeds",
    "write_recipe",
]

if not TYPE_CHECKING:
    # So that the command line starts without torch.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "cross_validation": ["FoldsResult", "cross_validate"],
            "engine": ["fit"],
            "options": ["ExpressionRecipe", "Recipe"],
            "own": ["register_augmentation", "register_loss"],
            "recipe": ["change_recipe", "read_recipe", "write_recipe"],
            "result": ["Interrupted", "Progress", "Report", "RunResult"],
            "run": ["train_model"],
            "seeds": ["SeedsResult", "train_seeds"],
            "task": ["Place", "Step", "Task"],
        },
    )
