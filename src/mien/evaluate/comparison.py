"""Several models on the same rows: everything that `mien compare` tells."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from mien import __version__
from mien.classify.calibration import expected_calibration_error
from mien.data.faces import Faces
from mien.data.held_out import open_measured
from mien.errors import UsageError
from mien.evaluate.leaks import leak_scores, mark_leaks
from mien.evaluate.models import distinct_names, open_model
from mien.evaluate.options import CompareOptions
from mien.evaluate.predict import Outputs, predict
from mien.evaluate.report import ferplus_scores, model_facts, probabilities_of, row_facts, wanted_rows
from mien.evaluate.scheme import EvaluationTask, choose_task
from mien.evaluate.speed import ms_a_face
from mien.metrics.classification import detailed_scores, rounded
from mien.metrics.paired import holm, paired_test
from mien.options import given_options
from mien.parallel import usable_cores
from mien.progress import Progress
from mien.zoo import StoredModel
from mien.zoo.card import Head

__all__ = ["Comparison", "compare_models"]

_TIMED_DIFFERENT = 16


@dataclass(frozen=True)
class Comparison:
    """What `compare_models` found.

    Attributes
    ----------
    values : dict
        Plain values, as they are written to JSON.
    """

    values: dict[str, Any]

    def __repr__(self) -> str:
        data = self.values["data"]
        models = ", ".join(f"{model['name']!r} {model['scores']['accuracy']:.1%}" for model in self.values["models"])
        return f"Comparison(on {data['source']!r}, split {data['split']!r}, {data['images']:,} images: {models} right)"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.values


def compare_models(
    models: Sequence[str | os.PathLike[str]],
    data: str | os.PathLike[str],
    options: CompareOptions | None = None,
    *,
    progress: Progress | None = None,
    **kwargs: Any,
) -> Comparison:
    """Measure models side by side on the same rows, with paired tests.

    Parameters
    ----------
    models : sequence of str or path
        Two or more, as for `evaluate_model`.
    data : path
        A dataset in any layout that `mien data import` reads, or a `mien.data.Dataset`.
    options : CompareOptions, optional
        Or its fields as keywords.
    progress : callable, optional
        Called with what is done, of how many, and what is under way.

    Raises
    ------
    InputError, ModelError, UsageError
        As `evaluate_model`; also if there are fewer than two models, or one comes twice.
    """
    options = given_options(CompareOptions, options, kwargs)
    if len(models) < 2:
        raise UsageError(f"{len(models)} model to compare; expected two or more")
    start_s = time.monotonic()
    threads = options.threads or usable_cores()
    opened = [open_model(model, threads) for model in models]
    stored, classifiers = [model for model, _ in opened], [classifier for _, classifier in opened]
    if len({model.weights.resolve() for model in stored}) < len(stored):
        raise UsageError("a model is given twice; expected different models")
    names = distinct_names([model.card.name for model in stored], [model.weights for model in stored])
    known = [model.card.learned_from for model in stored]
    measured = open_measured(data, options.split, known, learned=options.learned)
    faces = measured.faces
    task = choose_task(options.labels, [model.card for model in stored], faces.labels, faces.label, faces.source)
    wanted = wanted_rows(faces, task)
    faces, target = faces.take(wanted), task.target[wanted]
    labelled = faces.take(target >= 0)
    if options.leaks:
        labelled = mark_leaks(labelled, data, measured.training(options.training), options.threads)
    outputs = predict(classifiers, faces, views=options.ten_views, progress=progress)
    rows, rights = [], []
    for model, name, head, output in zip(stored, names, task.heads, outputs, strict=True):
        scores, right = _scores(output, head, task, target, labelled)
        ferplus = ferplus_scores(model.card, faces, output)
        rows.append({**model_facts(model, head), "name": name, **scores, "ferplus": ferplus, "ms_a_face": None})
        rights.append(right)
    if options.timed_faces:
        # Before there is a table to look at, and after the batches: caches are warm and nothing else of ours runs.
        for row, timing in zip(rows, _timed(models, stored, labelled, options.timed_faces), strict=True):
            row["ms_a_face"] = timing
    return Comparison(
        {
            "mien": __version__,
            "data": row_facts(measured, task, len(labelled), options.learned),
            "read": "ten views" if options.ten_views else "one pass",
            "models": rows,
            "pairs": _pairs(names, rights),
            "all_right": int(np.logical_and.reduce(rights).sum()),
            "all_wrong": int((~np.logical_or.reduce(rights)).sum()),
            "timed_faces": options.timed_faces,
            "seconds": round(time.monotonic() - start_s, 1),
        }
    )


def _scores(
    output: Outputs, head: Head, task: EvaluationTask, target: npt.NDArray[np.int64], labelled: Faces
) -> tuple[dict[str, Any], npt.NDArray[np.bool_]]:
    """What a model scores on the faces that have a label, and on which of them it is right."""
    kept = target >= 0
    truth = target[kept]
    one_pass, views = probabilities_of(output, head, task)
    answers = (one_pass if views is None else views)[kept].argmax(axis=1)
    right = answers == truth
    return {
        "scores": detailed_scores(truth, answers, task.scheme.labels),
        "one_pass_accuracy": rounded((one_pass[kept].argmax(axis=1) == truth).mean()),
        "leaks": leak_scores(labelled, {"accuracy": right}),
        "ece": rounded(expected_calibration_error(one_pass[kept], truth)),
    }, right


def _timed(
    models: Sequence[str | os.PathLike[str]], stored: Sequence[StoredModel], faces: Faces, count: int
) -> list[dict[str, float]]:
    """Of each on the CPU and one thread, wherever it was measured."""
    single = [open_model(model, 1, gpu=False)[1] for model in models]
    color = any(model.card.input.channels == "rgb" for model in stored)
    return ms_a_face(single, faces.images(np.arange(min(_TIMED_DIFFERENT, len(faces))), color=color), count)


def _pairs(names: Sequence[str], rights: Sequence[npt.NDArray[np.bool_]]) -> list[dict[str, Any]]:
    pairs = list(combinations(range(len(names)), 2))
    tests = [paired_test(rights[a], rights[b]) for a, b in pairs]
    adjusted = holm([test.p_value for test in tests])
    return [
        {
            "first": names[a],
            "second": names[b],
            **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(test).items()},
            "p_value_holm": p_value,
        }
        for (a, b), test, p_value in zip(pairs, tests, adjusted, strict=True)
    ]
