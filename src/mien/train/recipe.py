"""Recipes as files: reading, checking, changing and writing them. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from mien.train.options import Recipe

__all__ = ["change_recipe", "read_recipe", "recipe_from_dict", "recipe_to_dict", "write_recipe"]

R = TypeVar("R", bound=Recipe)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a YAML file."""
    raise NotImplementedError


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """A recipe from the values of a file: ``kind`` and sections; unknown keys are refused with the nearest known."""
    raise NotImplementedError


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """All values of a recipe, by section, as in a file."""
    raise NotImplementedError


def change_recipe(recipe: R, changes: Mapping[str, Any]) -> R:
    """The same recipe with some fields changed, named without their sections: ``{"learning_rate": 0.05}``."""
    raise NotImplementedError


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as a YAML file with all its values; whole or not at all."""
    raise NotImplementedError
