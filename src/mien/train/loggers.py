"""Where the metrics of a run go besides its own files: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mien.errors import import_extra
from mien.train.folder import RunFolder

__all__ = ["Logger", "open_loggers", "require_loggers"]


class Logger(Protocol):
    """Takes a row an epoch."""

    run_id: str | None
    """By which the logger's own run goes on after a stop."""

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of an epoch, from 1."""

    def flush(self) -> None:
        """Write what waits, if anything does: the run's state, which knows of it, is being saved."""

    def close(self) -> None:
        """Write what is left, and end."""


def require_loggers(names: tuple[str, ...]) -> None:
    """See that the loggers' libraries are there (MissingExtraError)."""
    for name in names:
        if name != "csv":  # which is the engine's own
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import_extra(f"The logger '{name}'", name, "train" if name == "tensorboard" else name)


def open_loggers(
    names: tuple[str, ...], folder: RunFolder, config: Mapping[str, Any], run_ids: Mapping[str, str], epochs_done: int
) -> dict[str, Logger]:
    """Open the loggers of a run; ``csv`` is the engine's own and no object.

    Parameters
    ----------
    names : tuple of str
    folder : RunFolder
    config : mapping
        The recipe, flat.
    run_ids : mapping of str to str
        Of a run that goes on: each logger's own name for it.
    epochs_done : int
        What comes after was logged by a part that was lost.
    """
    kinds: dict[str, Callable[..., Logger]] = {"tensorboard": _TensorBoard, "mlflow": _MLflow, "wandb": _Wandb}
    with warnings.catch_warnings():
        # They warn about the libraries that they use.
        warnings.simplefilter("ignore")
        return {name: kinds[name](folder, config, run_ids.get(name), epochs_done) for name in names if name in kinds}


class _TensorBoard(Logger):
    def __init__(self, folder: RunFolder, config: Mapping[str, Any], run_id: str | None, epochs_done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        del config
        self.run_id = run_id
        self._writer: Any = SummaryWriter(str(folder.tensorboard), purge_step=epochs_done + 1)

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            # Part and measure, so that TensorBoard groups them: validation/accuracy.
            part, _, measure = name.partition("_")
            tag = f"{part}/{measure}" if part in ("train", "validation") else name
            self._writer.add_scalar(tag, value, epoch)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _MLflow(Logger):
    def __init__(self, folder: RunFolder, config: Mapping[str, Any], run_id: str | None, epochs_done: int) -> None:
        self._mlflow: Any = importlib.import_module("mlflow")
        name = None if run_id else folder.path.name
        self.run_id: str | None = self._mlflow.start_run(run_id=run_id, run_name=name).info.run_id
        if not epochs_done and not run_id:
            self._mlflow.log_params({name: str(value)[:500] for name, value in config.items()})

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(metrics), step=epoch)

    def close(self) -> None:
        self._mlflow.end_run()


class _Wandb(Logger):
    def __init__(self, folder: RunFolder, config: Mapping[str, Any], run_id: str | None, epochs_done: int) -> None:
        del epochs_done
        wandb: Any = importlib.import_module("wandb")
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "mien"),
            name=folder.path.name,
            dir=str(folder.path),
            config=dict(config),
            id=run_id,
            resume="allow",
        )
        self.run_id: str | None = self._run.id

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._run.log({**metrics, "epoch": epoch}, step=epoch)

    def close(self) -> None:
        self._run.finish()
