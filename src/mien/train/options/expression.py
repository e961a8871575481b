"""The recipe of an expression model. The defaults are a sensible recipe for any labelled faces."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mien.errors import UsageError
from mien.options import check_options, option
from mien.train.options.shared import Recipe

__all__ = ["AugmentOptions", "DataOptions", "DistillOptions", "ExpressionRecipe", "LossOptions", "ModelOptions"]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which network, and where its weights start."""

    architecture: str = option("mien-base", "Name of an architecture ('mien models --architectures'), or timm:NAME.")
    size_px: int | None = option(
        None, "Width and height of the input; by default the architecture's own.", minimum=8, maximum=1024
    )
    channels: str | None = option(
        None, "Gray or colour input; by default the architecture's own.", choices=("gray", "rgb")
    )
    dropout: float = option(
        0.3, "Share of the features dropped before the heads while training.", minimum=0.0, maximum=0.95
    )
    architecture_options: tuple[str, ...] = option(
        (),
        "Further options of the architecture, with commas: NAME=VALUE, several numbers as 64:128.",
        metavar="NAME=VALUE,...",
    )
    pretrained: bool = option(False, "Start from the pretrained weights of the architecture (fetched once).")
    pretrained_weights: Path | None = option(
        None,
        "Start from the pretrained weights in this file of timm's (.safetensors): nothing is fetched.",
        metavar="FILE",
    )
    start_from: Path | None = option(
        None,
        "Start from the weights of this checkpoint, or the best part of a wider one; labels that it lacks start anew.",
        metavar="FILE",
    )
    frozen_backbone: bool = option(False, "Train the heads only, on top of the weights as they are.")
    backbone_rate: float = option(
        1.0, "Learning rate of the backbone as a multiple of the heads' (fine-tuning: 0.1, say).", minimum=0.0
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.start_from is not None and (self.pretrained or self.pretrained_weights is not None):
            raise UsageError(
                "the network cannot start from a checkpoint (start_from) and from pretrained weights; give one of them"
            )


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which faces are learned from, and which choose."""

    dataset: Path | None = option(
        None,
        "Labelled faces: Parquet, a folder of class folders, or any known layout.",
        flag="--data",
        metavar="PATH",
    )
    train_split: str = option("train", "Split to learn from.", metavar="NAME")
    validation_split: str | None = option(
        None, "Split that chooses the best epoch; by default 'validation', or the only other one.", metavar="NAME"
    )
    validation_data: Path | None = option(
        None, "Labelled faces that choose, where they are not in --data.", metavar="PATH"
    )
    validation_share: float = option(
        0.1,
        "Where there is no split to choose by: share of the training rows held out for it, copies kept together.",
        minimum=0.01,
        maximum=0.5,
    )
    fold: int | None = option(
        None,
        "Hold this fold (column 'fold') of the training rows out and choose by it, in place of a split.",
        minimum=0,
    )
    labels: str | None = option(
        None,
        "Label scheme: fer7, ferplus8, valence3, basic3, or expressions such as happy,sad,neutral. By default the "
        "dataset's own classes.",
    )
    leaked: str = option(
        "keep",
        "Where a validation face has a copy in training (by the column 'leaked', else all are compared): 'keep' both, "
        "or leave the one in 'train' or in 'validation' out.",
        choices=("keep", "train", "validation"),
    )
    sampling: str = option(
        "plain",
        "Draw every row once an epoch, every class as often ('balanced'), or by the dataset's column 'weight'.",
        choices=("plain", "balanced", "weights"),
    )
    max_faces: int | None = option(None, "Learn from this many faces at most, drawn by the seed.", minimum=1)
    feeding: str = option(
        "auto",
        "Keep all faces on the device ('resident'), or read and decode them while training ('stream'); auto decides by "
        "their size.",
        choices=("auto", "resident", "stream"),
    )
    resident_limit_gb: float = option(
        8.0, "auto: streams splits that are larger than this on the device, in gigabytes.", minimum=0.0
    )
    not_faces: str = option(
        "keep",
        "Training rows that most annotators call 'not a face': 'keep' them, or 'drop' them.",
        choices=("keep", "drop"),
    )
    workers: int = option(4, "Processes that read and decode in 'stream'.", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """How training faces are varied, each anew in every epoch. 0 switches an augmentation off."""

    mirror: float = option(0.5, "Share of the faces mirrored.", minimum=0.0, maximum=1.0)
    rotation_deg: float = option(15.0, "Rotated by up to this many degrees.", minimum=0.0, maximum=180.0)
    scale: float = option(0.18, "Scaled by exp(+-this).", minimum=0.0, maximum=1.0)
    aspect: float = option(0.08, "Width over height changed by exp(+-this).", minimum=0.0, maximum=1.0)
    shift: float = option(0.09, "Shifted by up to this share of the side.", minimum=0.0, maximum=0.5)
    crop: float = option(
        0.0, "Cut to a random part; up to this share of the side is cut off.", minimum=0.0, maximum=0.9
    )
    brightness: float = option(0.3, "Brightness changed by up to this share.", minimum=0.0, maximum=1.0)
    contrast: float = option(0.3, "Contrast changed by up to this share.", minimum=0.0, maximum=1.0)
    gamma: float = option(0.3, "Gamma of exp(+-this).", minimum=0.0, maximum=2.0)
    invert: float = option(0.0, "Share of the faces inverted (a negative).", minimum=0.0, maximum=1.0)
    color_jitter: float = option(
        0.0, "Colour input: saturation and hue changed by up to this share.", minimum=0.0, maximum=1.0
    )
    blur: float = option(0.0, "Share of the faces blurred.", minimum=0.0, maximum=1.0)
    blur_sigma_px: float = option(1.5, "Strongest blur: sigma in pixels of the input.", minimum=0.1, maximum=32.0)
    low_resolution: float = option(
        0.0, "Share of the faces made small and large again, as small faces in photos are.", minimum=0.0, maximum=1.0
    )
    low_resolution_px: int = option(12, "The smallest of these small faces.", minimum=2, maximum=1024)
    noise: float = option(
        0.0,
        "Strongest noise: its standard deviation as a share of the range from black to white.",
        minimum=0.0,
        maximum=0.5,
    )
    erasing: float = option(0.5, "Share of the faces with one rectangle erased.", minimum=0.0, maximum=1.0)
    erasing_area: float = option(0.2, "Largest such rectangle, as a share of the picture.", minimum=0.01, maximum=0.9)
    mixup: float = option(0.2, "Mix pairs of faces and of their labels: alpha of the Beta.", minimum=0.0, maximum=10.0)
    cutmix: float = option(0.0, "Paste a part of another face: alpha of the Beta.", minimum=0.0, maximum=10.0)
    mix_share: float = option(
        0.7, "Share of the faces that mixup or cutmix (half each, where both are on) changes.", minimum=0.0, maximum=1.0
    )
    final_share: float = option(
        0.1, "In this last part of the run augmentation gets weaker ...", minimum=0.0, maximum=1.0
    )
    final_strength: float = option(0.5, "... down to this share of its strength.", minimum=0.0, maximum=1.0)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """What is minimised."""

    loss: str = option("cross-entropy", "Loss of the labels.", choices=("cross-entropy", "focal"))
    focal_gamma: float = option(2.0, "focal: how much less easy faces count.", minimum=0.0, maximum=10.0)
    label_smoothing: float = option(0.1, "Share of each label spread over all classes.", minimum=0.0, maximum=0.9)
    class_weights: str = option(
        "none",
        "Rare classes count more: 'balanced' by one over their share, 'effective' by their effective number "
        "(Cui et al. 2019).",
        choices=("none", "balanced", "effective"),
    )
    effective_beta: float = option(
        0.999, "effective: the nearer to 1, the more rare classes count.", minimum=0.0, maximum=0.99999
    )
    relabel: float = option(
        0.0,
        "Where the dataset has votes: how far labels give way to what the annotators said (1: wholly).",
        minimum=0.0,
        maximum=1.0,
    )
    vote_weighting: float = option(
        0.0,
        "Where the dataset has votes: how far a face counts less, the fewer annotators agree with its label.",
        minimum=0.0,
        maximum=1.0,
    )
    consistency: float = option(
        0.0,
        "Weight of a loss on answers that differ between two slightly moved views (a step costs twice as much).",
        minimum=0.0,
        maximum=100.0,
    )
    ferplus_weight: float = option(
        0.5,
        "Weight of a second head's loss on FER+ votes, where the dataset has votes; 0 for no such head.",
        minimum=0.0,
        maximum=10.0,
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class DistillOptions:
    """Learning from other models' answers to the same, equally varied faces."""

    teachers: tuple[Path, ...] = option(
        (),
        "Models whose averaged answers are learned too, with commas: checkpoints, .onnx files, names of shipped ones.",
        metavar="MODEL,...",
    )
    teacher_ten_views: bool = option(False, "Average each teacher over ten shifted and mirrored views.")
    teachers_see: str = option(
        "same",
        "What teachers are shown: the 'same' varied face; a 'clear' one: moved and lit alike, but sharp and whole; or "
        "an 'other' one: sharp and whole, but moved and lit otherwise, so that answers hang less on the crop.",
        choices=("same", "clear", "other"),
    )
    distill_temperature: float = option(2.0, "Softens teachers and student alike.", minimum=0.1, maximum=100.0)
    distill_weight: float = option(
        0.9, "Weight of the teachers' answers; the labels get the rest.", minimum=0.0, maximum=1.0
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class ExpressionRecipe(Recipe):
    """A training run of an expression model."""

    kind: ClassVar[str] = "expression"
    task: ClassVar[str] = "mien.train.expression.task:ExpressionTask"

    model: ModelOptions = field(default_factory=ModelOptions)
    data: DataOptions = field(default_factory=DataOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    distill: DistillOptions = field(default_factory=DistillOptions)
