"""Any checkpoint to a model that mien runs: what `mien export` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mien.classify.preprocess import whole_batch
from mien.data.fer2013 import FER_LABELS, FERPLUS_LABELS, Fer2013
from mien.errors import InputError, UsageError
from mien.evaluate.faces import Faces, open_faces, open_training
from mien.export.expression import ModelDescription, export_expression_model
from mien.export.graph import INPUT_NAME
from mien.train.checkpoint import load_checkpoint
from mien.zoo.card import InputSpec, ModelCard, TrainingData

__all__ = ["export_checkpoint"]

_CHUNK = 256
NOT_STATED = "not stated: whoever trained the model decides"


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    data: Path,
    *,
    split: str | None = None,
    training: Path | None = None,
    precision: Literal["int8", "float32"] = "int8",
    summary: str = "",
    licence: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> ModelCard:
    """Convert a checkpoint, check it against torch, calibrate and measure it, and write model and card.

    Parameters
    ----------
    checkpoint : Path
        A safetensors file that `mien.train` wrote.
    out : Path
        The ``.onnx`` file; its card gets the same name with ``.json``.
    data : Path
        Labelled faces, in any layout that `mien data import` reads, to measure on and to fit the temperatures.
    split : str, optional
        Of `data`; as in `mien.evaluate.open_faces`.
    training : Path, optional
        What the model was trained on; by default the split ``train`` of `data`. A choice of its faces sets the ranges
        of the int8 numbers, and faces of `data` with an exact copy there are counted apart. Without any, only float32
        can be made.
    precision : {"int8", "float32"}
    summary, licence : str
        For the card.
    progress : callable, optional
        Called with the faces that are read, and their number.

    Raises
    ------
    ModelError
        If the checkpoint is none of ours, or the ONNX graph does not give what torch gives; nothing was written.
    InputError
        If the faces cannot be read, or lack classes of the model.
    UsageError
        If there are no training faces for int8, or the split is unknown.
    """
    network = load_checkpoint(checkpoint)
    side = network.spec.size_px
    faces = open_faces(data, split)
    missing = [name for name in FER_LABELS if name not in faces.labels]
    if missing:
        raise InputError(
            str(data), f"lacks the class{'es' if len(missing) > 1 else ''} {', '.join(missing)} of the model; it has "
            f"{', '.join(faces.labels)}"
        )  # fmt: skip
    known = faces.take(np.isin(faces.label, [faces.labels.index(name) for name in FER_LABELS]))
    learned = _training_faces(faces, data, training)
    if learned is None and precision == "int8":
        raise UsageError(
            f"{data} has no other split to learn the ranges of int8 numbers from; give --training PATH, or export "
            "with --precision float32"
        )
    total = len(known) + (0 if learned is None else len(learned))
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    source = "unknown" if learned is None else f"{Path(learned.source).name} ({learned.split})"
    return export_expression_model(
        checkpoint,
        out.parent,
        description=ModelDescription(
            name=out.stem,
            summary=summary or f"Exported from {checkpoint.name}.",
            licence=licence or NOT_STATED,
            training_data=(TrainingData(source, "see where the dataset came from"),),
            made_by=f"mien export {checkpoint.name} --data {data.name} --precision {precision}",
        ),
        training_images=np.zeros((0, side, side), np.uint8) if learned is None else _gray(learned, side, advance),
        validation=_validation(known, side, advance),
        split=f"{Path(faces.source).name} ({faces.split})",
        precision=precision,
    )


def _training_faces(faces: Faces, data: Path, training: Path | None) -> Faces | None:
    if training is not None:
        return open_training(training)
    try:
        learned = open_training(data)
    except UsageError:  # several splits, and none of them is for training
        return None
    return None if learned.split == faces.split else learned


def _validation(faces: Faces, side: int, advance: Callable[[int], None]) -> Fer2013:
    """The faces in the form and the order of classes that the shipped models are measured with."""
    order = np.array([FER_LABELS.index(name) if name in FER_LABELS else -1 for name in faces.labels], np.int64)
    votes = np.zeros((len(faces), len(FERPLUS_LABELS)), np.uint8)
    if faces.votes is not None and set(faces.vote_labels) == set(FERPLUS_LABELS):
        votes = faces.votes[:, [faces.vote_labels.index(name) for name in FERPLUS_LABELS]]
    return Fer2013(_gray(faces, side, advance), order[faces.label], votes, np.arange(len(faces), dtype=np.int32))


def _gray(faces: Faces, side: int, advance: Callable[[int], None]) -> npt.NDArray[np.uint8]:
    """All faces as the network takes them, uint8 of shape (N, side, side), through the one preprocessing."""
    spec = InputSpec(INPUT_NAME, (side, side), "gray", "uint8", 0.0, 1.0)
    images = np.empty((len(faces), side, side), np.uint8)
    for start in range(0, len(faces), _CHUNK):
        part = faces.images(np.arange(start, min(start + _CHUNK, len(faces))))
        images[start : start + len(part)] = whole_batch(part, spec)[:, 0]
        advance(len(part))
    return images
