"""What `mien evaluate` and `mien compare` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mien.errors import UsageError
from mien.options import Options, option

__all__ = ["CompareOptions", "EvaluateOptions"]


@dataclass(frozen=True, kw_only=True)
class _RowOptions(Options):
    """Which rows count, and how they are read."""

    split: str | None = option(
        None, "Split to evaluate on; needed only if the dataset has several besides 'train'.", metavar="NAME"
    )
    learned: bool = option(
        False,
        "Measure on the faces that training did not hold out, for the training accuracy, not on those that it did.",
    )
    labels: str | None = option(
        None,
        "Label scheme: fer7, ferplus8, valence3, basic3, or expressions such as happy,sad,neutral. By default the "
        "model's own classes.",
        metavar="SCHEME",
    )
    training: Path | None = option(
        None,
        "What the model was trained on: faces with a copy there (exact, near or mirrored) are counted "
        "separately. By default the split 'train' of --data, up to 100,000 faces.",
        metavar="PATH",
    )
    leaks: bool = option(True, "Look for copies of training faces (a few seconds for FER2013).")
    threads: int | None = option(None, "Threads; by default one per core.", minimum=1, maximum=1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.training is not None and not self.leaks:
            raise UsageError("training names faces to look for, and leaks is off; expected one or the other")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(_RowOptions):
    """How a model is evaluated."""

    by: str | None = option(
        None,
        "Also score each group of faces by these attributes, such as gender,age: those that 'mien data "
        "import' kept, or columns of a table.",
        metavar="NAMES",
    )
    ten_views: bool = option(
        True, "Also average ten shifted and mirrored views of each face (takes ten times as long)."
    )
    occlusion: int = option(
        0,
        "Also find out for so many of the faces that are read as each class which parts the answers rest on: the page "
        "shows it. Each face takes as long as reading 128.",
        metavar="N",
        minimum=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by is not None and not self.by.strip(" ,"):
            raise UsageError(f"by is {self.by!r}; expected names of attributes, such as gender,age")


@dataclass(frozen=True, kw_only=True)
class CompareOptions(_RowOptions):
    """How models are compared."""

    ten_views: bool = option(False, "Compare on ten views of each face instead of one pass.")
    timed_faces: int = option(200, "Number of faces to time each model on, one at a time; 0 skips timing.", minimum=0)
