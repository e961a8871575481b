"""What the commands on datasets can be told. Apart from them, so that the command line starts without loading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mien.data.info import TRAIN
from mien.errors import UsageError
from mien.options import Options, option

__all__ = ["COPY_CORRELATION", "AlignOptions", "AuditOptions", "BalanceOptions", "ImportOptions", "SplitOptions"]

COPY_CORRELATION = 0.9
"""Two pictures count as copies from here: on FER2013 the correlations of pairs have a valley between 0.85 and 0.9."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions(Options):
    """How a source is imported."""

    layout: str | None = option(
        None,
        "Layout, if it is not recognised: fer2013, ckplus, ferplus, rafdb, affectnet, expw, cohn-kanade, kdef, jaffe, "
        "rafd, parquet, folders, own-folders, table, yolo, coco, voc.",
        metavar="NAME",
    )
    classes: str | None = option(
        None,
        "What the class numbers or names of the source mean: expressions, or classes of your own, in the order of the "
        "numbers from 0, or pairs such as 1=surprise,2=fear or wut=angry.",
        metavar="NAMES",
    )
    attributes: str | None = option(
        None,
        "Columns with further facts about each face to keep, such as gender,age: reports then show who "
        "is in the data, and 'mien evaluate --by' how well each group is read.",
        metavar="NAMES",
    )
    image_column: str | None = option(
        None,
        "Column of images, or of their files, in a table or Parquet, if it is not recognised.",
        metavar="NAME",
    )
    label_column: str | None = option(None, "Likewise the column of the labels.", metavar="NAME")
    split_column: str | None = option(None, "Likewise the column of the splits.", metavar="NAME")
    votes: Path | None = option(None, "A file of FER+ votes (fer2013new.csv) to join.", metavar="FILE")
    ferplus: str = option(
        "keep",
        "With votes: 'keep' the dataset's own labels, or replace them by the FER+ 'majority' or "
        "'distribution' (eight classes; rows that the FER+ paper leaves out are left out).",
        choices=("keep", "majority", "distribution"),
    )
    images: Path | None = option(None, "Folder of the images, if they are not beside the labels.", metavar="DIR")
    face_px: int | None = option(
        None,
        "Cut every face out by its box and store it in gray with this width and height.",
        metavar="PX",
        minimum=8,
        maximum=4096,
    )
    on_error: str = option("stop", "What to do with damaged rows.", choices=("stop", "skip"))

    @property
    def columns(self) -> dict[str, str]:
        """The columns that are named."""
        named = {"image": self.image_column, "label": self.label_column, "split": self.split_column}
        return {what: name for what, name in named.items() if name is not None}


@dataclass(frozen=True, kw_only=True)
class AuditOptions(Options):
    """How a dataset is audited."""

    model: str = option("base", "Expression model that judges labels and 'not a face'.", metavar="NAME")
    detector: str = option("mien", "Face detector, or 'none'.", metavar="NAME")
    probabilities: Path | None = option(
        None, "Out-of-fold probabilities (.npy, .csv, .parquet) to use instead of the model's.", metavar="FILE"
    )
    trained_on: str = option(
        TRAIN,
        "Splits that the model was trained on, with commas, or 'none': its verdicts there are marked as in-sample.",
        metavar="SPLITS",
    )
    copy_correlation: float = option(
        COPY_CORRELATION,
        "Lowest correlation at which two pictures count as near or mirrored copies.",
        minimum=0.5,
        maximum=1.0,
    )
    evaluation: str = option(
        "keep",
        "What the plan proposes for rows of evaluation splits: 'keep' them, so that scores stay "
        "comparable, or 'clean' them like training rows.",
        choices=("keep", "clean"),
    )
    threads: int | None = option(None, "Threads; by default one per core.", minimum=1, maximum=1024)


@dataclass(frozen=True, kw_only=True)
class AlignOptions(Options):
    """How the faces of a dataset are aligned."""

    face_px: int = option(48, "Width and height of the aligned faces in pixels.", metavar="PX", minimum=8, maximum=1024)
    detector: str = option("mien", "Face detector that finds the landmarks where a row has none.", metavar="NAME")
    without_face: str = option(
        "keep",
        "Rows in which no face is found: 'keep' their picture, cut out by its box if it has one, or 'drop' the row.",
        choices=("keep", "drop"),
    )
    threads: int | None = option(None, "Threads; by default one per core.", minimum=1, maximum=1024)


@dataclass(frozen=True, kw_only=True)
class BalanceOptions(Options):
    """How a dataset is balanced."""

    labels: str | None = option(
        None,
        "Label scheme: fer7, ferplus8, valence3, basic3, or expressions such as happy,sad,neutral.",
        metavar="SCHEME",
    )
    drop: str | None = option(None, "Classes to leave out, with commas.", metavar="CLASSES")
    oversample: bool = option(
        False,
        "Repeat rows of the training split, every second time mirrored, until all classes are as large as the largest.",
    )
    weights: bool = option(False, "Add the column 'weight', by which each class of the training split counts the same.")
    seed: int = option(0, "Random seed for choosing rows.", minimum=0)


@dataclass(frozen=True, kw_only=True)
class SplitOptions(Options):
    """How a dataset is split anew."""

    validation: float | None = option(
        None, "Share of the rows for the split 'validation'; 0.1 by default.", minimum=0.0, maximum=0.9
    )
    test: float | None = option(
        None, "Share of the rows for the split 'test'; none by default.", minimum=0.0, maximum=0.9
    )
    folds: int | None = option(
        None, "Number the rows by fold (column 'fold', from 0) instead of making new splits.", minimum=2, maximum=100
    )
    together: str | None = option(
        None,
        "Attribute whose values are never on both sides, such as person: nobody is learned from and measured on.",
        metavar="NAME",
    )
    only: str | None = option(
        None, "Divide only the rows of this split, such as 'train'; the others stay as they are.", metavar="SPLIT"
    )
    seed: int = option(0, "Random seed.", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folds is not None and (self.validation is not None or self.test is not None):
            raise UsageError("folds are numbered in place of new splits: give either folds, or validation and test")
        if sum(self.shares.values()) > 0.9:
            told = " and ".join(f"{name} {share}" for name, share in sorted(self.shares.items(), reverse=True))
            raise UsageError(f"{told} leave less than a tenth for training")

    @property
    def shares(self) -> dict[str, float]:
        """The share of each new evaluation split, with the defaults."""
        return {
            "test": 0.0 if self.test is None else self.test,
            "validation": 0.1 if self.validation is None else self.validation,
        }
