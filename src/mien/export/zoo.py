"""Make the shipped models again: ``python -m mien.export.zoo --data FOLDER``.

Run from the root of a checkout. The folder holds ``fer2013/fer2013-train.parquet`` and
``fer2013/fer2013-valid.parquet``; the checkpoints are in ``weights/``.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from mien.data.fer2013 import copies_in, read_fer2013_parquet
from mien.detect.mien import MienSettings
from mien.errors import MienError, ModelError
from mien.export.expression import ModelDescription, export_expression_model
from mien.export.measure import LabelledFaces
from mien.export.quantize import choose_calibration_images
from mien.train.detector.network import DETECTOR_INPUT
from mien.zoo.card import ModelCard, TrainingData

__all__ = ["CHECKPOINTS", "main", "make_detector_card", "make_expression_models"]

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
            "Half the time of base: four stages of three convolutions, 32 to 256 channels.",
            DISTILLED,
            SMALL_FACES,
            STEADY,
        ),
        _describe(
            "base",
            "The default: four stages of two convolutions, 64 to 512 channels.",
            DISTILLED,
            SMALL_FACES,
            STEADY,
        ),
        _describe(
            "wide",
            "The most accurate: four stages of two convolutions, 96 to 512 channels.",
            SMALL_FACES,
            STEADY,
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
        copied=copies_in(validation.images, training),
    )
    return [
        export_expression_model(
            weights / checkpoint,
            models,
            description=description,
            calibration_images=choose_calibration_images(training)[:, None],
            faces=faces,
            cards=cards,
        )
        for checkpoint, description in CHECKPOINTS.items()
    ]


def make_detector_card(models: Path, cards: Path) -> ModelCard:
    """Write the card of the face detector; its ONNX file is kept as it came from training."""
    file = "mien-detector.onnx"
    try:
        content = (models / file).read_bytes()
    except OSError as error:
        raise ModelError(f"{models / file}: cannot read the detector ({error.strerror})") from error
    research = "no clear licence on the photographs"
    card = ModelCard(
        name="mien",
        kind="detector",
        summary="Faces with five landmarks: anchor-free, on gray, at any size.",
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        licence=(
            "Apache-2.0 for the weights. They were trained partly on collections for research only: whether that "
            "allows a commercial use is for the user to judge."
        ),
        training_data=(
            TrainingData(
                "jolignier/face-mask-dataset-ilc-2021", f"web photos, human boxes; no licence file; {research}"
            ),
            TrainingData(
                "853 face mask photos (iAmEthanMai/mask-detection-dataset)",
                f"human boxes; MIT in the repository; {research}",
            ),
            TrainingData(
                "Helen, AFW (68 points, through Spinkoo/Face-alignement)",
                "annotations 'for research purposes ONLY (NO commercial products)'",
            ),
            TrainingData(
                "GENKI-4K (1,983 images)", "'available for public use', asks for a citation (MPLab GENKI Database)"
            ),
            TrainingData("MTFL (5,400 crops from LFW and the web)", "distributed for research; no licence text found"),
            TrainingData(
                "YuNet 2023mar as teacher of boxes and landmarks", "Apache-2.0; itself trained on WIDER FACE (research)"
            ),
        ),
        input=DETECTOR_INPUT,
        heads=(),
        parameters=95_341,
        precision="float32",
        made_by=(
            "75 minutes of training on two CPU cores, then recipes/face-detector.yaml for 82 minutes; half of the way "
            "between the weights before and after. Float checkpoint in weights/face-detector.safetensors"
        ),
        scores={
            # `mien evaluate mien --data PHOTOS.parquet`, see docs/detector.md. Recall at IoU 0.5 and at the score that
            # gives one false find every ten photos as they are; landmark errors in eye distances.
            "measured_by_mien_on_1121_photos_that_it_may_have_learned_from": {
                "recall_at_0.1_false_finds_a_photo": {
                    "recall": 0.950,
                    "interval_95": [0.931, 0.965],
                    "ap": 0.962,
                },
                "recall_by_size_px": {
                    "10_to_20": 0.423,
                    "20_to_40": 0.919,
                    "40_to_80": 0.954,
                    "80_to_160": 0.994,
                    "160_to_300": 1.0,
                },
                "recall_by_condition": {
                    "tilted_15_degrees": 0.942,
                    "tilted_30_degrees": 0.915,
                    "tilted_45_degrees": 0.855,
                    "low_light": 0.94,
                    "face_fills_the_frame": 0.994,
                },
                "landmark_error": {
                    "as_they_are": 0.097,
                    "tilted_15_degrees": 0.104,
                    "tilted_30_degrees": 0.106,
                    "tilted_45_degrees": 0.113,
                    "low_light": 0.104,
                },
                "scenes_only": {
                    "recall": 0.844,
                    "interval_95": [0.803, 0.881],
                },
            },
        },
        settings=dataclasses.asdict(MienSettings()),
        notes=(
            "Weak with crowds, small, turned and hidden faces; hands, dogs and ornaments are found as faces at times.",
            "Masked faces are over-represented in its training; elderly people, children, dark skin, profiles and low "
            "light are under-represented.",
        ),
    )
    card.write(cards / f"{card.name}.json")
    return card


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the zoo and print what came out; 1 if it could not be made."""
    parser = argparse.ArgumentParser(prog="python -m mien.export.zoo", description="Make the shipped models again.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds fer2013/")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of the checkpoints")
    parser.add_argument("--models", type=Path, default=ZOO / "weights", help="folder for the ONNX files")
    parser.add_argument("--cards", type=Path, default=ZOO / "cards", help="folder for the cards")
    given = parser.parse_args(arguments)
    try:
        cards = make_expression_models(given.weights, given.data, given.models, given.cards)
        make_detector_card(given.models, given.cards)
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
