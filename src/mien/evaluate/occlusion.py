"""Where a model looks: the mean map of what its answers rest on, for each class of a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.classify import Classifier, whole_batch
from mien.data.faces import Faces
from mien.explain.occlusion import GRID, occlude
from mien.labels import LabelScheme
from mien.metrics.classification import rounded
from mien.progress import Progress
from mien.zoo import Head

__all__ = ["EDGE_SHARE", "class_maps"]

_INNER = (GRID - 2) ** 2
EDGE_SHARE = 1 - _INNER / GRID**2
"""How much of a crop its outermost squares are."""
_MEAN_FACE_PX = 48


def class_maps(
    classifier: Classifier,
    served: tuple[LabelScheme, Head],
    faces: Faces,
    probabilities: npt.NDArray[np.floating],
    most: int,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.uint8]]]:
    """Explain the answers to some faces of each class, right ones and wrong ones, and average the maps.

    Parameters
    ----------
    classifier : Classifier
    served : (LabelScheme, Head)
        The classes, and the head of the classifier that serves them.
    faces : Faces
        N faces.
    probabilities : float array of shape (N, C)
        What the classifier said of them.
    most : int
        So many faces that are read as a class are drawn at random, with a fixed seed, or all where there are fewer.
    progress : callable, optional
        Called with what is done, of how many, and what is under way.

    Returns
    -------
    (values, mean_faces)
        Plain values for JSON: for each class that any face is read as, the number of ``faces``, their mean
        ``confidence``, the mean map ``drop`` (GRID rows of GRID numbers, see `mien.explain.Explanation`), and the
        share of all that speaks for the class which the outermost squares hold, ``edge`` (None where nothing does).
        And of each the mean face, gray, uint8 of shape (48, 48).
    """
    scheme, _ = served
    answer = probabilities.argmax(axis=1)
    rng = np.random.default_rng(0)
    chosen = {
        label: np.sort(rng.permutation(np.flatnonzero(answer == number))[:most])
        for number, label in enumerate(scheme.labels)
    }
    spec = classifier.card.input
    done, total = 0, sum(map(len, chosen.values()))
    classes: dict[str, Any] = {}
    mean_faces: dict[str, npt.NDArray[np.uint8]] = {}
    for label, rows in chosen.items():
        if not len(rows):
            continue
        images = faces.images(rows, color=spec.channels == "rgb")
        found = []
        for image, crop in zip(images, whole_batch(images, spec), strict=True):
            found.append(occlude(classifier, crop, max(image.shape[:2]), served, label, rounds=1))
            done += 1
            if progress is not None:
                progress(done, total, "hiding parts of faces")
        drop = np.mean([one for _, one in found], axis=0)
        classes[label] = {
            "faces": len(rows),
            "confidence": rounded(np.mean([whole for whole, _ in found])),
            "edge": _edge(drop),
            "drop": np.round(drop, 5).tolist(),
        }
        taken = np.zeros(len(faces), np.bool_)
        taken[rows] = True
        mean_faces[label] = np.rint(faces.take(taken).squares(_MEAN_FACE_PX).mean(axis=0)).astype(np.uint8)
    return {"faces_a_class": most, "edge_share": rounded(EDGE_SHARE), "classes": classes}, mean_faces


def _edge(drop: npt.NDArray[np.float64]) -> float | None:
    speaks_for = np.maximum(drop, 0)
    whole = speaks_for.sum()
    return rounded(1 - speaks_for[1:-1, 1:-1].sum() / whole) if whole > 0 else None
