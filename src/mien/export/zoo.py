"""Make the shipped expression models again: ``python -m mien.export.zoo --data FOLDER``.

Run from the root of a checkout. The folder holds ``fer2013/fer2013-train.parquet`` and
``fer2013/fer2013-valid.parquet``; the checkpoints are in ``weights/``.

The detector's file and card are kept as they are: its scores are those of ``mien evaluate mien``, on photos that are
not in the project, and stand on the card alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mien.data.copies import copied_rows
from mien.data.fer2013 import read_fer2013_parquet
from mien.errors import MienError
from mien.export.expression import ModelDescription, export_expression_model
from mien.export.measure import LabelledFaces
from mien.export.quantize import choose_calibration_images
from mien.train.checkpoint import read_checkpoint
from mien.zoo.card import ModelCard, TrainingData

__all__ = ["CHECKPOINTS", "main", "make_expression_models"]

COMMAND = "python -m mien.export.zoo --data FOLDER"
ZOO = Path(__file__).parents[1] / "zoo"

FER2013_TERMS = (
    "ICML 2013 challenge (Goodfellow et al.); 28,709 images of the Training split, gathered by web search, for "
    "research use"
)
FERPLUS_TERMS = "ten annotators' votes on the same images (Barsoum et al., 2016); MIT licence"
TRAINING_DATA = (
    TrainingData("FER2013 Training", FER2013_TERMS),
    TrainingData("FER+ votes", FERPLUS_TERMS),
)
LICENCE = (
    "Apache-2.0 for the weights. The training images were collected from the web for research: whether that allows "
    "a commercial use is for the user to judge."
)
DISTILLED = "Distilled from an ensemble of four larger networks that were trained on the same images."
SMALL_FACES = "Then taught to read faces of few pixels: recipes/small-faces.yaml."
TAUGHT_AGAIN = "Then taught once more by wide and tiny, and put half-way: recipes/taught-again.yaml."
STEADY = "Then given blur pools, so that answers depend less on the crop: recipes/steady-faces.yaml."
NOTES = (
    "The labels are what onlookers see in a face, not what the person feels; two sets of annotators agree on 67 % "
    "of these images. People, cultures and ages are not evenly represented.",
)


def _describe(name: str, summary: str, *notes: str) -> ModelDescription:
    return ModelDescription(
        name=name,
        summary=summary,
        licence=LICENCE,
        training_data=TRAINING_DATA,
        made_by=f"{COMMAND} (from weights/{name}.safetensors)",
        notes=notes + NOTES,
    )


CHECKPOINTS = {
    f"{description.name}.safetensors": description
    for description in (
        _describe(
            "tiny",
            "The fastest: four stages of two convolutions, 32 to 256 channels.",
            DISTILLED,
            SMALL_FACES,
            STEADY,
        ),
        _describe(
            "small",
            "Half the time of base, and surer of small faces than tiny: four stages of three convolutions, 32 to 256 "
            "channels.",
            DISTILLED,
            SMALL_FACES,
            STEADY,
            TAUGHT_AGAIN,
        ),
        _describe(
            "base",
            "The default: four stages of two convolutions, 64 to 512 channels.",
            DISTILLED,
            SMALL_FACES,
            STEADY,
            TAUGHT_AGAIN,
        ),
        _describe(
            "wide",
            "The most accurate: four stages of two convolutions, 96 to 512 channels.",
            SMALL_FACES,
            STEADY,
            TAUGHT_AGAIN,
        ),
    )
}
"""The checkpoint of each shipped expression model, with its description."""


def make_expression_models(weights: Path, data: Path, models: Path, cards: Path) -> list[ModelCard]:
    """Export every model of `CHECKPOINTS`.

    Parameters
    ----------
    weights : Path
        Folder of the checkpoints.
    data : Path
        Folder that holds ``fer2013/``.
    models, cards : Path
        Folders for the ONNX files and the cards.

    Raises
    ------
    MienError
        If something cannot be read, converted or written.
    """
    training = read_fer2013_parquet(data / "fer2013" / "fer2013-train.parquet").images
    validation = read_fer2013_parquet(data / "fer2013" / "fer2013-valid.parquet")
    faces = LabelledFaces(
        images=validation.images[:, None],
        label=validation.labels,
        votes=validation.votes,
        copies=copied_rows(validation.images, training),
    )
    return [
        export_expression_model(
            weights / checkpoint,
            models,
            description=replace(description, learned_from=read_checkpoint(weights / checkpoint).learned_from),
            calibration_images=choose_calibration_images(training)[:, None],
            faces=faces,
            cards=cards,
        )
        for checkpoint, description in CHECKPOINTS.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the zoo and print what came out; 1 if it could not be made."""
    parser = argparse.ArgumentParser(
        prog="python -m mien.export.zoo", description="Make the shipped expression models again."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds fer2013/")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of the checkpoints")
    parser.add_argument("--models", type=Path, default=ZOO / "weights", help="folder for the ONNX files")
    parser.add_argument("--cards", type=Path, default=ZOO / "cards", help="folder for the cards")
    given = parser.parse_args(arguments)
    try:
        cards = make_expression_models(given.weights, given.data, given.models, given.cards)
    except MienError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for card in cards:
        fer7 = card.scores["fer7"]
        sys.stdout.write(
            f"{card.name}: {(given.models / card.file).stat().st_size:,} bytes, sha256 {card.sha256}\n"
            f"  torch to ONNX: largest logit difference {card.scores['torch_to_onnx_max_logit_difference']}\n"
            f"  accuracy {card.precision} {fer7['one_pass']['accuracy']:.4f}, float32 {fer7['float32_accuracy']:.4f}, "
            f"same answer {fer7['float32_agreement']:.4f}, ten views {fer7['ten_views']['accuracy']:.4f}\n"
            f"  temperatures {', '.join(f'{head.output} {head.temperature}' for head in card.heads)}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
