"""The sections that every kind of model shares: optimizer, schedule, run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mien.errors import UsageError
from mien.options import Options, option

__all__ = ["OptimizerOptions", "Recipe", "RunOptions", "ScheduleOptions"]

_RATES = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3}
_DECAYS = {"sgd": 5e-4, "adam": 0.0, "adamw": 0.05}


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions(Options):
    """How weights are updated."""

    optimizer: str = option("sgd", "Optimizer; sgd is with Nesterov momentum.", choices=tuple(_RATES))
    learning_rate: float | None = option(
        None, "Largest learning rate; by default 0.1 for sgd, 0.001 for adam and adamw.", minimum=0.0
    )
    batch_size: int = option(256, "Images per step, over all devices together.", minimum=1)
    momentum: float = option(0.9, "Momentum of sgd, or first beta of adam and adamw.", minimum=0.0, maximum=0.9999)
    second_beta: float = option(0.999, "Second beta of adam and adamw.", minimum=0.0, maximum=0.99999)
    weight_decay: float | None = option(
        None, "Weight decay; by default 0.0005 for sgd, 0 for adam, 0.05 for adamw.", minimum=0.0
    )
    decay_norms: bool = option(
        True, "Apply weight decay to normalisation weights and biases too, not only to matrices and kernels."
    )
    clip_norm: float = option(5.0, "Clip the gradient to this norm over all weights; 0 does not clip.", minimum=0.0)
    sam_radius: float = option(
        0.0,
        "SAM: take each step by the gradient at this distance, where the loss is highest; 0.05 to 0.1 is common. "
        "A step takes about twice the time. 0 for none.",
        minimum=0.0,
    )
    ema_decay: float = option(
        0.999,
        "Decay per step of the exponential moving average of the weights, which is what is validated and"
        " saved; 0 for none. It starts lower, so that short runs benefit too.",
        minimum=0.0,
        maximum=0.99999,
    )
    keep_start: float = option(
        0.0,
        "Fine-tuning: share of the initial weights in what is validated and saved, so that less is forgotten.",
        minimum=0.0,
        maximum=1.0,
    )

    @property
    def rate(self) -> float:
        """The largest learning rate, given or by the optimizer's default."""
        return _RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    @property
    def decay(self) -> float:
        """The weight decay, given or by the optimizer's default."""
        return _DECAYS[self.optimizer] if self.weight_decay is None else self.weight_decay


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions(Options):
    """How long to train, and the learning rate over time."""

    epochs: int = option(60, "Budget: how often every training image is seen.", minimum=1)
    minutes: float | None = option(
        None, "Budget in minutes instead of epochs; the learning rate schedule is fitted to it.", minimum=0.0
    )
    schedule: str = option(
        "cosine",
        "Learning rate over the run: cosine decay to zero; one-cycle, up and down once; plateau, reduced"
        " whenever the metric stops improving; or constant.",
        choices=("cosine", "one-cycle", "plateau", "constant"),
    )
    warmup_epochs: float = option(
        2.0, "Epochs over which the learning rate rises from zero (not for one-cycle).", minimum=0.0
    )
    peak_share: float = option(0.3, "one-cycle: share of the run before the peak.", minimum=0.01, maximum=0.99)
    plateau_factor: float = option(
        0.2, "plateau: factor by which the learning rate is multiplied.", minimum=0.0, maximum=1.0
    )
    plateau_patience: int = option(5, "plateau: epochs without improvement before that.", minimum=1)
    early_stop: int | None = option(None, "Stop after this many epochs without improvement.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minutes is not None and self.minutes <= 0:
            raise UsageError(f"minutes is {self.minutes:g}; expected more than 0")


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """On which device, with which seed, and what is logged."""

    seed: int = option(0, "Random seed for initial weights, order and augmentation.", minimum=0, maximum=2**32 - 1)
    accelerator: str = option(
        "auto", "Where to compute; auto takes a GPU if there is one.", choices=("auto", "cpu", "cuda")
    )
    devices: int = option(1, "GPUs per machine; without a GPU, processes.", minimum=1)
    nodes: int = option(1, "Number of machines.", minimum=1)
    precision: str = option(
        "auto",
        "bf16 (mixed precision) or float32; auto is bf16 on a GPU that supports it.",
        choices=("auto", "bf16", "32"),
    )
    channels_last: bool = option(True, "Use the NHWC memory layout, in which convolutions run faster.")
    compile: str = option(
        "none",
        "Compile the network with torch.compile; 'graphs' also uses CUDA graphs. Takes a minute at the start.",
        choices=("none", "network", "graphs"),
    )
    deterministic: bool = option(False, "Use deterministic kernels on a GPU too, where they exist (slower).")
    threads: int | None = option(
        None,
        "CPU threads per process; by default torch's choice, within the limit of a container.",
        minimum=1,
        maximum=1024,
    )
    save_every_s: float = option(
        30.0,
        "Seconds between writing checkpoints and the state that --resume needs; 0: after every epoch.",
        minimum=0.0,
    )
    loggers: tuple[str, ...] = option(
        ("csv", "tensorboard"), "Where metrics go, with commas: csv, tensorboard, mlflow, wandb."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.loggers if name not in {"csv", "tensorboard", "mlflow", "wandb"}]
        if unknown:
            raise UsageError(f"loggers has {unknown[0]!r}; expected some of csv, tensorboard, mlflow, wandb")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training run, as data; each kind of model has its own subclass with its own sections besides these.

    Each section is a frozen dataclass of options. Names of fields are unique over all sections of a kind.

    Attributes
    ----------
    optimizer : OptimizerOptions
        How weights are updated.
    schedule : ScheduleOptions
        How long to train, and the learning rate over time.
    run : RunOptions
        On which device, with which seed, and what is logged.
    """

    kind: ClassVar[str] = ""
    """The word after ``kind:`` in the file."""
    task: ClassVar[str] = ""
    """``module:Class`` of what trains it, a `mien.train.task.Task` that is built from the recipe alone."""

    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def require_source(self) -> None:
        """Raise UsageError if the recipe does not name what is learned from; nothing is looked for."""
