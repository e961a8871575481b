"""Writes what a run produces: checkpoints, state, records, curves, logs. Only the first process writes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import nn

import mien
from mien.errors import MienError, OutputError
from mien.train.curves import write_curves
from mien.train.folder import RunFolder
from mien.train.loggers import Logger, open_loggers
from mien.train.machine import describe_machine
from mien.train.options import Recipe
from mien.train.recipe import flat_recipe, write_recipe
from mien.train.result import RunResult
from mien.train.state import load_state, save_state
from mien.train.task import Task

__all__ = ["RunWriter"]

T = TypeVar("T")


class RunWriter(contextlib.AbstractContextManager["RunWriter"]):
    """The files and logs of a run. All processes call it alike, and an error of the first one is raised in all.

    Parameters
    ----------
    fabric : lightning.fabric.Fabric or mien.train.single.SingleDevice
    task : Task
    recipe : Recipe
    files : RunFolder

    Attributes
    ----------
    best_is_new : bool
        There are better weights than those in ``best.safetensors``.
    """

    def __init__(self, fabric: Any, task: Task, recipe: Recipe, files: RunFolder) -> None:
        self.files = files
        self.best_is_new = False
        self._fabric = fabric
        self._task = task
        self._recipe = recipe
        self._saved_at_s = time.monotonic()
        self._record: dict[str, Any] = {}
        self._loggers: dict[str, Logger] = {}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder, and keep other processes out of it (OutputError; UsageError if one is there)."""
        with contextlib.ExitStack() as held:
            self._first_does(lambda: held.enter_context(self.files.alone()))
            yield

    def begin(self, network: nn.Module, steps_per_epoch: int, epochs_done: int, resume: bool) -> None:
        """Record where this part of the run computes and with which data; open the loggers.

        Raises
        ------
        UsageError
            If a run would go on with other data.
        OutputError
            If nothing can be written.
        """

        def begin() -> None:
            facts = dict(self._task.facts())
            before = self.files.read_record() if resume else {}
            if resume:
                self.files.check_data(facts)
            write_recipe(self._recipe, self.files.recipe)
            options = self._recipe.run
            part = {
                "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "after_epochs": epochs_done,
                **describe_machine(options, self._fabric.device, self._fabric.world_size),
            }
            weights = list(network.parameters())
            self._record = {
                "kind": self._recipe.kind,
                "parameters": sum(weight.numel() for weight in weights),
                "trained_parameters": sum(weight.numel() for weight in weights if weight.requires_grad),
                "steps_per_epoch": steps_per_epoch,
                "data": facts,
                "parts": [*before.get("parts", []), part],
            }
            config, run_ids = flat_recipe(self._recipe), before.get("loggers", {})
            self._loggers = open_loggers(options.loggers, self.files, config, run_ids, epochs_done)
            self._record["loggers"] = {name: logger.run_id for name, logger in self._loggers.items() if logger.run_id}
            self.files.write_record(self._record)

        self._first_does(begin)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for logger in self._loggers.values():
                logger.close()
        except OSError as problem:
            if error is None:
                raise self._cannot_write(problem) from problem

    def log(self, epoch: int, row: Mapping[str, float]) -> None:
        """Give the metrics of an epoch, from 1, to the loggers (OutputError)."""

        def log() -> None:
            for logger in self._loggers.values():
                logger.log(epoch, row)

        self._first_does(log)

    def is_due(self, mid_epoch: bool) -> bool:
        """Whether it is time to save; by the first process's clock."""
        every_s = self._recipe.run.save_every_s
        due = time.monotonic() - self._saved_at_s >= every_s if every_s else not mid_epoch
        return bool(self._fabric.broadcast(due))

    def save(
        self,
        values: Mapping[str, Any],
        networks: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        tensors: Mapping[str, torch.Tensor],
        last: nn.Module,
        best: nn.Module,
    ) -> None:
        """Write checkpoints, then the state that knows of them, then what people look at.

        Raises
        ------
        OutputError
            If a file cannot be written; each file is whole, of now or of before.
        """

        def save() -> None:
            metric, history = f"validation_{self._task.metric}", values["history"]
            facts = {"mien": mien.__version__, "metric": metric}
            if self.best_is_new:
                extra = {**facts, "epoch": str(values["best_epoch"]), metric: repr(values["best"])}
                self._task.save_checkpoint(best, self.files.best, extra)
            self._task.save_checkpoint(last, self.files.last, {**facts, "epoch": str(values["epoch"])})
            save_state(self.files.state, values, networks, optimizer, tensors)
            for logger in self._loggers.values():
                logger.flush()
            if history:
                if "csv" in self._recipe.run.loggers:
                    self.files.write_metrics(history)
                write_curves(self.files, history, metric)

        self._first_does(save)
        self.best_is_new = False
        self._saved_at_s = time.monotonic()

    def load(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
        """What `save` wrote, in every process; None where nothing was saved yet.

        Raises
        ------
        ModelError
            If it cannot be read.
        """
        found = self._first_does(lambda: load_state(self.files.state) if self.files.state.is_file() else None)
        # The other machines need not see this one's folder.
        loaded: tuple[dict[str, Any], dict[str, torch.Tensor]] | None = self._fabric.broadcast(found)
        return loaded

    def finish(self, result: RunResult) -> None:
        """Record the result; what only a resumed run would need is removed."""

        def finish() -> None:
            self._record["result"] = {
                name: getattr(result, name)
                for name in ("metric", "best", "best_epoch", "epochs", "steps", "seconds", "stopped_by", "history")
            }
            self.files.write_record(self._record)
            write_curves(self.files, result.history, result.metric, page_of=(self._recipe, self._record))
            self.files.state.unlink(missing_ok=True)

        self._first_does(finish)

    def _first_does(self, what: Callable[[], T]) -> T | None:
        """Let the first process do something; its error becomes everybody's. The others get None."""
        done: T | None = None
        error: MienError | None = None
        if self._fabric.is_global_zero:
            try:
                done = what()
            except OSError as problem:
                error = self._cannot_write(problem)
                error.__cause__ = problem
            except MienError as problem:
                error = problem
        if self._fabric.broadcast(error is not None) and error is None:
            raise OutputError("the first process could not continue")
        if error is not None:
            raise error
        return done

    def _cannot_write(self, problem: OSError) -> OutputError:
        return OutputError(
            f"{self.files.path}: cannot write the run ({problem.strerror or problem}); the files that are there are "
            "whole"
        )
