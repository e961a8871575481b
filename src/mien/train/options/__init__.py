"""What a recipe may say: sections of options, and which sections each kind of model has. No torch here."""

from __future__ import annotations

from mien.train.options.detector import DetectorRecipe
from mien.train.options.expression import (
    AugmentOptions,
    DataOptions,
    DistillOptions,
    ExpressionRecipe,
    LossOptions,
    ModelOptions,
)
from mien.train.options.shared import OptimizerOptions, Recipe, RunOptions, ScheduleOptions

__all__ = [
    "RECIPES",
    "AugmentOptions",
    "DataOptions",
    "DetectorRecipe",
    "DistillOptions",
    "ExpressionRecipe",
    "LossOptions",
    "ModelOptions",
    "OptimizerOptions",
    "Recipe",
    "RunOptions",
    "ScheduleOptions",
]

RECIPES: dict[str, type[Recipe]] = {recipe.kind: recipe for recipe in (ExpressionRecipe, DetectorRecipe)}
"""The kinds of model that can be trained. A new kind is one more class here, and nothing else in the engine."""
