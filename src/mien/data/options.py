"""What the commands on datasets can be told. Apart from them, so that the command line starts without loading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mien.data.info import TRAIN
from mien.errors import UsageError
from mien.options import check_options, option

__all__ = ["COPY_CORRELATION", "AuditOptions", "BalanceOptions", "ImportOptions", "SplitOptions"]

COPY_CORRELATION = 0.9
"""Two pictures count as copies from here: on FER2013 the correlations of pairs have a valley between 0.85 and 0.9."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How a source is imported."""

    layout: str | None = option(
        None,
        "Layout where it is not recognised: fer2013, ckplus, rafdb, affectnet, expw, parquet, folders, own-folders, "
        "table.",
    )
    classes: str | None = option(
        None,
        "What the source's own class numbers or names mean: expressions in the order of the numbers from 0, or pairs "
        "such as 1=surprise,2=fear or wut=angry.",
    )
    attributes: str | None = option(
        None,
        "Columns of the source to keep that tell of a face besides its expression, such as gender,age: reports show "
        "who is in the data, and 'mien evaluate --by' how well each group is read.",
        metavar="NAMES",
    )
    votes: Path | None = option(None, "A file of FER+ votes (fer2013new.csv) to join.", metavar="FILE")
    ferplus: str = option(
        "keep",
        "With votes: 'keep' the dataset's labels beside them, or take the FER+ 'majority' or 'distribution' as labels "
        "(eight classes; rows that the FER+ paper leaves out are left out).",
        choices=("keep", "majority", "distribution"),
    )
    images: Path | None = option(None, "Folder of the images where it is not beside the labels.", metavar="DIR")
    face_px: int | None = option(
        None, "Cut every face out by its box and store it gray, in this width and height.", minimum=8, maximum=4096
    )
    on_error: str = option("stop", "What to do at a damaged row.", choices=("stop", "skip"))

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How a dataset is audited."""

    model: str = option("base", "Expression model for wrong labels and 'not a face'.", metavar="NAME")
    detector: str = option("mien", "Face detector, or 'none'.", metavar="NAME")
    probabilities: Path | None = option(
        None, "Out-of-fold probabilities (.npy, .csv, .parquet) in place of the model's.", metavar="FILE"
    )
    trained_on: str = option(
        TRAIN, "Splits that the model was trained on, with commas, or 'none': its verdicts there are in-sample."
    )
    copy_correlation: float = option(
        COPY_CORRELATION, "Least correlation of near and mirrored copies.", minimum=0.5, maximum=1.0
    )
    evaluation: str = option(
        "keep",
        "What the plan proposes for rows of evaluation splits: 'keep' them, so that scores stay comparable, or "
        "'clean' them as it does training rows.",
        choices=("keep", "clean"),
    )
    threads: int | None = option(None, "Threads; by default one a core.", minimum=1)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class BalanceOptions:
    """How a dataset is balanced."""

    labels: str | None = option(
        None, "Label scheme: fer7, ferplus8, valence3, basic3, or expressions such as happy,sad,neutral."
    )
    drop: str | None = option(None, "Classes to leave out, with commas.", metavar="CLASSES")
    oversample: bool = option(False, "Add rows, mirrored, to every class of the training split up to the largest.")
    weights: bool = option(False, "Add the column 'weight': each class of the training split counts as much.")
    seed: int = option(0, "Seed of the choice of rows.", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How a dataset is split anew."""

    validation: float | None = option(
        None, "Share of the rows for the split 'validation'; 0.1 by default.", minimum=0.0, maximum=0.9
    )
    test: float | None = option(
        None, "Share of the rows for the split 'test'; none by default.", minimum=0.0, maximum=0.9
    )
    folds: int | None = option(
        None, "Number the rows by fold (column 'fold', from 0) in place of new splits.", minimum=2, maximum=100
    )
    only: str | None = option(
        None, "Split only the rows of this split (such as 'train') anew; the others stay as they are.", metavar="SPLIT"
    )
    seed: int = option(0, "Seed of the choice.", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
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
