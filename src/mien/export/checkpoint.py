"""Any checkpoint to a model that mien runs: what `mien export` does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mien.classify.preprocess import whole_batch
from mien.data.copies import copied_rows
from mien.data.faces import Faces, find_training
from mien.data.ferplus import ferplus_votes
from mien.data.held_out import open_measured
from mien.data.split import evenly
from mien.errors import InputError, UsageError
from mien.export.expression import ModelDescription, export_expression_model
from mien.export.measure import LabelledFaces
from mien.export.quantize import CALIBRATION_IMAGES
from mien.labels import NO_EXPRESSION
from mien.progress import Progress
from mien.train.architectures import HeadSpec, NetworkSpec
from mien.train.checkpoint import make_network, read_checkpoint
from mien.zoo.card import ModelCard, TrainingData

__all__ = ["export_checkpoint"]

_CHUNK = 1024
NOT_STATED = "not stated: whoever trained the model decides"


def export_checkpoint(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    split: str | None = None,
    training: str | os.PathLike[str] | None = None,
    precision: Literal["int8", "float32"] = "int8",
    full: bool = True,
    summary: str = "",
    licence: str = "",
    progress: Progress | None = None,
) -> ModelCard:
    """Convert a checkpoint, check it against torch, calibrate and measure it, and write model and card.

    Parameters
    ----------
    checkpoint : path
        A safetensors file that `mien.train` wrote: any architecture, any labels.
    out : path
        The ``.onnx`` file; its card gets the same name with ``.json``.
    data : path
        Labelled faces, in any layout that `mien data import` reads, to measure on and to calibrate with. They
        must have every expression of the first head. Of the split that the checkpoint was trained on, those that
        training held out are taken for it, and the rest are the training faces.
    split : str, optional
        Of `data`; as in `mien.data.open_faces`.
    training : path, optional
        What the model was trained on; by default the split ``train`` of `data`. A choice of its faces sets the ranges
        of the int8 numbers, and faces of `data` with a copy there are counted apart. Without any, only float32
        can be made.
    precision : {"int8", "float32"}
        Of the convolutions; the heads are always float32.
    full : bool
        Also measure ten views and fit temperatures for small faces: some twenty times the time.
    summary, licence : str
        What the card says of the model, and of the terms of its weights; without a licence it says that none is stated.
    progress : callable, optional
        Called with what is done, of how many, and what is under way.

    Raises
    ------
    ModelError
        If the checkpoint is none of ours, or the ONNX graph does not give what torch gives; nothing was written.
    InputError
        If the faces cannot be read, or lack classes of the model.
    UsageError
        If there are no training faces for int8, or the split is unknown.
    """
    checkpoint, out, data = Path(checkpoint), Path(out), Path(data)
    found = read_checkpoint(checkpoint)
    spec = make_network(found, checkpoint).spec
    first = spec.heads[0]
    measured = open_measured(data, split, [found.learned_from])
    faces = measured.faces
    missing = [name for name in first.labels if name not in (*faces.labels, *NO_EXPRESSION)]
    if missing:
        raise InputError(
            str(data), f"lacks the class{'es' if len(missing) > 1 else ''} {', '.join(missing)} of the model; it has "
            f"{', '.join(faces.labels)}"
        )  # fmt: skip
    labelled = faces.take(np.isin(faces.label, [i for i, name in enumerate(faces.labels) if name in first.labels]))
    if not len(labelled):
        raise InputError(str(data), f"no row of '{faces.split}' has one of the labels {', '.join(first.labels)}")
    training_faces = find_training(measured.training(None if training is None else Path(training)), data, faces.split)
    if training_faces is None and precision == "int8":
        raise UsageError(
            f"{data} has no other split to learn the ranges of int8 numbers from; give --training PATH, or export "
            "with --precision float32"
        )
    calibration = np.zeros(0, np.intp)
    if training_faces is not None and precision == "int8":
        calibration = evenly(len(training_faces), CALIBRATION_IMAGES)
    source = "unknown" if training_faces is None else f"{Path(training_faces.source).name} ({training_faces.split})"
    return export_expression_model(
        checkpoint,
        out.parent,
        description=ModelDescription(
            name=out.stem,
            summary=summary or f"Exported from {checkpoint.name}.",
            licence=licence or NOT_STATED,
            training_data=(TrainingData(source, "see where the dataset came from"),),
            made_by=f"mien export {checkpoint.name} --data {data.name} --precision {precision}",
            learned_from=found.learned_from,
        ),
        calibration_images=_prepared(training_faces or labelled, calibration, spec, progress),
        faces=_labelled(labelled, training_faces, spec, progress),
        split=faces.title,
        precision=precision,
        full=full,
    )


def _labelled(faces: Faces, training: Faces | None, spec: NetworkSpec, progress: Progress | None) -> LabelledFaces:
    """The faces as the network takes them, with the classes of its first head."""
    copies = None
    if training is not None:
        copies = copied_rows(faces.squares(progress=progress), training.squares(progress=progress))
    images = _prepared(faces, np.arange(len(faces)), spec, progress)
    label = _classes_of(spec.heads[0], faces.labels)[faces.label]
    return LabelledFaces(images, label, ferplus_votes(faces.votes, faces.vote_labels), copies)


def _classes_of(head: HeadSpec, labels: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """For each class of a dataset its place in a head, or -1."""
    return np.array([head.labels.index(name) if name in head.labels else -1 for name in labels], np.int64)


def _prepared(
    faces: Faces, rows: npt.NDArray[np.intp], spec: NetworkSpec, progress: Progress | None
) -> npt.NDArray[np.uint8]:
    """Some faces as the network takes them, uint8 of shape (N, C, S, S), through the one preprocessing."""
    images = np.empty((len(rows), spec.in_channels, spec.size_px, spec.size_px), np.uint8)
    for start in range(0, len(rows), _CHUNK):
        part = faces.images(rows[start : start + _CHUNK], color=spec.channels == "rgb")
        images[start : start + len(part)] = whole_batch(part, spec.input_spec())
        if progress is not None:
            progress(start + len(part), len(rows), "reading faces")
    return images
