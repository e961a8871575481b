"""Search for a better recipe: trials in a declared space, each cross-validated on the training split alone.

The order of the work is that of the files: `space` (what may be varied), `folds` (the training split in folds that
keep copies together), `trial` (one recipe on the folds), `folder` and `study` (which recipe next, by Optuna;
resumable), `result` (what came out), `page`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.train.search.options import SearchOptions
    from mien.train.search.result import SearchResult
    from mien.train.search.space import Space, read_search
    from mien.train.search.study import search_recipe

__all__ = ["SearchOptions", "SearchResult", "Space", "read_search", "search_recipe"]

_HOME_OF = {
    "SearchOptions": "options",
    "SearchResult": "result",
    "Space": "space",
    "read_search": "space",
    "search_recipe": "study",
}


def __getattr__(name: str) -> Any:
    # Loaded at first use, so that the command line starts without torch and Optuna.
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"mien.train.search.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'mien.train.search' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
