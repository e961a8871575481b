"""From a detector's checkpoint to an ONNX file of any input size, with its card."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch.nn import functional

from mien.data.photos import PhotoDataset
from mien.data.pixels import decode_gray
from mien.data.split import evenly
from mien.detect.base import FloatArray, ImageArray
from mien.detect.mien import MienSettings
from mien.errors import ModelError, UsageError
from mien.evaluate.detection import evaluate_detector
from mien.evaluate.detection_run import choose_split
from mien.export.graph import canonical_bytes, trace
from mien.export.quantize import quantize
from mien.files import check_destination, write_atomically
from mien.progress import Progress
from mien.train.detector.network import DETECTOR_INPUT, FaceDetectorNetwork, export_view, load_detector
from mien.train.weights import weights_of
from mien.zoo.card import ModelCard, TrainingData

__all__ = [
    "export_detector",
    "export_measured",
    "is_detector_checkpoint",
    "quantize_detector",
    "settings_at",
    "to_onnx",
]

_EXAMPLE_PX = (96, 160)
_MOST_DIFFERENCE = 1e-3
_CALIBRATION_PHOTOS = 64


def is_detector_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint of a detector, by the names of its tensors; never raises."""
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
    except Exception:  # noqa: BLE001 - whatever it is, it is none
        return False
    return names == set(weights_of(FaceDetectorNetwork()))


def export_detector(
    checkpoint: Path,
    out: Path,
    *,
    summary: str = "",
    licence: str = "",
    training_data: Sequence[TrainingData] = (),
    calibration: Sequence[ImageArray] | None = None,
) -> ModelCard:
    """Write the ONNX file and, beside it, its card, which says nothing of how good it is.

    Parameters
    ----------
    checkpoint : Path
        A ``.safetensors`` file of a detector.
    out : Path
        The ``.onnx`` file.
    summary, licence, training_data
        For the card.
    calibration : sequence of gray uint8 images, optional
        Quantise to int8, with the ranges that these photos give.

    Raises
    ------
    ModelError
        If the checkpoint is none, or ONNX gives other numbers than torch.
    OutputError
        If nothing can be written.
    """
    check_destination(out, ".onnx")
    network = load_detector(checkpoint).eval()
    model = to_onnx(network)
    difference = _difference(network, model)
    if not difference <= _MOST_DIFFERENCE:  # NaN is no agreement.
        raise ModelError(f"ONNX differs from torch by {difference:.2g}; expected at most {_MOST_DIFFERENCE:g}")
    if calibration is not None:
        model = quantize_detector(model, calibration)
    content = canonical_bytes(model)
    card = ModelCard(
        name=out.stem,
        kind="detector",
        summary=summary or "Faces with five landmarks: anchor-free, on gray, at any size.",
        file=out.name,
        sha256=hashlib.sha256(content).hexdigest(),
        licence=licence or "Not said. The terms of the photos that it was trained on decide.",
        training_data=tuple(training_data),
        input=DETECTOR_INPUT,
        heads=(),
        parameters=network.parameter_count(),
        precision="float32" if calibration is None else "int8",
        made_by=f"mien export {checkpoint.name}",
        scores={"torch_to_onnx_max_difference": float(f"{difference:.2g}")},
        settings=dataclasses.asdict(MienSettings()),
    )
    write_atomically(out, content)
    card.write(out.with_suffix(".json"))
    return card


def export_measured(
    checkpoint: Path,
    out: Path,
    data: Path,
    *,
    split: str | None = None,
    precision: str = "float32",
    summary: str = "",
    licence: str = "",
    progress: Progress | None = None,
) -> ModelCard:
    """Export a checkpoint, and measure the file on photos, for its card.

    The bar of the card is the score at which there is one false find every ten of these photos.

    Parameters
    ----------
    checkpoint, out : Path
    data : Path
        A dataset of ``mien data photos``.
    split : str, optional
        To measure on; by default the only one that is not for training.
    precision : {"float32", "int8"}
        int8 is smaller, and on most machines slower: depthwise convolutions gain little.
    summary, licence : str
        For the card.
    progress : callable, optional
        See `evaluate_detector`.
    """
    check_destination(out, ".onnx")
    dataset = PhotoDataset(data)
    split = choose_split(dataset, split)
    training = "train" if "train" in dataset.splits else split
    calibration = None
    if precision == "int8":
        wanted = set(evenly(dataset.splits[training], _CALIBRATION_PHOTOS).tolist())
        calibration = [
            decode_gray(photo.image, photo.name)
            for number, photo in enumerate(dataset.photos(training))
            if number in wanted
        ]
    names = sorted({photo.source or dataset.path.name for photo in dataset.photos(training)})
    with tempfile.TemporaryDirectory(prefix="mien-export-") as folder:
        made = Path(folder) / out.name
        card = export_detector(
            checkpoint,
            made,
            summary=summary,
            licence=licence,
            training_data=[TrainingData(name, "see its own terms") for name in names],
            calibration=calibration,
        )
        values = evaluate_detector(made, data, split=split, progress=progress).to_dict()
        content = made.read_bytes()
    scores = {name: values[name] for name in ("data", "overall", "threshold", "sizes", "landmarks", "conditions")}
    settings = dataclasses.asdict(settings_at(values["threshold"]))
    card = dataclasses.replace(card, scores={**scores, **card.scores}, settings=settings)
    write_atomically(out, content)
    card.write(out.with_suffix(".json"))
    return card


def settings_at(threshold: float) -> MienSettings:
    """The usual settings with this score threshold, kept within 0.3 and 0.7 whatever a small dataset says."""
    bar = round(min(max(threshold, 0.3), 0.7), 2)
    return MienSettings(score_threshold=bar, candidate_threshold=round(min(0.3, 0.6 * bar), 2))


def to_onnx(network: FaceDetectorNetwork) -> onnx.ModelProto:
    """Convert to float32 ONNX: input ``input`` (1, 1, H, W), output ``output`` (1, 15, A); H and W multiples of 32."""
    axes = {"input": {2: "H", 3: "W"}, "output": {2: "A"}}
    return trace(export_view(network), torch.zeros(1, 1, *_EXAMPLE_PX), axes, "the detector")


def _difference(network: FaceDetectorNetwork, model: onnx.ModelProto) -> float:
    """The largest difference between torch and ONNX on noise, at two sizes other than that of the export."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    view = export_view(network)
    differences = []
    for shape in ((1, 1, 64, 96), (1, 1, 224, 128)):
        values = np.random.default_rng(0).normal(size=shape).clip(-2, 2).astype(np.float32)
        with torch.no_grad():
            wanted = view(torch.from_numpy(values)).numpy()
        (given,) = session.run(None, {"input": values})
        differences.append(np.abs(wanted - given).max())
    return float(np.max(differences))  # NaN if one is: `max` would pass over it.


def quantize_detector(model: onnx.ModelProto, images: Sequence[ImageArray]) -> onnx.ModelProto:
    """Quantise the convolutions to int8 (static, per channel), except the last ones, whose numbers are places.

    Parameters
    ----------
    model : onnx.ModelProto
        From `to_onnx`.
    images : sequence of gray uint8 arrays
        Photos like those to come; a few dozen. Every one of them is used.
    """
    if not len(images):
        raise UsageError("no photos to calibrate with; expected a few dozen")
    return quantize(model, map(_network_input, images), ["Conv", "Relu", "Add"], _last_ones)


def _last_ones(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type == "Conv" and "/o." in node.name]


def _network_input(gray: ImageArray) -> FloatArray:
    """One photo as the network takes it, padded on the right and below with zeros, as in recognition."""
    down, right = (-side % DETECTOR_INPUT.multiple_of_px for side in gray.shape)
    values = FaceDetectorNetwork.normalise(torch.from_numpy(gray)[None, None])
    padded: FloatArray = functional.pad(values, (0, right, 0, down)).numpy()
    return padded
