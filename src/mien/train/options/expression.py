"""The recipe of an expression model. The defaults are a sensible recipe for any labelled faces."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from mien.errors import UsageError
from mien.options import Options, option
from mien.train.options.shared import Recipe
from mien.train.own import LOSSES, find_augmentation, find_loss

__all__ = ["AugmentOptions", "DataOptions", "DistillOptions", "ExpressionRecipe", "LossOptions", "ModelOptions"]


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """Which network, and its initial weights."""

    architecture: str = option("mien-base", "Name of an architecture ('mien models --architectures'), or timm:NAME.")
    size_px: int | None = option(
        None, "Width and height of the input; by default the architecture's own.", minimum=8, maximum=1024
    )
    channels: str | None = option(
        None, "Gray or colour input; by default the architecture's own.", choices=("gray", "rgb")
    )
    dropout: float = option(0.3, "Dropout rate before the heads.", minimum=0.0, maximum=0.95)
    architecture_options: tuple[str, ...] = option(
        (),
        "Further options of the architecture, with commas: NAME=VALUE; several numbers as 64:128. What is left out "
        "is as in the checkpoint that is started from, if that has the same architecture.",
        metavar="NAME=VALUE,...",
    )
    pretrained: bool = option(False, "Start from the pretrained weights of the architecture (fetched once).")
    pretrained_weights: Path | None = option(
        None,
        "Start from timm's pretrained weights in this file (.safetensors); nothing is fetched.",
        metavar="FILE",
    )
    start_from: Path | None = option(
        None,
        "Start from the weights of this checkpoint, or from the most important channels of a wider one; "
        "labels that it lacks start from scratch.",
        metavar="FILE",
    )
    frozen_backbone: bool = option(False, "Train the heads only; the backbone stays as it is.")
    backbone_rate: float = option(
        1.0,
        "Learning rate of the backbone as a multiple of the heads' (for fine-tuning, 0.1 for example).",
        minimum=0.0,
    )
    fresh_norms: int = option(
        0,
        "Before the network is validated and kept, measure its batch norm statistics again on this many training "
        "faces, which are not augmented except that some are made small; 0 keeps those of training.",
        minimum=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start_from is not None and (self.pretrained or self.pretrained_weights is not None):
            raise UsageError(
                "the network cannot start from a checkpoint (start_from) and from pretrained weights; give one of them"
            )
        if self.fresh_norms and self.frozen_backbone:
            raise UsageError("a frozen backbone stays as it is, batch norms too; give frozen_backbone or fresh_norms")


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Which faces are used for training, and which for validation."""

    dataset: Path | None = option(
        None,
        "Labelled faces: Parquet, a folder of class folders, or any known layout.",
        flag="--data",
        metavar="PATH",
    )
    train_split: str = option("train", "Split to train on.", metavar="NAME")
    validation_split: str | None = option(
        None,
        "Split that selects the best epoch; by default 'validation', or the only one besides the training split.",
        metavar="NAME",
    )
    validation_data: Path | None = option(
        None, "Labelled faces that select the best epoch, if they are not in --data.", metavar="PATH"
    )
    validation_share: float = option(
        0.1,
        "Without a validation split: share of the training rows that is held out instead; copies are kept together.",
        minimum=0.01,
        maximum=0.5,
    )
    data_seed: int | None = option(
        None,
        "Random seed for which rows are held out or drawn (validation_share, max_faces); by default the run's.",
        minimum=0,
        maximum=2**32 - 1,
    )
    fold: int | None = option(
        None,
        "Hold out this fold (column 'fold') of the training rows for validation, instead of a split.",
        minimum=0,
    )
    labels: str | None = option(
        None,
        "Label scheme: fer7, ferplus8, valence3, basic3, or expressions such as happy,sad,neutral. By default the "
        "dataset's own classes.",
        metavar="SCHEME",
    )
    leaked: str = option(
        "keep",
        "If a validation face has a copy in training (by the column 'leaked', else all are compared): "
        "'keep' both, or leave out the one in 'train' or in 'validation'.",
        choices=("keep", "train", "validation"),
    )
    sampling: str = option(
        "plain",
        "Draw every row once per epoch ('plain'), every class equally often ('balanced'), or by the "
        "dataset's column 'weight' ('weights').",
        choices=("plain", "balanced", "weights"),
    )
    max_faces: int | None = option(None, "Train on at most this many faces, drawn at random.", minimum=1)
    feeding: str = option(
        "auto",
        "Keep all faces in the memory of the device ('resident'), or read and decode them during "
        "training ('stream'); auto decides by their size.",
        choices=("auto", "resident", "stream"),
    )
    resident_limit_gb: float = option(
        8.0, "auto: stream splits that would take more than this on the device, in gigabytes.", minimum=0.0
    )
    not_faces: str = option(
        "keep",
        "Training rows that most annotators call 'not a face': 'keep' or 'drop' them.",
        choices=("keep", "drop"),
    )
    workers: int = option(4, "Processes that read and decode for 'stream'.", minimum=0)

    def require_dataset(self) -> Path:
        """The faces that are learned from; UsageError if the recipe names none."""
        if self.dataset is None:
            raise UsageError("no dataset to learn from; name one with --data PATH (or 'dataset:' in the recipe)")
        return self.dataset


@dataclass(frozen=True, kw_only=True)
class AugmentOptions(Options):
    """How training faces are augmented, differently in every epoch. 0 switches an augmentation off."""

    SHARES: ClassVar = ("mirror", "invert", "blur", "low_resolution", "erasing")
    """Augmentations of which a share of the faces is told; of the others it is how strong they are."""
    DETAILS: ClassVar = (
        "blur_sigma_px", "low_resolution_px", "erasing_area", "mix_share", "final_share", "final_strength",
        "own_augmentations",
    )  # fmt: skip
    """Fields that say more of others, and are no augmentations."""

    mirror: float = option(0.5, "Share of the faces that are mirrored.", minimum=0.0, maximum=1.0)
    rotation_deg: float = option(15.0, "Rotate by up to this many degrees.", minimum=0.0, maximum=180.0)
    scale: float = option(0.18, "Scale by a factor of exp(-s) to exp(s), for a value s.", minimum=0.0, maximum=1.0)
    aspect: float = option(
        0.08, "Change the aspect ratio by a factor of exp(-s) to exp(s), for a value s.", minimum=0.0, maximum=1.0
    )
    shift: float = option(0.09, "Shift by up to this share of the side.", minimum=0.0, maximum=0.5)
    crop: float = option(0.0, "Crop at random; up to this share of the side is cut off.", minimum=0.0, maximum=0.9)
    brightness: float = option(0.3, "Change brightness by up to this share.", minimum=0.0, maximum=1.0)
    contrast: float = option(0.3, "Change contrast by up to this share.", minimum=0.0, maximum=1.0)
    gamma: float = option(0.3, "Gamma correction of exp(-s) to exp(s), for a value s.", minimum=0.0, maximum=2.0)
    invert: float = option(0.0, "Share of the faces that are inverted (as a negative).", minimum=0.0, maximum=1.0)
    color_jitter: float = option(
        0.0, "Colour input: change saturation and hue by up to this share.", minimum=0.0, maximum=1.0
    )
    blur: float = option(0.0, "Share of the faces that are blurred.", minimum=0.0, maximum=1.0)
    blur_sigma_px: float = option(1.5, "Strongest blur: sigma in pixels of the input.", minimum=0.1, maximum=32.0)
    low_resolution: float = option(
        0.0,
        "Share of the faces that are scaled down and up again, to look like small faces in photos.",
        minimum=0.0,
        maximum=1.0,
    )
    low_resolution_px: int = option(12, "Smallest size to which these are scaled down.", minimum=2, maximum=1024)
    noise: float = option(
        0.0,
        "Strongest noise: standard deviation as a share of the range from black to white.",
        minimum=0.0,
        maximum=0.5,
    )
    erasing: float = option(0.5, "Share of the faces in which a rectangle is erased.", minimum=0.0, maximum=1.0)
    erasing_area: float = option(0.2, "Largest such rectangle, as a share of the image.", minimum=0.01, maximum=0.9)
    mixup: float = option(
        0.2,
        "Mixup of pairs of faces and their labels: alpha of the Beta distribution; 0 for none.",
        minimum=0.0,
        maximum=10.0,
    )
    cutmix: float = option(
        0.0,
        "CutMix, a part of another face pasted in: alpha of the Beta distribution; 0 for none.",
        minimum=0.0,
        maximum=10.0,
    )
    mix_share: float = option(
        0.7, "Share of the faces changed by mixup or cutmix (half each, if both are on).", minimum=0.0, maximum=1.0
    )
    final_share: float = option(
        0.1, "In this last share of the run, augmentation gets weaker ...", minimum=0.0, maximum=1.0
    )
    final_strength: float = option(0.5, "... down to this share of its strength.", minimum=0.0, maximum=1.0)
    own_augmentations: tuple[str, ...] = option(
        (),
        "Augmentations of your own that a program registers (docs/train.md), with commas: NAME=STRENGTH.",
        metavar="NAME=STRENGTH,...",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.own:
            find_augmentation(name)

    @property
    def own(self) -> dict[str, float]:
        """The strengths of the augmentations of one's own, without those that are switched off.

        Raises
        ------
        UsageError
            If an item is not NAME=STRENGTH, or a name comes twice.
        """
        strengths: dict[str, float] = {}
        for item in self.own_augmentations:
            name, _, text = item.partition("=")
            try:
                strength = float(text)
            except ValueError:
                strength = math.nan
            if not 0.0 <= strength < math.inf or name.strip() in strengths:
                raise UsageError(
                    f"own_augmentations has '{item}'; expected NAME=STRENGTH, each name once and a number from 0"
                )
            strengths[name.strip()] = strength
        return {name: strength for name, strength in strengths.items() if strength}

    @classmethod
    def names(cls) -> list[str]:
        """The augmentations."""
        return [item.name for item in fields(cls) if item.name not in cls.DETAILS]

    def only(self, **kept: Any) -> AugmentOptions:
        """The same with all augmentations off but those that are given here."""
        return replace(self, **{**dict.fromkeys(self.names(), 0.0), "own_augmentations": (), **kept})


@dataclass(frozen=True, kw_only=True)
class LossOptions(Options):
    """What is minimised."""

    loss: str = option(
        "cross-entropy",
        f"Loss on the labels: {', '.join(LOSSES)}, or one of your own that a program registers (docs/train.md).",
        metavar="NAME",
    )
    focal_gamma: float = option(2.0, "focal: how strongly easy faces are down-weighted.", minimum=0.0, maximum=10.0)
    label_smoothing: float = option(
        0.1, "Label smoothing: share of each label that is spread over all classes.", minimum=0.0, maximum=0.9
    )
    class_weights: str = option(
        "none",
        "Weight rare classes more: 'balanced' by their inverse frequency, 'effective' by their effective"
        " number (Cui et al., 2019).",
        choices=("none", "balanced", "effective"),
    )
    effective_beta: float = option(
        0.999, "effective: the closer to 1, the more rare classes count.", minimum=0.0, maximum=0.99999
    )
    relabel: float = option(
        0.0,
        "If the dataset has votes: how far labels are replaced by the annotators' votes (1: entirely).",
        minimum=0.0,
        maximum=1.0,
    )
    vote_weighting: float = option(
        0.0,
        "If the dataset has votes: how far a face is down-weighted when few annotators agree with its label.",
        minimum=0.0,
        maximum=1.0,
    )
    consistency: float = option(
        0.0,
        "Weight of a consistency loss between two slightly moved views of each face (a step takes twice as long).",
        minimum=0.0,
        maximum=100.0,
    )
    ferplus_weight: float = option(
        0.5,
        "If the dataset has FER+ votes: weight of the loss of a second head that learns them; 0 for no such head.",
        minimum=0.0,
        maximum=10.0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        find_loss(self.loss)


@dataclass(frozen=True, kw_only=True)
class DistillOptions(Options):
    """Distillation: learning from the answers of other models to the augmented faces."""

    teachers: tuple[Path, ...] = option(
        (),
        "Models to distil from, with commas: checkpoints, .onnx files, names of shipped ones. Their "
        "answers are averaged.",
        metavar="MODEL,...",
    )
    teacher_ten_views: bool = option(False, "Average each teacher over ten shifted and mirrored views.")
    teachers_see: str = option(
        "same",
        "What teachers see: the 'same' augmented face; a 'clear' one, with the same movement and light, "
        "but sharp and whole; or an 'other' one, sharp and whole, but moved and lit differently, so that"
        " answers depend less on the crop.",
        choices=("same", "clear", "other"),
        metavar="VIEW",
    )
    distill_temperature: float = option(
        2.0, "Temperature that softens the answers of teachers and student.", minimum=0.1, maximum=100.0
    )
    distill_weight: float = option(
        0.9, "Weight of the teachers' answers in the loss; the labels get the rest.", minimum=0.0, maximum=1.0
    )


@dataclass(frozen=True, kw_only=True)
class ExpressionRecipe(Recipe):
    """A training run of an expression model. docs/recipe.md lists the fields of its sections, and of every `Recipe`.

    Attributes
    ----------
    model : ModelOptions
        Which network, and its initial weights.
    data : DataOptions
        Which faces are used for training, and which for validation.
    augment : AugmentOptions
        How training faces are augmented.
    loss : LossOptions
        What is minimised.
    distill : DistillOptions
        Which other models are learned from, and how.
    """

    kind: ClassVar[str] = "expression"
    task: ClassVar[str] = "mien.train.expression.task:ExpressionTask"

    model: ModelOptions = field(default_factory=ModelOptions)
    data: DataOptions = field(default_factory=DataOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    distill: DistillOptions = field(default_factory=DistillOptions)

    def require_source(self) -> None:
        """As `Recipe.require_source`."""
        self.data.require_dataset()

    @property
    def rows_seed(self) -> int:
        """The seed by which rows are held out or drawn."""
        return self.run.seed if self.data.data_seed is None else self.data.data_seed
