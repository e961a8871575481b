"""One expression model, from its checkpoint to the files that mien reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from mien.align import FER2013_FRAMING_XY
from mien.errors import ModelError, UsageError, warn
from mien.export.graph import canonical_bytes, to_onnx
from mien.export.measure import LabelledFaces, measure, takes_votes
from mien.export.quantize import choose_calibration_images, quantize_int8
from mien.export.run import run_logits
from mien.files import write_atomically
from mien.metrics.paired import paired_test
from mien.train.architectures import ExpressionNetwork, NetworkSpec
from mien.train.checkpoint import load_checkpoint
from mien.zoo.card import LearnedFrom, ModelCard, TrainingData

__all__ = ["ModelDescription", "convert", "export_expression_model"]

# What float arithmetic in another order may change in a logit, as a share of the largest one (of 1, where that is
# smaller). A wrong conversion changes far more.
_PARITY = 2e-3

_MOST_LOST = 0.003
"""Of the right answers, by int8."""

_CHANCE = 0.05


@dataclass(frozen=True)
class ModelDescription:
    """What a card says that cannot be measured.

    Attributes
    ----------
    name, summary, licence, made_by : str
        As on `mien.zoo.ModelCard`.
    training_data : tuple of TrainingData
    notes : tuple of str
        Put before the notes that the export adds.
    framing_xy : five (float, float)
        Where the landmarks lie in the training faces, as fractions of width and height.
    learned_from : LearnedFrom or None
        As the checkpoint has it.
    """

    name: str
    summary: str
    licence: str
    training_data: tuple[TrainingData, ...]
    made_by: str
    notes: tuple[str, ...] = ()
    framing_xy: tuple[tuple[float, float], ...] = FER2013_FRAMING_XY
    learned_from: LearnedFrom | None = None


def convert(
    network: ExpressionNetwork,
    calibration_images: npt.NDArray[np.uint8],
    precision: Literal["int8", "float32"] = "int8",
) -> tuple[bytes, bytes]:
    """Convert a network to ONNX.

    Parameters
    ----------
    network : ExpressionNetwork
        Trained.
    calibration_images : uint8 array of shape (N, C, S, S)
        Training faces; at most 512 of them, at equal distances, set the ranges of the int8 numbers.
    precision : {"int8", "float32"}

    Returns
    -------
    (exported, float32) : bytes, bytes
        The ONNX file asked for, and the one in float32 to compare with (the same for ``precision="float32"``).
    """
    if precision not in ("int8", "float32"):
        raise UsageError(f"precision is '{precision}'; expected 'int8' or 'float32'")
    model = to_onnx(network)
    reference = canonical_bytes(model)
    if precision == "float32":
        return reference, reference
    return canonical_bytes(quantize_int8(model, choose_calibration_images(calibration_images))), reference


def export_expression_model(
    checkpoint: Path,
    destination: Path,
    *,
    description: ModelDescription,
    calibration_images: npt.NDArray[np.uint8],
    faces: LabelledFaces,
    split: str = "FER2013 PublicTest",
    precision: Literal["int8", "float32"] = "int8",
    full: bool = True,
    cards: Path | None = None,
) -> ModelCard:
    """Convert a checkpoint, check it against torch, calibrate and measure it, and write model and card.

    Parameters
    ----------
    checkpoint : Path
        A safetensors file (`mien.train.checkpoint`).
    destination : Path
        Folder that gets ``<name>.onnx`` and ``<name>.json``.
    description : ModelDescription
        What the card says beside the numbers.
    calibration_images : uint8 array of shape (M, C, S, S)
        Of what the model was trained on: a choice of them sets the int8 ranges. May be empty for float32.
    faces : LabelledFaces
        For the calibration and the scores.
    split : str
        What the faces are called on the card.
    precision : {"int8", "float32"}
        Of the convolutions. The heads are always float32.
    full : bool
        Measure ten views, and fit temperatures for small faces too: some twenty times the time.
    cards : Path, optional
        Another folder for the card.

    Returns
    -------
    ModelCard
        As written.

    Raises
    ------
    ModelError
        If the checkpoint is none, or the ONNX graph does not give what torch gives; nothing was written.
    UsageError
        If images do not have the size of the network.
    OutputError
        If model or card cannot be written.
    """
    network = load_checkpoint(checkpoint)
    spec = network.spec
    shape = (spec.in_channels, spec.size_px, spec.size_px)
    for role, images in (("calibration", calibration_images), ("validation", faces.images)):
        # A float32 model can be made without the images that it learned from.
        enough = len(images) or (role == "calibration" and precision == "float32")
        if images.dtype != np.uint8 or images.shape[1:] != shape or not enough:
            raise UsageError(
                f"{role} images are {images.dtype}{images.shape}; expected uint8 (N, {', '.join(map(str, shape))}) "
                "with N above 0"
            )
    exported, reference = convert(network, calibration_images, precision)
    float_logits = run_logits(reference, faces.images)
    difference = _check_parity(network, faces.images, float_logits)
    logits = run_logits(exported, faces.images) if precision == "int8" else float_logits
    heads, scores = measure(spec, exported, logits, float_logits, faces, full=full)
    first = spec.heads[0].output
    _warn_of_loss(description.name, *(found[first].argmax(axis=1) == faces.label for found in (float_logits, logits)))
    card = ModelCard(
        name=description.name,
        kind="expression",
        summary=description.summary,
        file=f"{description.name}.onnx",
        sha256=hashlib.sha256(exported).hexdigest(),
        licence=description.licence,
        training_data=description.training_data,
        input=spec.input_spec(description.framing_xy),
        heads=heads,
        parameters=network.parameter_count,
        precision=precision,
        made_by=description.made_by,
        scores={
            "split": split,
            "torch_to_onnx_max_logit_difference": float(f"{difference:.1e}"),
            **scores,
        },
        notes=description.notes + _notes(spec, split, precision, full),
        learned_from=description.learned_from,
    )
    _write(card, exported, destination, cards or destination)
    return card


def _warn_of_loss(name: str, float_right: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> None:
    """Warn where int8 answers fewer faces rightly than float32 does, by more than chance explains."""
    test = paired_test(right, float_right)
    if test.difference < -_MOST_LOST and test.p_value < _CHANCE:
        warn(
            f"model '{name}': int8 loses {-100 * test.difference:.2f} points of accuracy against float32 "
            f"(expected at most {100 * _MOST_LOST:.2f}; p {test.p_value:.2g}); the precision 'float32' keeps them"
        )


def _check_parity(network: ExpressionNetwork, images: npt.NDArray[np.uint8], logits: dict[str, Any]) -> float:
    """Largest difference of the float32 graph from torch, in shares of the largest logit; a ModelError if too large."""
    images = images[:512]
    with torch.inference_mode():
        parts = [network(network.normalise(torch.from_numpy(images[i : i + 64]))) for i in range(0, len(images), 64)]
    expected = [torch.cat(outputs) for outputs in zip(*parts, strict=True)]
    differences = []
    for head, wanted in zip(network.spec.heads, expected, strict=True):
        got = logits[head.output][: len(images)]
        differences.append(np.abs(got - wanted.numpy()).max() / max(1.0, float(wanted.abs().max())))
    largest = float(np.max(differences))  # NaN if one is: `max` would pass over it.
    if not largest <= _PARITY:
        raise ModelError(
            f"the ONNX graph differs from torch by {largest:.2g} of the largest logit; expected at most {_PARITY}. "
            "The conversion is wrong; nothing was written"
        )
    return largest


def _notes(spec: NetworkSpec, split: str, precision: str, full: bool) -> tuple[str, ...]:
    labels = "FER2013's" if split.startswith("FER2013 ") else "the dataset's"
    compared = f"The answers of '{spec.heads[0].output}' are compared with {labels} labels"
    for head in spec.heads[1:]:
        if takes_votes(head):
            compared += (
                f", the calibration of '{head.output}' is fitted to the distribution of the FER+ votes; "
                "'plurality_accuracy' leaves out rows without a single most voted expression"
            )
    notes: tuple[str, ...] = (
        f"The scores are of the exported file on {split}, which also chose the model and calibrated it: they are a "
        "little better than on new images. 'ece_held_out' and 'accuracy_held_out' are measured on each half of the "
        "rows with what was fitted to the other half.",
        f"{compared}.",
    )
    if full:
        notes += (
            "'by_face_px' are the images averaged down to so many pixels: what to expect of faces that small. Their "
            "probabilities get a temperature of their own, so that a blurred face is not read with false confidence.",
            "'ten_views' is the mean of the calibrated probabilities of ten shifted and mirrored images, as with "
            "--views 10.",
        )
    if precision == "int8":
        notes += (
            "Weights are quantised to seven bits, so that sums of products cannot overflow on processors without the "
            "VNNI instructions either.",
        )
    return notes


def _write(card: ModelCard, exported: bytes, destination: Path, cards: Path) -> None:
    # The card comes last: a card is never beside a model that it does not describe for longer than this takes, and
    # loading checks the sha256 in any case.
    write_atomically(destination / card.file, exported)
    card.write(cards / f"{card.name}.json")
