"""Search for a better recipe: trials in a declared space, each cross-validated on the training split alone.

The order of the work is that of the files: `space` (what may be varied), `folds` (the training split in folds that
keep copies together), `trial` (one recipe on the folds), `folder` and `study` (which recipe next, by Optuna;
resumable), `result` (what came out), `page`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.lazy import lazy_names

if TYPE_CHECKING:
    from mien.train.search.options import SearchOptions
    from mien.train.search.result import SearchResult
    from mien.train.search.space import Space, read_search
    from mien.train.search.study import search_recipe

__all__ = ["SearchOptions", "SearchResult", "Space", "read_search", "search_recipe"]

if not TYPE_CHECKING:
    # So that the command line starts without torch and Optuna.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "options": ["SearchOptions"],
            "result": ["SearchResult"],
            "space": ["Space", "read_search"],
            "study": ["search_recipe"],
        },
    )
