"""The training loop that all kinds of models share, on one device or, by Lightning Fabric, on several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mien.errors import TrainingError, UsageError
from mien.train.folder import RunFolder
from mien.train.learner import Learner
from mien.train.loggers import require_loggers
from mien.train.machine import explained_failures, open_fabric, torch_settings
from mien.train.options import Recipe
from mien.train.pace import Pace
from mien.train.peers import process_group, starts_others
from mien.train.result import Interrupted, Progress, Report, RunResult
from mien.train.run_writer import RunWriter
from mien.train.schedule import Budget, LearningRate
from mien.train.steplog import StepLog, warn_of_divergence
from mien.train.stop import StopRequest
from mien.train.task import Place, Step, Task, derived_seed

__all__ = ["fit"]


def fit(
    task: Task, recipe: Recipe, folder: Path, *, resume: bool = False, progress: Progress | None = None
) -> RunResult:
    """Train until the budget is used up; the best and the last weights are kept.

    With more than one device this is called in a process for each: the same program is started again for them, unless
    torchrun or Slurm has done so. All get the result.

    Parameters
    ----------
    task : Task
        What is trained, on what.
    recipe : Recipe
        Of any kind: its sections optimizer, schedule and run are carried out, all of it is kept in the folder.
    folder : Path
        The run folder. Must not exist or be empty; with `resume` it must hold a run of the same recipe.
    resume : bool
        Go on where the run in the folder stopped. On the CPU the result is the same, bit for bit, as without a stop
        (where the budget is in epochs).
    progress : callable, optional
        Told how far it is, in the first process; what it raises ends the run.

    Raises
    ------
    UsageError
        If the folder does not fit, or the device that was asked for is not there.
    TrainingError
        If the loss is no number any more (epoch, step and learning rate are named), the GPU's memory does not suffice,
        nothing can be compiled, or another process has failed.
    OutputError
        If a file cannot be written (full disk, say); those written before are whole.
    Interrupted
        At Ctrl-C or SIGTERM; everything needed to go on is saved.
    """
    files = RunFolder(folder)
    processes = recipe.run.devices * recipe.run.nodes
    if recipe.optimizer.batch_size % processes:
        raise UsageError(f"batch_size is {recipe.optimizer.batch_size}; expected a multiple of {processes} (processes)")
    require_loggers(recipe.run.loggers)
    fabric = open_fabric(recipe.run)
    if starts_others(fabric):
        # On one machine nobody waits yet for what the first process finds.
        ended = files.check(recipe, resume) if recipe.run.nodes == 1 else None
        if ended is not None:
            return ended
    with process_group(fabric, recipe.run), torch_settings(recipe.run, fabric.device):
        finished: RunResult | None = fabric.broadcast(files.check(recipe, resume) if fabric.is_global_zero else None)
        if finished is not None:
            return finished
        with explained_failures(recipe.run, fabric.device):
            return _Run(fabric, task, recipe, files, progress if fabric.is_global_zero else None).run(resume)


class _Run:
    """One run, or a resumed part of it, in one process."""

    def __init__(self, fabric: Any, task: Task, recipe: Recipe, files: RunFolder, progress: Progress | None) -> None:
        self._fabric = fabric
        self._task = task
        self._recipe = recipe
        self._progress = progress
        self._many: bool = fabric.world_size > 1
        where = (fabric.device, fabric.global_rank, fabric.world_size)
        self._place = Place(*where, _sum) if self._many else Place(*where)
        self._writer = RunWriter(fabric, task, recipe, files)
        self._pace = Pace(recipe.optimizer.batch_size)
        # The position: the next epoch, and the next step in it; steps done in all.
        self._epoch = self._index = self._steps_done = 0
        # The results so far.
        self._history: list[dict[str, float]] = []
        self._best, self._best_epoch = math.nan, 0
        self._stopped_by = ""
        self._agreed_to_stop = False

    def run(self, resume: bool) -> RunResult:
        self._build()
        # What is read below is what the last process wrote: none writes from here on.
        with self._writer.alone(), self._writer:
            if resume:
                self._restore()
            self._writer.begin(self._learner.raw, self._steps, len(self._history), resume)
            self._pace.start(self._steps_done, self._budget.progress(self._steps_done, self._pace.seconds))
            with StopRequest(told=self._fabric.is_global_zero) as self._stop:
                while not self._stopped_by:
                    self._run_epoch()
                self._save()
                result = self._result()
                self._writer.finish(result)
                return result

    def _result(self) -> RunResult:
        files = self._writer.files
        return RunResult(
            folder=files.path,
            metric=f"validation_{self._task.metric}",
            best=self._best,
            best_epoch=self._best_epoch,
            epochs=self._epoch,
            steps=self._steps_done,
            seconds=self._pace.seconds,
            best_path=files.best,
            last_path=files.last,
            history=tuple(self._history),
            stopped_by=self._stopped_by,
        )

    def _build(self) -> None:
        """Everything as it is before the first step."""
        recipe, device = self._recipe, self._fabric.device
        if recipe.run.compile != "none":
            # Kernels of an earlier run in this process (a search) count against the few versions that torch keeps of a
            # function, beyond which it silently runs uncompiled.
            torch.compiler.reset()
        torch.manual_seed(recipe.run.seed)
        self._learner = Learner(self._fabric, self._task, recipe, self._task.setup(self._place))
        self._steps = self._task.steps_per_epoch
        self._log = StepLog(self._steps, device)
        self._budget = Budget(recipe.schedule, self._steps)
        self._rate = LearningRate(recipe.schedule, recipe.optimizer.rate, self._steps)

    # --- The loop ---

    def _run_epoch(self) -> None:
        self._learner.train()
        while self._index < self._steps:
            done = self._budget.progress(self._steps_done, self._clock())
            if done >= 1.0 and self._index:
                break
            self._step(done)
            due = self._pace.look_is_due(self._steps_done)
            if self._index < self._steps and (due or self._stopping):
                rows = self._look()
                self._report(self._log.means(rows)["loss"], None)
                self._pause(mid_epoch=True)
        self._end_epoch()
        self._pause(mid_epoch=False)

    def _step(self, progress: float) -> None:
        seed = derived_seed(self._recipe.run.seed, self._epoch, self._index, self._place.rank)
        rate = self._rate.at(progress, self._steps_done)
        torch.manual_seed(seed)
        batch = self._task.batch(Step(self._epoch, self._index, progress, seed))
        self._steps_done += 1
        self._log.add(self._learner.step(batch, rate, seed, self._steps_done), rate)
        self._index += 1

    def _end_epoch(self) -> None:
        rows = self._look()
        self._log.check_weights(self._learner.weights, self._epoch + 1)
        means = self._log.means(rows)
        self._report(means["loss"], None, validating=True)
        trained_s = self._pace.seconds
        kept = self._learner.kept(self._steps_done, settled=True).eval()
        measured = self._measure(kept)
        self._agree()
        self._budget.reserved_s = self._pace.seconds - trained_s
        self._epoch += 1
        row = self._row(means, measured)
        self._history.append(row)
        if (guessing := self._task.guessing) is not None and not self._place.rank:
            warn_of_divergence(self._history, *guessing, self._recipe.optimizer.rate)
        value = measured[self._task.metric]
        self._keep_if_best(kept, value)
        self._rate.epoch_done(value)
        self._stopped_by = self._reason_to_stop()
        self._report(means["loss"], row)
        self._writer.log(self._epoch, row)
        self._index = 0
        self._log.restart()
        self._pace.restart_looks(self._steps_done)

    def _row(self, means: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
        """What is logged of the epoch that was just finished."""
        return {
            "epoch": self._epoch,
            **{f"train_{key}": mean for key, mean in means.items()},
            **{f"validation_{key}": float(number) for key, number in measured.items()},
            "learning_rate": self._log.rates[-1],
            "seconds": self._pace.seconds,
            "images_per_s": self._pace.images_per_s,
        }

    def _keep_if_best(self, network: nn.Module, value: float) -> None:
        if self._best_epoch and value <= self._best:
            return
        self._best, self._best_epoch = value, self._epoch
        self._learner.keep_as_best(network)
        self._writer.best_is_new = True

    def _reason_to_stop(self) -> str:
        """Why the run ends after this epoch, as in `RunResult.stopped_by`; empty where it goes on."""
        patience = self._recipe.schedule.early_stop
        if self._budget.progress(self._steps_done, self._clock()) >= 1.0:
            return "budget"
        if patience is not None and self._epoch - self._best_epoch >= patience:
            return "early_stop"
        return ""

    def _measure(self, network: nn.Module) -> Mapping[str, float]:
        """Validate a network; all processes do it together, and have the same scores."""
        if self._many:
            # Each process has taken the last steps' statistics of its own images into batch norm. What is measured is
            # what the first one saves.
            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, 0)
        with torch.no_grad(), self._fabric.autocast():
            measured: dict[str, float] = self._fabric.broadcast(dict(self._task.validate(network)))
        value = measured[self._task.metric]
        if not math.isfinite(value):
            raise TrainingError(f"validation gave {value} as {self._task.metric} after epoch {self._epoch + 1}")
        return measured

    # --- What needs the host to look at the device, and processes to agree ---

    def _clock(self) -> float:
        """Seconds of the run. Processes go by the first one's clock, as they last agreed on it."""
        if not self._many:
            self._pace.seconds = self._pace.now()
        return self._pace.seconds

    @property
    def _stopping(self) -> bool:
        """Whether Ctrl-C was heard. Processes go by what they last agreed on: a signal comes to each when it likes."""
        return self._agreed_to_stop if self._many else self._stop.requested

    def _agree(self) -> None:
        """One clock, and one answer to Ctrl-C, in all processes."""
        if not self._many:
            self._clock()
            return
        seconds = self._pace.now() if self._place.rank == 0 else 0.0
        said = torch.tensor([seconds, float(self._stop.requested)], device=self._place.device, dtype=torch.float64)
        agreed = self._place.sum(said).tolist()
        self._pace.seconds = agreed[0]
        self._agreed_to_stop = agreed[1] > 0

    def _look(self) -> torch.Tensor:
        """Look at the losses since the epoch began; returns them, averaged over processes, on the CPU.

        Raises
        ------
        TrainingError
            If one is no number.
        """
        rows = self._place.mean(self._log.rows()).cpu()
        self._log.check(rows, self._epoch + 1)
        self._agree()
        self._pace.looked(self._steps_done)
        return rows

    def _report(self, loss: float, row: Mapping[str, float] | None, *, validating: bool = False) -> None:
        if self._progress is None:
            return
        progress = self._budget.progress(self._steps_done, self._pace.seconds)
        self._progress(
            Report(
                epoch=self._epoch + (row is None),
                epochs=self._budget.epochs,
                step=self._index,
                steps=self._steps,
                progress=progress,
                loss=loss,
                images_per_s=self._pace.images_per_s,
                seconds=self._pace.seconds,
                seconds_left=self._pace.seconds_left(progress),
                validating=validating,
                metrics=row,
                metric=f"validation_{self._task.metric}",
                best=self._best,
                best_epoch=self._best_epoch,
            )
        )

    # --- Stopping and going on ---

    def _pause(self, mid_epoch: bool) -> None:
        """Save where it is time to, and stop where that was asked for."""
        if self._stopping or self._writer.is_due(mid_epoch):
            self._save()
            # What it took is no step's.
            self._agree()
            self._pace.restart_looks(self._steps_done)
        if self._stopping and not self._stopped_by:
            raise Interrupted(self._writer.files.path, self._epoch + 1, self._index)

    def _save(self) -> None:
        log_values, log_tensors = self._log.state()
        values = {
            "epoch": self._epoch,
            "index": self._index,
            "steps_done": self._steps_done,
            "seconds": self._pace.seconds,
            "images_per_s": self._pace.images_per_s,
            "history": self._history,
            "best": None if math.isnan(self._best) else self._best,
            "best_epoch": self._best_epoch,
            "stopped_by": self._stopped_by,
            "rate": self._rate.state(),
            "reserved_s": self._budget.reserved_s,
            "log": log_values,
        }
        learner = self._learner
        last = learner.kept(self._steps_done, settled=self._index == 0 and self._epoch > 0)
        self._writer.save(values, learner.networks, learner.optimizer, log_tensors, last, learner.best)

    def _restore(self) -> None:
        found = self._writer.load()
        if found is None:  # Killed before anything was saved: the run begins anew.
            return
        values, tensors = found
        self._epoch, self._index = values["epoch"], values["index"]
        self._steps_done, self._pace.seconds = values["steps_done"], values["seconds"]
        self._pace.images_per_s = values["images_per_s"]
        self._history, self._best_epoch = values["history"], values["best_epoch"]
        self._best = math.nan if values["best"] is None else values["best"]
        self._stopped_by = values["stopped_by"]
        self._rate.load_state(values["rate"])
        self._budget.reserved_s = values["reserved_s"]
        self._log.load_state(values["log"], tensors)
        self._learner.restore(tensors)


def _sum(tensor: torch.Tensor) -> torch.Tensor:
    """Over processes. No method: a run that the task's place refers to stays on the device until garbage is collected.

    Fabric's own would make the host wait at a barrier first.
    """
    torch.distributed.all_reduce(tensor)
    return tensor
