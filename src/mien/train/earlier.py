"""What teachers and the weights to start from have learned already: faces that a score must not rest on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mien.data.dataset import Dataset
from mien.data.faces import open_faces
from mien.data.held_out import held_out_otherwise, learned_before
from mien.errors import warn

if TYPE_CHECKING:
    from mien.train.options import ExpressionRecipe
    from mien.zoo.card import LearnedFrom

__all__ = ["warn_of_folds", "warn_of_held_out"]


def warn_of_held_out(recipe: ExpressionRecipe, learned: LearnedFrom) -> None:
    """Warn where teachers or first weights learned from faces that a training holds out to choose by.

    Parameters
    ----------
    recipe : ExpressionRecipe
    learned : LearnedFrom
        What the training learns from, and what it holds out.

    Raises
    ------
    ModelError
        If a teacher, or the weights to start from, cannot be read.
    """
    for path, known in _earlier(recipe) if learned.held_out else ():
        if held_out_otherwise(learned, known):
            warn(
                f"{path}: learned from faces of {learned.source} that are held out here to choose by: "
                "scores are too good. Give the --data-seed (or --seed) and --validation-share (or --fold) of its own "
                "training"
            )


def warn_of_folds(recipe: ExpressionRecipe, data: Dataset) -> None:
    """Warn where teachers or first weights learned from the faces that each fold is measured on, or may have.

    Parameters
    ----------
    recipe : ExpressionRecipe
        ``data.dataset`` names what the folds were made of.
    data : Dataset
        The folds.

    Raises
    ------
    ModelError
        If a teacher, or the weights to start from, cannot be read.
    """
    earlier = list(_earlier(recipe))
    if not earlier:
        return
    faces, name = open_faces(data.path, next(iter(data.splits))), recipe.data.dataset or data.path
    for path, known in earlier:
        if known is None:
            warn(f"{path}: nothing says what it learned from; if faces of {name} were among it, scores are too high")
        elif learned_before(faces, known, name):
            warn(f"{path}: learned from faces of {name}, on which each fold is measured: scores are too high")


def _earlier(recipe: ExpressionRecipe) -> Iterator[tuple[Path, LearnedFrom | None]]:
    """The weights to start from and the teachers, each with what it learned from as far as that is known."""
    # These bring torch, which few recipes of a search or a cross-validation need before the first run.
    if recipe.model.start_from is not None:
        from mien.train.checkpoint import read_checkpoint

        yield recipe.model.start_from, read_checkpoint(recipe.model.start_from).learned_from
    if recipe.distill.distill_weight:
        for teacher in recipe.distill.teachers:
            from mien.train.expression.distill import teacher_learned_from

            yield teacher, teacher_learned_from(teacher)
