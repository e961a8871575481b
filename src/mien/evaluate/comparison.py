"""Several models on the same rows: everything that `mien compare` tells."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from mien import __version__
from mien.classify.calibration import expected_calibration_error
from mien.data.faces import Faces
from mien.errors import UsageError
from mien.evaluate.leaks import leak_scores, mark_leaks
from mien.evaluate.models import Measurable, distinct_names, open_faces_for, open_measurable, open_model
from mien.evaluate.options import CompareOptions
from mien.evaluate.predict import Outputs, predict_all
from mien.evaluate.report import (
    ferplus_scores,
    model_facts,
    row_facts,
    run_rows,
    scheme_probabilities,
    wanted_rows,
)
from mien.evaluate.scheme import choose_task
from mien.evaluate.speed import ms_a_face
from mien.labels import LabelScheme
from mien.metrics.classification import rounded
from mien.metrics.paired import holm, paired_test
from mien.metrics.runs import accuracies, answer_scores, compare_runs
from mien.options import given_options
from mien.parallel import usable_cores
from mien.progress import Progress
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
    opened = [open_measurable(model, threads) for model in models]
    files = [stored.weights.resolve() for one in opened for stored in one.stored]
    if len(set(files)) < len(files):
        raise UsageError("a model is given twice; expected different models")
    names = distinct_names([one.name for one in opened], [one.place for one in opened])
    cards = [card for one in opened for card in one.cards]
    measured = open_faces_for(opened, data, options.split, learned=options.learned)
    faces = measured.faces
    task = choose_task(options.labels, cards, faces.labels, faces.label, faces.source)
    wanted = wanted_rows(faces, task)
    faces, target = faces.take(wanted), task.target[wanted]
    labelled = faces.take(target >= 0)
    if options.leaks:
        labelled = mark_leaks(labelled, data, measured.training(options.training), options.threads)
    outputs = iter(predict_all(opened, faces, views=options.ten_views, progress=progress))
    heads = iter(task.heads)
    rows, rights = [], []
    for one, name in zip(opened, names, strict=True):
        said, served_by = list(islice(outputs, len(one.stored))), list(islice(heads, len(one.stored)))
        scores, right = _scores(one, said, served_by, task.scheme, target, labelled)
        ferplus = ferplus_scores(one, faces, said)
        facts = {**model_facts(one, served_by[0]), "name": name}
        rows.append({**facts, **scores, "ferplus": ferplus, "ms_a_face": None})
        rights.append(right)
    if options.timed_faces:
        # Before there is a table to look at, and after the batches: caches are warm and nothing else of ours runs.
        for row, timing in zip(rows, _timed(opened, labelled, options.timed_faces), strict=True):
            row["ms_a_face"] = timing
    return Comparison(
        {
            "mien": __version__,
            "data": row_facts(measured, task, len(labelled), options.learned),
            "read": "ten views" if options.ten_views else "one pass",
            "models": rows,
            "pairs": _pairs(names, rights),
            "all_right": int(np.concatenate(rights).all(axis=0).sum()),
            "all_wrong": int((~np.concatenate(rights).any(axis=0)).sum()),
            "timed_faces": options.timed_faces,
            "seconds": round(time.monotonic() - start_s, 1),
        }
    )


def _scores(
    one: Measurable,
    outputs: Sequence[Outputs],
    heads: Sequence[Head],
    scheme: LabelScheme,
    target: npt.NDArray[np.int64],
    labelled: Faces,
) -> tuple[dict[str, Any], npt.NDArray[np.bool_]]:
    """What a model scores on the faces that have a label, and on which of them it is right: (1, N), or a row a run."""
    kept = target >= 0
    truth = target[kept]
    by_way = scheme_probabilities(outputs, heads, scheme, kept)
    answers = {way: every.argmax(axis=-1) for way, every in by_way.items()}
    eces = {way: [rounded(expected_calibration_error(own, truth)) for own in every] for way, every in by_way.items()}
    read = "ten_views" if "ten_views" in by_way else "one_pass"
    by_run = answers[read]
    # Of a model without the axis of runs.
    own = by_run if one.seeds else by_run[0]
    return {
        "scores": answer_scores(truth, own, scheme.labels),
        "one_pass_accuracy": rounded((answers["one_pass"] == truth).mean()),
        "leaks": leak_scores(labelled, {"accuracy": own == truth}),
        "ece": rounded(np.mean(eces[read])),
        "runs": run_rows(one, truth, answers, scheme.labels, eces["one_pass"]),
    }, by_run == truth


def _timed(opened: Sequence[Measurable], faces: Faces, count: int) -> list[dict[str, float]]:
    """Of each on the CPU and one thread, wherever it was measured; of several runs the first."""
    single = [open_model(one.spec, 1, gpu=False)[1] for one in opened]
    color = any(one.cards[0].input.channels == "rgb" for one in opened)
    return ms_a_face(single, faces.images(np.arange(min(_TIMED_DIFFERENT, len(faces))), color=color), count)


def _pairs(names: Sequence[str], rights: Sequence[npt.NDArray[np.bool_]]) -> list[dict[str, Any]]:
    pairs = list(combinations(range(len(names)), 2))
    tests = [_test(rights[a], rights[b]) for a, b in pairs]
    adjusted = holm([test["p_value"] for test in tests])
    return [
        {"first": names[a], "second": names[b], **test, "p_value_holm": p_value}
        for (a, b), test, p_value in zip(pairs, tests, adjusted, strict=True)
    ]


def _test(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Two models face by face; where one of them is several runs, over seeds and faces."""
    if len(first) == len(second) == 1:
        paired = paired_test(first[0], second[0])
        return {**asdict(paired), "interval_95": list(paired.interval_95)}
    test = compare_runs(accuracies(first), accuracies(second))
    return {"only_first": None, "only_second": None, **asdict(test), "interval_95": list(test.interval_95)}
