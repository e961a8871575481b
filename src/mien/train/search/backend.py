"""What a search takes of Optuna: its storage, its sampler and its pruner."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from mien.errors import import_extra
from mien.train.search.options import SearchOptions
from mien.train.search.trial import POINTS

__all__ = ["load_optuna", "make_pruner", "make_sampler", "open_storage"]

_STARTUP_TRIALS = 8
# Up to here, half of the first fold's training, no trial is given up: large learning rates come late.
_WARM_UP_POINTS = POINTS // 2


def load_optuna() -> Any:
    """Import Optuna without its remarks on each trial, or say which extra brings it (MissingExtraError)."""
    optuna = import_extra("Searching for recipes", "optuna", "train")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def make_sampler(kind: str, seed: int, finished: int) -> Any:
    """What chooses the values of the next trial; for the same number of finished trials it draws the same."""
    import optuna

    seed = (seed * 1_000_003 + finished) % 2**32
    if kind == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS)


def make_pruner(options: SearchOptions) -> Any:
    """What gives up a trial that is behind the others at the same point (see `POINTS`)."""
    import optuna

    if not options.prune:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(
        n_startup_trials=options.prune_after, n_warmup_steps=_WARM_UP_POINTS, n_min_trials=2
    )


def open_storage(path: Path) -> Any:
    """Optuna's storage in a SQLite file that a kill leaves whole, and that does not wait for the disk at every step."""
    import optuna
    from sqlalchemy import event

    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode=WAL")
    storage = optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")
    event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=NORMAL"))
    storage.engine.dispose()
    return storage
