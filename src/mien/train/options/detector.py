"""The sections of a detector's recipe; optimizer, schedule and run are those of every recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mien.errors import UsageError
from mien.options import Options, option
from mien.train.options.shared import Recipe

__all__ = ["DetectorAugment", "DetectorData", "DetectorLoss", "DetectorModel", "DetectorRecipe"]


@dataclass(frozen=True, kw_only=True)
class DetectorModel(Options):
    """The network of a detector."""

    init: Path | None = option(
        None, "Start from this detector checkpoint (.safetensors); by default from scratch.", metavar="FILE"
    )


@dataclass(frozen=True, kw_only=True)
class DetectorData(Options):
    """What a detector is trained on."""

    photos: Path | None = option(None, "Photos with face boxes, as 'mien data photos' writes them.", metavar="FILE")
    choose_on: str = option("validation", "Split of the photos that selects the best checkpoint.", metavar="SPLIT")
    choose_photos: int = option(
        400, "How many photos of that split to use, spread evenly over it; 0 for all.", minimum=0
    )
    crops: Path | None = option(
        None,
        "Cropped faces to paste into the mosaics at all sizes: a dataset of 'mien data import' or any layout.",
        metavar="PATH",
    )
    most_crops: int = option(3000, "How many of the cropped faces to use, spread evenly over them.", minimum=1)
    scene_weight: float = option(
        4.0, "How much more often photos with space around the faces are shown than portraits and crops.", minimum=0.1
    )
    snap: float = option(
        0.5,
        "How far boxes drawn by people are moved to where boxes of the other collections lie around the "
        "same landmarks: 0 not at all, 1 entirely.",
        minimum=0.0,
        maximum=1.0,
    )
    teacher_score: float = option(
        0.85,
        "Unlabelled places to which the teacher gives at least this score count as faces; above 1, none do.",
        minimum=0.0,
    )
    mosaic_px: int = option(256, "Side of a training image, a multiple of 32.", minimum=64, maximum=2048)
    mosaics_an_epoch: int = option(8000, "Training images in an epoch.", minimum=1)
    mosaic_workers: int = option(
        0, "Processes that make training images in advance; 0 makes them between the steps (on a CPU).", minimum=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mosaic_px % 32:
            raise UsageError(f"mosaic_px is {self.mosaic_px}; expected a multiple of 32")

    def require_photos(self) -> Path:
        """The photos that are learned from; UsageError if the recipe names none."""
        if self.photos is None:
            raise UsageError("no photos to learn from; give --photos FILE.parquet, which 'mien data photos' writes")
        return self.photos


@dataclass(frozen=True, kw_only=True)
class DetectorAugment(Options):
    """How the training images of a detector are made."""

    smallest_face_px: float = option(10.0, "Smaller faces are shown, but ignored in the loss.", minimum=4.0)
    largest_face_share: float = option(
        1.1, "Largest face, as a share of the side of the training image.", minimum=0.2, maximum=2.0
    )
    max_enlarge: float = option(2.5, "Photos are never enlarged by more than this factor.", minimum=1.0)
    single: float = option(0.3, "Share of training images that show one photo only.", minimum=0.0, maximum=1.0)
    tilt_deg: float = option(12.0, "Standard deviation of the tilt of most photos, in degrees.", minimum=0.0)
    strong_tilt: float = option(
        0.3, "Share of photos tilted by any angle up to 'strong_tilt_deg'.", minimum=0.0, maximum=1.0
    )
    strong_tilt_deg: float = option(50.0, "The largest tilt, in degrees.", minimum=0.0, maximum=60.0)
    empty: float = option(
        0.12, "Share of the tiles that show no face: parts of photos and drawn patterns.", minimum=0.0, maximum=0.9
    )
    distractors: float = option(
        0.35, "Share of training images with drawn stars, swirls, text, cartoon faces and the like.",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    crowds: float = option(
        0.12, "Share of training images that show a crowd, put together from heads of many photos.",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    cover: float = option(
        0.1, "Share of the faces of which a part is hidden behind something.", minimum=0.0, maximum=1.0
    )
    paste: float = option(0.35, "Share of training images with cropped faces pasted in.", minimum=0.0, maximum=1.0)
    light: float = option(
        1.0, "Strength of changes of brightness, contrast and gamma; 0 switches them off.", minimum=0.0, maximum=2.0
    )
    low_light: float = option(0.12, "Share of the tiles that are made very dark and noisy.", minimum=0.0, maximum=1.0)
    noise_share: float = option(0.2, "Share of training images with noise.", minimum=0.0, maximum=1.0)
    blur_share: float = option(0.15, "Share of training images that are blurred, or scaled down and up again.",
                         minimum=0.0, maximum=1.0)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DetectorLoss(Options):
    """The loss of a detector."""

    box_weight: float = option(2.0, "Weight of the boxes (generalised IoU).", minimum=0.0)
    landmark_weight: float = option(
        1.5, "Weight of the landmarks (smooth L1, relative to the size of the face).", minimum=0.0
    )
    teacher_landmarks: float = option(
        0.4, "Weight of landmarks set by another detector, relative to those set by people.", minimum=0.0, maximum=1.0
    )
    focus: float = option(2.0, "Exponent by which cells that are already right lose weight (quality focal loss).",
                          minimum=0.0, maximum=5.0)  # fmt: skip
    quality: float = option(
        0.5,
        "Target score of a cell with a face: at 0 it is always 1, at 1 it is the overlap of its box with"
        " the face's; in between, a mixture.",
        minimum=0.0,
        maximum=1.0,
    )
    most_cells: int = option(10, "At most this many cells are assigned to one face.", minimum=1, maximum=50)


@dataclass(frozen=True, kw_only=True)
class DetectorRecipe(Recipe):
    """A training run of a face detector."""

    kind: ClassVar[str] = "detector"
    task: ClassVar[str] = "mien.train.detector.task:DetectorTask"

    model: DetectorModel = field(default_factory=DetectorModel)
    data: DetectorData = field(default_factory=DetectorData)
    augment: DetectorAugment = field(default_factory=DetectorAugment)
    loss: DetectorLoss = field(default_factory=DetectorLoss)

    def require_source(self) -> None:
        """As `Recipe.require_source`."""
        self.data.require_photos()
