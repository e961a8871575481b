"""One model on one split: everything that `mien evaluate` tells."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien import __version__
from mien.classify.calibration import softmax
from mien.data.faces import Faces
from mien.data.ferplus import ferplus_votes
from mien.data.held_out import Measured, open_measured
from mien.data.layouts import parse_attributes
from mien.evaluate.face_rows import face_columns
from mien.evaluate.groups import group_scores
from mien.evaluate.leaks import leak_scores, mark_leaks
from mien.evaluate.models import CHECKPOINT, open_model
from mien.evaluate.options import EvaluateOptions
from mien.evaluate.predict import Outputs, predict
from mien.evaluate.scheme import EvaluationTask, choose_task
from mien.evaluate.votes import ferplus_protocols
from mien.labels import EXPRESSIONS
from mien.metrics.calibration import scheme_calibration
from mien.metrics.classification import detailed_scores, rounded
from mien.options import given_options
from mien.parallel import usable_cores
from mien.progress import Progress
from mien.zoo import StoredModel
from mien.zoo.card import Head, ModelCard

__all__ = [
    "Evaluation",
    "evaluate_model",
    "ferplus_scores",
    "model_facts",
    "probabilities_of",
    "row_facts",
    "wanted_rows",
]

Floats = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MOST_WRONG = 24


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate_model` found.

    Attributes
    ----------
    values : dict
        Plain values, as they are written to JSON. Shares lie in [0, 1]; ``interval_95`` are 95 % intervals over
        the images (`mien.metrics.classification`).
    pictures : list of uint8 arrays of shape (H, W)
        The faces of ``values["confidently_wrong"]``, gray.
    faces : Faces
        What was measured on, N faces.
    label : int64 array of shape (N,)
        Index into ``values["data"]["classes"]``.
    probabilities : float64 array of shape (N, C)
        Of these classes, by one pass, at the temperature that the model's card gives for the face's size.
    """

    values: dict[str, Any]
    pictures: list[npt.NDArray[np.uint8]]
    faces: Faces
    label: IntArray
    probabilities: Floats

    def __repr__(self) -> str:
        model, data, scores = (self.values[part] for part in ("model", "data", "one_pass"))
        low, high = scores["accuracy_interval_95"]
        return (
            f"Evaluation({model['name']!r} on {data['source']!r}, split {data['split']!r}, {data['images']:,} images: "
            f"accuracy {scores['accuracy']:.1%}, {low:.1%} to {high:.1%})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.values

    def to_columns(self) -> dict[str, list[Any]]:
        """A table with a row for each face, by its columns; see `mien.evaluate.face_rows.face_columns`.

        It takes a second look into the dataset, for the names of the faces.
        """
        return face_columns(self.faces, self.values["data"]["classes"], self.label, self.probabilities)


def evaluate_model(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    options: EvaluateOptions | None = None,
    *,
    progress: Progress | None = None,
    **kwargs: Any,
) -> Evaluation:
    """Measure what a model is worth on labelled faces.

    The faces go through the same preprocessing as everywhere (`mien.classify.preprocess`), as faces that are cropped
    already. Of the split that the model was trained on, those that training held out are measured
    (`mien.data.held_out`).

    Parameters
    ----------
    model : str or path
        A shipped model's name, an ``.onnx`` file with its card beside it, or a checkpoint that `mien train` wrote.
    data : path
        A dataset in any layout that `mien data import` reads, or a `mien.data.Dataset`.
    options : EvaluateOptions, optional
        Or its fields as keywords.
    progress : callable, optional
        Called with what is done, of how many, and what is under way.

    Raises
    ------
    InputError
        If the dataset cannot be read, is damaged, empty, or lacks classes of the model.
    ModelError
        If the model cannot be loaded, or lacks classes that were asked for.
    UsageError
        If there is no such split, label scheme or attribute.
    """
    options = given_options(EvaluateOptions, options, kwargs)
    start_s = time.monotonic()
    stored, classifier = open_model(model, options.threads or usable_cores())
    measured = open_measured(
        data, options.split, [stored.card.learned_from], parse_attributes(options.by), learned=options.learned
    )
    faces = measured.faces
    task = choose_task(options.labels, [stored.card], faces.labels, faces.label, faces.source)
    if options.leaks:
        faces = mark_leaks(faces, data, measured.training(options.training), options.threads)
    wanted = wanted_rows(faces, task)
    faces, target = faces.take(wanted), task.target[wanted]
    (outputs,) = predict([classifier], faces, views=options.ten_views, progress=progress)
    rows = row_facts(measured, task, int((target >= 0).sum()), options.learned)
    return _assemble(stored, faces, task, target, outputs, rows, time.monotonic() - start_s)


def wanted_rows(faces: Faces, task: EvaluationTask) -> npt.NDArray[np.bool_]:
    """The rows to read, of shape (N,): those with a label of the scheme, and those whose votes count."""
    wanted = task.target >= 0
    return wanted if faces.votes is None else wanted | (faces.votes.sum(axis=1) > 0)


def probabilities_of(outputs: Outputs, head: Head, task: EvaluationTask) -> tuple[Floats, Floats | None]:
    """The calibrated probabilities of the scheme's labels, by one pass and by ten views, each of shape (N, C).

    The answer is the most probable label, as in recognition: of merged classes, the temperature may decide which.
    """
    calibrated = softmax(outputs.logits[head.output], head.temperature_at(outputs.sides_px))
    one_pass, _ = task.scheme.project(calibrated, head.labels)
    if outputs.views is None:
        return one_pass, None
    return one_pass, task.scheme.project(outputs.views[head.output], head.labels)[0]


def model_facts(stored: StoredModel, head: Head) -> dict[str, Any]:
    """What a report says of a model."""
    card = stored.card
    return {
        "name": card.name,
        "file": stored.weights.name,
        "file_bytes": stored.weights.stat().st_size,
        "sha256": card.sha256,
        "precision": card.precision,
        "runs_in": "torch" if stored.weights.suffix.lower() == CHECKPOINT else "ONNX Runtime",
        "parameters": card.parameters,
        "head": head.output,
    }


def row_facts(measured: Measured, task: EvaluationTask, rows: int, learned: bool) -> dict[str, Any]:
    """What a report says of the rows; `learned` where they are those that training did not hold out."""
    faces = measured.faces
    return {
        "source": Path(faces.source).name,
        "split": faces.split,
        "held_out": None if learned else faces.part or None,
        "learned": faces.part if learned else None,
        "warning": measured.warning or None,
        "images": rows,
        "labels": task.scheme.name,
        "classes": list(task.scheme.labels),
        "left_out": task.left_out,
    }


def _assemble(
    stored: StoredModel,
    faces: Faces,
    task: EvaluationTask,
    target: IntArray,
    outputs: Outputs,
    rows: dict[str, Any],
    seconds: float,
) -> Evaluation:
    (head,) = task.heads
    kept = target >= 0
    labelled, truth, names = faces.take(kept), target[kept], task.scheme.labels
    probabilities, by_views = probabilities_of(outputs, head, task)
    probabilities = probabilities[kept]
    one_pass = probabilities.argmax(axis=1)
    ten_views = None if by_views is None else by_views[kept].argmax(axis=1)
    right = {"one_pass": one_pass == truth}
    if ten_views is not None:
        right["ten_views"] = ten_views == truth
    logits = outputs.logits[head.output][kept]
    temperature = head.temperature_at(outputs.sides_px[kept])
    worst = _confidently_wrong(probabilities.max(axis=1), right["one_pass"])
    values = {
        "mien": __version__,
        "model": model_facts(stored, head),
        "data": rows,
        "one_pass": detailed_scores(truth, one_pass, names),
        "ten_views": None if ten_views is None else detailed_scores(truth, ten_views, names),
        "leaks": leak_scores(labelled, right),
        "calibration": scheme_calibration(logits, truth, task.scheme, head.labels, temperature),
        "ferplus": ferplus_scores(stored.card, faces, outputs),
        "by": group_scores(labelled.attributes, truth, one_pass, probabilities.max(axis=1), names),
        "confidently_wrong": [
            {
                "row": name,
                "label": names[truth[row]],
                "answer": names[one_pass[row]],
                "confidence": rounded(probabilities[row].max()),
                "probability_of_label": rounded(probabilities[row, truth[row]]),
            }
            for row, name in zip(worst.tolist(), labelled.names(worst), strict=True)
        ],
        "seconds": round(seconds, 1),
    }
    return Evaluation(values, labelled.images(worst), labelled, truth, probabilities)


def _confidently_wrong(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> IntArray:
    wrong = np.flatnonzero(~right)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_WRONG]


def ferplus_scores(card: ModelCard, faces: Faces, outputs: Outputs) -> dict[str, Any] | None:
    """The FER+ protocols, by the first head that knows all eight expressions; None without votes or such a head."""
    head = next((head for head in card.heads if set(EXPRESSIONS) <= set(head.labels)), None)
    votes = ferplus_votes(faces.votes, faces.vote_labels)
    if head is None or votes is None:
        return None
    views = None if outputs.views is None else outputs.views[head.output]
    return {
        "head": head.output,
        "one_pass": ferplus_protocols(outputs.logits[head.output], head.labels, votes),
        "ten_views": None if views is None else ferplus_protocols(views, head.labels, votes),
    }
