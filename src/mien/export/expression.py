"""One expression model, from its checkpoint to the files that mien reads."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mien.classify.calibration import expected_calibration_error, fit_temperature, softmax
from mien.classify.preprocess import whole_batch
from mien.data.fer2013 import FER_LABELS, FERPLUS_LABELS, Fer2013, copies_in
from mien.errors import MienWarning, ModelError, OutputError, UsageError
from mien.evaluate.calibration import calibration_scores
from mien.evaluate.metrics import classification_scores
from mien.evaluate.predict import ten_views
from mien.evaluate.votes import ferplus_majority
from mien.export.graph import INPUT_NAME, canonical_bytes, to_onnx
from mien.export.quantize import choose_calibration_images, quantize_int8
from mien.export.run import run_logits
from mien.files import write_atomically
from mien.train.architectures import ExpressionNetwork
from mien.train.checkpoint import load_checkpoint
from mien.zoo.card import Head, InputSpec, ModelCard, TrainingData

__all__ = ["FER2013_FRAMING_XY", "ModelDescription", "convert", "export_expression_model"]

FER2013_FRAMING_XY = ((0.327, 0.380), (0.673, 0.380), (0.500, 0.586), (0.350, 0.743), (0.650, 0.743))
"""Mean places where the shipped detector sees the landmarks in FER2013's faces (benchmarks/framing.py)."""

SMALL_FACE_SIDES_PX = (12, 16, 20, 24, 32, 40)
"""Sizes below the model's own for which temperatures are fitted, in pixels of the photo."""

HEADS = {"fer7": FER_LABELS, "ferplus": FERPLUS_LABELS}
# What float arithmetic in another order may change in a logit. A wrong conversion changes far more.
_PARITY = 2e-3


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
    """

    name: str
    summary: str
    licence: str
    training_data: tuple[TrainingData, ...]
    made_by: str
    notes: tuple[str, ...] = ()
    framing_xy: tuple[tuple[float, float], ...] = FER2013_FRAMING_XY


def convert(
    network: ExpressionNetwork,
    calibration_images: npt.NDArray[np.uint8],
    precision: Literal["int8", "float32"] = "int8",
) -> tuple[bytes, bytes]:
    """Convert a network to ONNX.

    Parameters
    ----------
    network : PlainNet
        Trained.
    calibration_images : uint8 array of shape (N, H, W)
        Training faces; at most 512 of them, at equal distances, set the ranges of the int8 numbers.
    precision : {"int8", "float32"}

    Returns
    -------
    (exported, float32) : bytes, bytes
        The ONNX file asked for, and the one in float32 to compare with (the same for ``precision="float32"``).
    """
    if precision not in ("int8", "float32"):
        raise UsageError(f"precision is '{precision}'; expected 'int8' or 'float32'")
    config = network.spec
    model = to_onnx(network, size_px=config.size_px, mean=config.mean, std=config.std, outputs=tuple(HEADS))
    reference = canonical_bytes(model)
    if precision == "float32":
        return reference, reference
    return canonical_bytes(quantize_int8(model, choose_calibration_images(calibration_images))), reference


def export_expression_model(
    checkpoint: Path,
    destination: Path,
    *,
    description: ModelDescription,
    training_images: npt.NDArray[np.uint8],
    validation: Fer2013,
    split: str = "FER2013 PublicTest",
    precision: Literal["int8", "float32"] = "int8",
    max_accuracy_loss: float = 0.003,
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
    training_images : uint8 array of shape (M, H, W)
        What the model was trained on: a choice of them calibrates the int8 ranges, and validation images that are
        byte for byte among them are counted apart. May be empty for float32.
    validation : Fer2013
        Labelled images for temperatures and scores.
    split : str
        What the validation images are called on the card.
    precision : {"int8", "float32"}
        Of the convolutions. The heads are always float32.
    max_accuracy_loss : float
        More than this share of right answers lost against float32 is warned of.
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
    side = network.spec.size_px
    for role, images in (("training", training_images), ("validation", validation.images)):
        # A float32 model can be made without the images that it learned from.
        enough = len(images) or (role == "training" and precision == "float32")
        if images.dtype != np.uint8 or images.shape[1:] != (side, side) or not enough:
            raise UsageError(
                f"{role} images are {images.dtype}{images.shape}; expected uint8 (N, {side}, {side}) with N above 0"
            )
    exported, reference = convert(network, training_images, precision)
    float_logits = run_logits(reference, validation.images)
    difference = _check_parity(network, validation.images, float_logits)
    logits = run_logits(exported, validation.images) if precision == "int8" else float_logits
    heads, scores = _measure(exported, logits, float_logits, validation, copies_in(validation.images, training_images))
    lost = scores["fer7"]["float32_accuracy"] - scores["fer7"]["one_pass"]["accuracy"]
    if lost > max_accuracy_loss:
        warnings.warn(
            f"model '{description.name}': int8 loses {100 * lost:.2f} points of accuracy against float32 "
            f"(expected at most {100 * max_accuracy_loss:.2f}); export it with precision='float32' to keep them",
            MienWarning,
            stacklevel=2,
        )
    config = network.spec
    card = ModelCard(
        name=description.name,
        kind="expression",
        summary=description.summary,
        file=f"{description.name}.onnx",
        sha256=hashlib.sha256(exported).hexdigest(),
        licence=description.licence,
        training_data=description.training_data,
        input=InputSpec(
            name=INPUT_NAME,
            size_wh=(side, side),
            channels="gray",
            dtype="uint8",
            mean=config.mean,
            std=config.std,
            framing_xy=description.framing_xy,
        ),
        heads=heads,
        parameters=sum(weight.numel() for weight in network.parameters()),
        precision=precision,
        made_by=description.made_by,
        scores={
            "split": split,
            "torch_to_onnx_max_logit_difference": float(f"{difference:.1e}"),
            **scores,
        },
        notes=description.notes + _notes(split, precision),
    )
    _write(card, exported, destination, cards or destination)
    return card


def _check_parity(network: ExpressionNetwork, images: npt.NDArray[np.uint8], logits: dict[str, Any]) -> float:
    """Largest difference between the logits of torch and of the float32 graph; a ModelError if it is too large."""
    images = images[:512]
    with torch.inference_mode():
        pixels = torch.from_numpy(images).float()[:, None]
        expected = network(network.normalise(pixels))
    largest = 0.0
    for name, wanted in zip(HEADS, expected, strict=True):
        got = logits[name][: len(images)]
        largest = max(largest, float(np.abs(got - wanted.numpy()).max()) / max(1.0, float(wanted.abs().max())))
    if not largest <= _PARITY:
        raise ModelError(
            f"the ONNX graph differs from torch by {largest:.2g} in a logit; expected at most {_PARITY}. "
            "The conversion is wrong; nothing was written"
        )
    return largest


def _measure(
    exported: bytes,
    logits: dict[str, Any],
    float_logits: dict[str, Any],
    validation: Fer2013,
    copied: npt.NDArray[np.bool_],
) -> tuple[tuple[Head, ...], dict[str, Any]]:
    votes = validation.votes.sum(axis=1)
    voted = votes > 0
    fer_temperature, fer_calibration = calibration_scores(logits["fer7"], validation.labels)
    ferplus_temperature, ferplus_scores = 1.0, ferplus_majority(logits["ferplus"], validation.votes)
    if voted.any():
        distribution = validation.votes[voted] / votes[voted, None]
        ferplus_temperature, ferplus_scores["calibration"] = calibration_scores(logits["ferplus"][voted], distribution)
    views = np.mean([softmax(run_logits(exported, view)["fer7"]) for view in ten_views(validation.images)], axis=0)
    agreement = (logits["fer7"].argmax(1) == float_logits["fer7"].argmax(1)).mean()
    accuracy = (float_logits["fer7"].argmax(1) == validation.labels).mean()
    scores = {
        "fer7": {
            "one_pass": classification_scores(logits["fer7"], validation.labels, FER_LABELS, copied),
            "ten_views": classification_scores(views, validation.labels, FER_LABELS, copied),
            "float32_accuracy": round(float(accuracy), 5),
            "float32_agreement": round(float(agreement), 5),
            "calibration": fer_calibration,
        },
        "ferplus": ferplus_scores,
    }
    temperatures = {"fer7": fer_temperature, "ferplus": ferplus_temperature}
    targets: dict[str, tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]] = {
        "fer7": (np.ones(len(votes), bool), validation.labels)
    }
    if voted.any():
        targets["ferplus"] = (voted, distribution)
    by_px, scores["fer7"]["by_face_px"] = _small_faces(exported, validation, targets, fer_temperature)
    side_px = float(validation.images.shape[1])
    heads = [
        Head(name, labels, temperatures[name], (*by_px[name], (side_px, temperatures[name])) if by_px.get(name) else ())
        for name, labels in HEADS.items()
    ]
    return tuple(heads), scores


def _small_faces(
    exported: bytes,
    validation: Fer2013,
    targets: dict[str, tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]],
    temperature: float,
) -> tuple[dict[str, tuple[tuple[float, float], ...]], dict[str, Any]]:
    """Temperatures of each head, and scores of `fer7`, for faces that have fewer pixels than the model takes.

    The images are averaged down to each size and go through the preprocessing again, which enlarges them. `targets`
    gives for each head the rows that have one, and their targets; `temperature` is that of `fer7` for sharp faces.
    """
    height, width = validation.images.shape[1:]
    spec = InputSpec(INPUT_NAME, (width, height), "gray", "uint8", 0.0, 1.0)
    fitted: dict[str, list[tuple[float, float]]] = {name: [] for name in targets}
    scores: dict[str, Any] = {}
    for px in (side for side in SMALL_FACE_SIDES_PX if side < min(width, height)):
        small = [
            np.asarray(cv2.resize(image, (px, px), interpolation=cv2.INTER_AREA), np.uint8)
            for image in validation.images
        ]
        logits = run_logits(exported, whole_batch(small, spec)[:, 0])
        for name, (rows, wanted) in targets.items():
            fitted[name].append((float(px), fit_temperature(logits[name][rows], wanted)))
        blurred, labels = logits["fer7"], validation.labels
        scores[str(px)] = {
            "accuracy": round(float((blurred.argmax(1) == labels).mean()), 5),
            "ece_as_if_sharp": round(expected_calibration_error(softmax(blurred, temperature), labels), 5),
            "ece": round(expected_calibration_error(softmax(blurred, fitted["fer7"][-1][1]), labels), 5),
        }
    return {name: tuple(pairs) for name, pairs in fitted.items()}, scores


def _notes(split: str, precision: str) -> tuple[str, ...]:
    labels = "FER2013's" if split.startswith("FER2013 ") else "the dataset's"
    notes: tuple[str, ...] = (
        f"The scores are of the exported file on {split}, which also chose the model and fitted the temperatures: "
        "they are a little better than on new images. 'ece_held_out' is the calibration error with the temperature "
        "of the other half of the rows.",
        f"The answers of 'fer7' are compared with {labels} labels, the temperature of 'ferplus' is fitted to the "
        "distribution of the FER+ votes; 'majority_accuracy' leaves out rows without a single most voted expression.",
        "'by_face_px' are the images averaged down to so many pixels: what to expect of faces that small. Their "
        "probabilities get a temperature of their own, so that a blurred face is not read with false confidence.",
        "'ten_views' is the mean of the probabilities of ten shifted and mirrored images; mien reads one.",
    )
    if precision == "int8":
        notes += (
            "Weights are quantised to seven bits, so that sums of products cannot overflow on processors without the "
            "VNNI instructions either; measured on one with VNNI only.",
        )
    return notes


def _write(card: ModelCard, exported: bytes, destination: Path, cards: Path) -> None:
    # The card comes last: a card is never beside a model that it does not describe for longer than this takes, and
    # loading checks the sha256 in any case.
    try:
        write_atomically(destination / card.file, exported)
        card.write(cards / f"{card.name}.json")
    except OSError as error:
        raise OutputError(f"{destination / card.file}: cannot write model and card ({error.strerror})") from error
