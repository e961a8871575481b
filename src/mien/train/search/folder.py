"""The folder of a search: on which folds it runs, and what makes it this search and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mien.data.dataset import Dataset
from mien.errors import UsageError
from mien.files import make_folder, read_json, write_json
from mien.train.folder import MAY_CHANGE
from mien.train.folds import FOLDS, fold_numbers, folds_checksum
from mien.train.lock import LOCK
from mien.train.options import ExpressionRecipe
from mien.train.recipe import recipe_differences, recipe_to_dict
from mien.train.search.options import SearchOptions
from mien.train.search.space import Space

__all__ = ["holds_search", "keep_facts", "open_folder", "search_facts"]

FACTS = "search.json"


def holds_search(out: Path) -> bool:
    """Whether a search has begun in a folder."""
    return (out / FACTS).is_file()


def open_folder(out: Path, resume: bool) -> None:
    """Refuse a folder that holds something else, or nothing to resume."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; expected a folder for the search")
    if holds_search(out):
        if not resume:
            raise UsageError(f"{out} holds a search already; continue it with --resume, or name another folder")
        return
    if resume:
        raise UsageError(f"{out} holds no search to continue; start one without --resume")
    if out.exists() and any(name.name not in (LOCK, FOLDS) for name in out.iterdir()):
        raise UsageError(f"{out} is not empty and holds no search; name another folder")
    make_folder(out)


def search_facts(recipe: ExpressionRecipe, space: Space, options: SearchOptions, data: Dataset) -> dict[str, Any]:
    """What identifies a search: to resume it, all of this must be equal."""
    values = recipe_to_dict(recipe)
    return {
        "recipe": values,
        "space": space.to_dict(),
        "folds": len(fold_numbers(data)),
        "folds_used": options.folds_used,
        "sampler": options.sampler,
        "seed": recipe.run.seed,
        "checksum": folds_checksum(data),
    }


def keep_facts(out: Path, facts: dict[str, Any]) -> None:
    """Write down what identifies the search; refuse to resume one that differs."""
    path = out / FACTS
    if path.is_file():
        known = read_json(path)
        differences = {
            name: values
            for name, values in recipe_differences(known.pop("recipe", {}), facts["recipe"]).items()
            # The dataset may have moved, but the best recipe must name it.
            if name not in MAY_CHANGE or (name == "data.dataset" and values[1] is None)
        }
        differences |= recipe_differences({"search": known.pop("space", {})}, {"search": facts["space"]})
        differences |= {key: (value, facts.get(key)) for key, value in known.items() if value != facts.get(key)}
        if differences:
            name, (old, new) = next(iter(differences.items()))
            raise UsageError(
                f"{out} holds another search: {name} is {old!r} there and {new!r} here"
                + (f" (and {len(differences) - 1} more)" if len(differences) > 1 else "")
                + "; continue with the same recipe and space, or name another folder"
            )
        return
    write_json(path, facts)
