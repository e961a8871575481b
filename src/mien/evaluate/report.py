"""One model on one split: everything that `mien evaluate` tells."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien import __version__
from mien.classify.class_scaling import calibrated, scale_classes
from mien.data.faces import Faces
from mien.data.ferplus import ferplus_votes
from mien.data.held_out import Measured, folds_of_faces
from mien.data.layouts import parse_attributes
from mien.errors import UsageError
from mien.evaluate.face_rows import face_columns
from mien.evaluate.groups import group_scores
from mien.evaluate.leaks import leak_scores, mark_leaks
from mien.evaluate.models import CHECKPOINT, Measurable, open_faces_for, open_measurable
from mien.evaluate.occlusion import class_maps
from mien.evaluate.options import EvaluateOptions
from mien.evaluate.predict import Outputs, predict_all
from mien.evaluate.scheme import EvaluationTask, choose_task
from mien.evaluate.votes import ferplus_protocols
from mien.labels import EXPRESSIONS, LabelScheme
from mien.metrics.calibration import mean_calibration, scheme_calibration
from mien.metrics.classification import class_scores, confusion_matrix, rounded
from mien.metrics.runs import answer_scores
from mien.options import given_options
from mien.parallel import usable_cores
from mien.progress import Progress
from mien.zoo.card import Head

__all__ = [
    "Evaluation",
    "evaluate_model",
    "ferplus_scores",
    "model_facts",
    "row_facts",
    "run_rows",
    "scheme_probabilities",
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
        the images (`mien.metrics.classification`). Of several runs they are means, ``deviation`` is the standard
        deviation over the runs, intervals are over seeds and images (`mien.metrics.runs`), and ``runs`` has each of
        them. Of a cross-validation ``folds`` has each fold, and all else is of every face, read by the model that did
        not learn from it.
    pictures : list of uint8 arrays of shape (H, W)
        The faces of ``values["confidently_wrong"]``, gray.
    faces : Faces
        What was measured on, N faces.
    label : int64 array of shape (N,)
        Index into ``values["data"]["classes"]``.
    probabilities : float64 array of shape (N, C)
        Of these classes, by one pass, calibrated as the model's card says for the face's size. Of several runs the
        mean.
    mean_faces : dict of str to uint8 array of shape (48, 48)
        Of each class in ``values["occlusion"]``, the mean of the faces whose answers were explained.
    """

    values: dict[str, Any]
    pictures: list[npt.NDArray[np.uint8]]
    faces: Faces
    label: IntArray
    probabilities: Floats
    mean_faces: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)

    def __repr__(self) -> str:
        model, data, scores = (self.values[part] for part in ("model", "data", "one_pass"))
        low, high = scores["accuracy_interval_95"]
        runs = f", {len(self.values['runs'])} seeds," if self.values["runs"] else ""
        return (
            f"Evaluation({model['name']!r}{runs} on {data['source']!r}, split {data['split']!r}, "
            f"{data['images']:,} images: "
            f"accuracy {scores['accuracy']:.1%}, {low:.1%} to {high:.1%})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.values

    def to_columns(self) -> dict[str, list[Any]]:
        """A table with a row for each face, by its columns; see `mien.evaluate.face_rows.face_columns`.

        It takes a second look into the dataset, for the names of the faces.

        Raises
        ------
        UsageError
            If several runs were measured: each has a table of its own.
        """
        if self.values["runs"]:
            raise UsageError("a row for each face is of one model; evaluate the checkpoint of one of the runs")
        return face_columns(self.faces, self.values["data"]["classes"], self.label, self.probabilities)


def evaluate_model(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    options: EvaluateOptions | None = None,
    *,
    progress: Progress | None = None,
    **kwargs: Any,
) -> Evaluation:
    """Measure what a model, or a recipe with several seeds, is worth on labelled faces.

    The faces go through the same preprocessing as everywhere (`mien.classify.preprocess`), as faces that are cropped
    already. Of the split that the model was trained on, those that training held out are measured
    (`mien.data.held_out`).

    Parameters
    ----------
    model : str or path
        A shipped model's name, an ``.onnx`` file with its card beside it, a checkpoint that `mien train` wrote, or a
        folder with runs of several seeds (`mien.train.train_seeds`) or of folds (`mien.train.cross_validate`).
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
    opened = open_measurable(model, options.threads or usable_cores())
    if opened.seeds and options.by is not None:
        raise UsageError(f"by is {options.by!r}; groups are compared for one model: give {opened.stored[0].weights}")
    if (opened.seeds or opened.folds) and options.occlusion:
        raise UsageError(f"occlusion is {options.occlusion}; one model is explained: give {opened.stored[0].weights}")
    measured = open_faces_for([opened], data, options.split, parse_attributes(options.by), learned=options.learned)
    faces = measured.faces
    task = choose_task(options.labels, opened.cards, faces.labels, faces.label, faces.source)
    if options.leaks:
        faces = mark_leaks(faces, data, measured.training(options.training), options.threads)
    wanted = wanted_rows(faces, task)
    faces, target = faces.take(wanted), task.target[wanted]
    outputs = predict_all([opened], faces, views=options.ten_views, progress=progress)
    rows = row_facts(measured, task, int((target >= 0).sum()), options.learned)
    evaluation = _assemble(opened, faces, task, target, outputs, rows)
    occlusion: dict[str, Any] | None = None
    mean_faces: dict[str, npt.NDArray[np.uint8]] = {}
    if options.occlusion:
        classifier, served = opened.classifiers[0], (task.scheme, task.heads[0])
        occlusion, mean_faces = class_maps(
            classifier, served, evaluation.faces, evaluation.probabilities, options.occlusion, progress
        )
    values = {**evaluation.values, "occlusion": occlusion, "seconds": round(time.monotonic() - start_s, 1)}
    return dataclasses.replace(evaluation, values=values, mean_faces=mean_faces)


def wanted_rows(faces: Faces, task: EvaluationTask) -> npt.NDArray[np.bool_]:
    """The rows to read, of shape (N,): those with a label of the scheme, and those whose votes count."""
    wanted = task.target >= 0
    return wanted if faces.votes is None else wanted | (faces.votes.sum(axis=1) > 0)


def scheme_probabilities(
    outputs: Sequence[Outputs], heads: Sequence[Head], scheme: LabelScheme, rows: npt.NDArray[np.bool_]
) -> dict[str, Floats]:
    """The calibrated probabilities of a scheme's labels, by the way the faces were read.

    The answer is the most probable label, as in recognition: the calibration may decide which.

    Parameters
    ----------
    outputs : sequence of S Outputs
        What a model, or each of S runs, said of N faces.
    heads : sequence of S Head
        Of each the head that serves the scheme.
    scheme : LabelScheme
        Of C labels.
    rows : bool array of shape (N,)
        Which faces are wanted: n of them.

    Returns
    -------
    dict of str to float64 array of shape (S, n, C)
        ``"one_pass"``, and where ten views were read, ``"ten_views"``.
    """
    pairs = list(zip(outputs, heads, strict=True))
    by_way = {
        "one_pass": [calibrated(output.logits[head.output], head, output.sides_px) for output, head in pairs],
        "ten_views": [output.views[head.output] for output, head in pairs if output.views is not None],
    }
    return {
        way: np.stack([scheme.project(own[rows], head.labels)[0] for own, head in zip(every, heads, strict=True)])
        for way, every in by_way.items()
        if every
    }


def model_facts(opened: Measurable, head: Head) -> dict[str, Any]:
    """What a report says of a model, or of the first of several runs."""
    stored = opened.stored[0]
    card = stored.card
    return {
        "name": opened.name,
        "file": stored.weights.name,
        "file_bytes": stored.weights.stat().st_size,
        "sha256": card.sha256,
        "precision": card.precision,
        "runs_in": "torch" if stored.weights.suffix.lower() == CHECKPOINT else "ONNX Runtime",
        "parameters": card.parameters,
        "head": head.output,
        "folds": len(opened.folds),
    }


def run_rows(
    opened: Measurable,
    truth: IntArray,
    answers: Mapping[str, IntArray],
    names: tuple[str, ...],
    eces: Sequence[float],
) -> list[dict[str, Any]]:
    """What a report says of each of several runs; of a model nothing.

    Parameters
    ----------
    opened : Measurable
    truth : int64 array of shape (N,)
    answers : mapping of str to int64 array of shape (S, N)
        By the way the faces were read; one of them is ``"one_pass"``.
    names : tuple of str
    eces : sequence of S float
    """
    rows = []
    for number, (seed, stored) in enumerate(zip(opened.seeds, opened.stored, strict=False)):
        scores = class_scores(confusion_matrix(truth, answers["one_pass"][number], len(names)))
        rows.append(
            {
                "seed": seed,
                "file": str(Path(stored.weights.parent.name) / stored.weights.name),
                "sha256": stored.card.sha256,
                "accuracy": rounded((answers["one_pass"][number] == truth).mean()),
                "ten_views_accuracy": (
                    rounded((answers["ten_views"][number] == truth).mean()) if "ten_views" in answers else None
                ),
                "balanced_accuracy": rounded(scores.balanced_accuracy),
                "macro_f1": rounded(scores.macro_f1),
                "ece": eces[number],
            }
        )
    return rows


def _fold_rows(
    opened: Measurable, faces: Faces, truth: IntArray, answers: Mapping[str, IntArray]
) -> list[dict[str, Any]]:
    """What a report says of each fold of a cross-validation: how its model reads it. Of anything else nothing."""
    if not opened.folds:
        return []
    models = [stored for stored, _ in opened.folds.values()]
    fold = folds_of_faces(faces, [stored.card.learned_from for stored in models])
    right = {way: own == truth for way, own in answers.items()}
    return [
        {
            "fold": number,
            "file": str(Path(stored.weights.parent.name) / stored.weights.name),
            "sha256": stored.card.sha256,
            "images": int(rows.sum()),
            "accuracy": rounded(right["one_pass"][rows].mean()),
            "ten_views_accuracy": rounded(right["ten_views"][rows].mean()) if "ten_views" in right else None,
        }
        for number, stored, rows in zip(opened.folds, models, (fold == k for k in range(len(models))), strict=True)
        if rows.any()
    ]


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
    opened: Measurable,
    faces: Faces,
    task: EvaluationTask,
    target: IntArray,
    outputs: Sequence[Outputs],
    rows: dict[str, Any],
) -> Evaluation:
    kept = target >= 0
    labelled, truth, names = faces.take(kept), target[kept], task.scheme.labels
    by_way = scheme_probabilities(outputs, task.heads, task.scheme, kept)
    answers = {way: every.argmax(axis=-1) for way, every in by_way.items()}
    if not opened.seeds:
        answers = {way: own[0] for way, own in answers.items()}
    scores = {way: answer_scores(truth, own, names) for way, own in answers.items()}
    calibrations = [
        scheme_calibration(output.logits[head.output][kept], truth, task.scheme, head, output.sides_px[kept])
        for output, head in zip(outputs, task.heads, strict=True)
    ]
    probabilities = by_way["one_pass"].mean(axis=0)
    shown = probabilities.argmax(axis=1)
    worst = _confidently_wrong(probabilities.max(axis=1), shown == truth)
    values = {
        "mien": __version__,
        "model": model_facts(opened, task.heads[0]),
        "data": rows,
        "one_pass": scores["one_pass"],
        "ten_views": scores.get("ten_views"),
        "leaks": leak_scores(labelled, {way: own == truth for way, own in answers.items()}),
        "calibration": mean_calibration(calibrations),
        "ferplus": ferplus_scores(opened, faces, outputs),
        "by": group_scores(labelled.attributes, truth, shown, probabilities.max(axis=1), names),
        "runs": run_rows(opened, truth, answers, names, [found["ece_card"] for found in calibrations]),
        "folds": _fold_rows(opened, labelled, truth, answers),
        "confidently_wrong": [
            {
                "row": name,
                "label": names[truth[row]],
                "answer": names[shown[row]],
                "confidence": rounded(probabilities[row].max()),
                "probability_of_label": rounded(probabilities[row, truth[row]]),
            }
            for row, name in zip(worst.tolist(), labelled.names(worst), strict=True)
        ],
    }
    return Evaluation(values, labelled.images(worst), labelled, truth, probabilities)


def _confidently_wrong(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> IntArray:
    wrong = np.flatnonzero(~right)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_WRONG]


def ferplus_scores(opened: Measurable, faces: Faces, outputs: Sequence[Outputs]) -> dict[str, Any] | None:
    """The FER+ protocols, by the first head that knows all eight expressions; None without votes or such a head."""
    heads = opened.cards[0].heads
    head = next((head for head in heads if set(EXPRESSIONS) <= set(head.labels)), None)
    votes = ferplus_votes(faces.votes, faces.vote_labels)
    if head is None or votes is None:
        return None
    name = head.output
    by_way: dict[str, list[npt.NDArray[np.floating]]] = {
        "one_pass": [
            scale_classes(output.logits[name], card.head(name))
            for output, card in zip(outputs, opened.cards, strict=True)
        ],
        "ten_views": [output.views[name] for output in outputs if output.views is not None],
    }
    protocols = {
        way: ferplus_protocols(np.stack(every) if opened.seeds else every[0], head.labels, votes) if every else None
        for way, every in by_way.items()
    }
    return {"head": name, **protocols}
