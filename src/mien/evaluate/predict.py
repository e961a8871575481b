"""Models on many faces: one pass, and the mean of ten views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.classify import Classifier, mean_probabilities, take_views, whole_batch
from mien.data.faces import Faces
from mien.data.held_out import folds_of_faces
from mien.errors import ModelError
from mien.evaluate.models import Measurable
from mien.progress import Progress

__all__ = ["Outputs", "predict", "predict_all"]

_CHUNK = 256


@dataclass(frozen=True)
class Outputs:
    """What a model said about N faces.

    Attributes
    ----------
    logits : dict of str to float32 array of shape (N, K)
        Of each head, by the name of its output.
    views : dict of str to float array of shape (N, K), or None
        The mean of the calibrated probabilities over ten views, as `Recognizer` reads them with ``views=10``.
    sides_px : float64 array of shape (N,)
        The longer side of each face as it is stored, which decides the card's temperature.
    """

    logits: dict[str, npt.NDArray[np.float32]]
    views: dict[str, npt.NDArray[np.floating]] | None
    sides_px: npt.NDArray[np.float64]


def predict(
    models: Sequence[Classifier],
    faces: Faces,
    *,
    views: bool,
    progress: Progress | None = None,
) -> list[Outputs]:
    """Run models on the same faces, which are read once, a chunk at a time.

    Parameters
    ----------
    models : sequence of Classifier
    faces : Faces
        At least one.
    views : bool
        Also read ten views (`mien.classify.take_views`).
    progress : callable, optional
        Called with what is done, of how many, and what is under way.

    Returns
    -------
    list of Outputs
        One for each model.

    Raises
    ------
    ModelError
        If a model's answer is not finite.
    InputError
        If an image is damaged.
    """
    color = any(model.card.input.channels == "rgb" for model in models)
    logits: list[list[dict[str, Any]]] = [[] for _ in models]
    means: list[list[dict[str, Any]]] = [[] for _ in models]
    sides_px: list[int] = []
    for start in range(0, len(faces), _CHUNK):
        images = faces.images(np.arange(start, min(start + _CHUNK, len(faces))), color=color)
        sides_px += [max(image.shape[:2]) for image in images]
        for number, model in enumerate(models):
            batch = whole_batch(images, model.card.input)
            logits[number].append(model.logits(batch))
            if not all(np.isfinite(values).all() for values in logits[number][-1].values()):
                raise ModelError(
                    f"model '{model.card.name}' gives NaN for faces of {faces.source}: its weights are broken"
                )
            if views:
                answers = [logits[number][-1], *(model.logits(view) for view in take_views(batch)[1:])]
                means[number].append(
                    mean_probabilities(model.card.heads, answers, np.array(sides_px[start:], np.float64))
                )
        if progress is not None:
            progress(len(sides_px), len(faces), "reading faces")
    return [
        Outputs(_joined(own), _joined(mean) if views else None, np.array(sides_px, np.float64))
        for own, mean in zip(logits, means, strict=True)
    ]


def predict_all(
    opened: Sequence[Measurable], faces: Faces, *, views: bool, progress: Progress | None = None
) -> list[Outputs]:
    """Read the same faces with all that is measured; of a cross-validation each by the model that does not know it.

    Parameters
    ----------
    opened : sequence of Measurable
    faces, views, progress
        As in `predict`.

    Returns
    -------
    list of Outputs
        One for a model or a cross-validation, one a seed for runs with several.

    Raises
    ------
    UsageError
        If the faces are not those that the folds are of.
    ModelError, InputError
        As `predict`.
    """
    models = [classifier for one in opened if not one.folds for classifier in one.classifiers]
    alike = iter(predict(models, faces, views=views, progress=progress) if models else ())
    outputs: list[Outputs] = []
    for one in opened:
        if one.folds:
            outputs.append(_predict_folds(one, faces, views, progress))
        else:
            outputs += islice(alike, len(one.classifiers))
    return outputs


def _predict_folds(one: Measurable, faces: Faces, views: bool, progress: Progress | None) -> Outputs:
    fold = folds_of_faces(faces, [stored.card.learned_from for stored, _ in one.folds.values()])
    parts: list[Outputs] = []
    for number, (_, classifier) in enumerate(one.folds.values()):
        rows, before = fold == number, int((fold < number).sum())
        if rows.any():
            tell = progress and _further(progress, before, len(fold))
            parts += predict([classifier], faces.take(rows), views=views, progress=tell)
    back = np.argsort(np.argsort(fold, kind="stable"), kind="stable")

    def whole(every: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {name: values[back] for name, values in _joined(every).items()}

    means = [part.views for part in parts if part.views is not None]
    sides_px = np.concatenate([part.sides_px for part in parts])[back]
    return Outputs(whole([part.logits for part in parts]), whole(means) if views else None, sides_px)


def _further(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _, what: progress(before + done, total, what)


def _joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
