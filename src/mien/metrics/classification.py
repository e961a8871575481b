"""Metrics of classification, each from the confusion matrix, with 95 % intervals over the images."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mien.data.copies import COPY_KINDS

__all__ = [
    "ClassScores",
    "class_scores",
    "classification_scores",
    "confusion_matrix",
    "detailed_scores",
    "rounded",
    "share_interval",
    "wilson_interval",
]

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SEED, RESAMPLES = 0, 10_000
INTERVAL = (0.025, 0.975)
_BLOCK = 2_000
QUANTILE_975 = 1.959963984540054  # of the normal distribution


class ClassScores(NamedTuple):
    """Scores of each class, from a confusion matrix of C classes.

    Attributes
    ----------
    precision, recall, f1 : float64 arrays of shape (..., C)
        In [0, 1]; 0 where a class was never answered (precision), has no image (recall), or both (f1).
    support : int64 array of shape (..., C)
        Images of each class.
    answered : int64 array of shape (..., C)
        Images that were answered with it.
    """

    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]
    support: IntArray
    answered: IntArray

    @property
    def balanced_accuracy(self) -> npt.NDArray[np.float64]:
        """The mean recall over the classes that have images, of shape (...)."""
        return _mean_over(self.recall, self.support > 0)

    @property
    def macro_f1(self) -> npt.NDArray[np.float64]:
        """The mean F1 over the classes that have images, of shape (...)."""
        return _mean_over(self.f1, self.support > 0)


def confusion_matrix(truth: IntArray, answers: IntArray, classes: int) -> IntArray:
    """Count images; a row for each true class, a column for each answer.

    Parameters
    ----------
    truth, answers : int64 arrays of shape (N,)
        In [0, classes).

    Returns
    -------
    int64 array of shape (classes, classes)
    """
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (truth, answers), 1)
    return confusion


def class_scores(confusion: IntArray) -> ClassScores:
    """Precision, recall and F1 of each class, from one or many confusion matrices of shape (..., C, C)."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support, answered = confusion.sum(axis=-1), confusion.sum(axis=-2)
    return ClassScores(
        precision=hits / np.maximum(answered, 1),
        recall=hits / np.maximum(support, 1),
        f1=2 * hits / np.maximum(support + answered, 1),
        support=support,
        answered=answered,
    )


def share_interval(right: BoolArray) -> list[float]:
    """`wilson_interval` of the share of right answers; `right` is of shape (N,), N above 0."""
    return wilson_interval(float(right.mean()), len(right))


def wilson_interval(share: float, count: float) -> list[float]:
    """95 % interval of a share, after Wilson (1927).

    With some hundred images it is what the bootstrap gives; with few images, or where nearly all are right, it still
    covers the truth as often as it says (Brown, Cai and DasGupta, 2001): the bootstrap of 6 right of 6 has no width.

    Parameters
    ----------
    share : float
        In [0, 1].
    count : float
        Of how many images, above 0; not a whole number where it is a mean over several runs.

    Returns
    -------
    list of two float
        Lower and upper bound, in [0, 1].
    """
    spread = QUANTILE_975**2 / count
    middle = share + spread / 2
    half = QUANTILE_975 * (share * (1 - share) / count + spread / (4 * count)) ** 0.5
    return [rounded(max((middle + side) / (1 + spread), 0.0)) for side in (-half, half)]


def classification_scores(
    probabilities: FloatArray,
    truth: IntArray,
    names: tuple[str, ...],
    copies: npt.NDArray[np.int8] | None = None,
) -> dict[str, Any]:
    """Accuracy and its relatives, in the short form of model cards.

    Parameters
    ----------
    probabilities : float array of shape (N, C)
        Or anything whose largest entry is the answer.
    truth : int64 array of shape (N,)
        The class of each image, in [0, C).
    names : tuple of C str
        The classes.
    copies : int8 array of shape (N,), optional
        The kind of copy that each image has among the training images: an index into `COPY_KINDS`, or -1 for none.

    Returns
    -------
    dict
        Shares in [0, 1]; intervals are those of `share_interval`. `confusion` counts images, a row for
        each true class. ``without_training_copies`` leaves out exact copies, ``without_any_copy`` near and mirrored
        ones, too; neither is there if nobody has looked for copies, and no accuracy where no image is left.
    """
    answers = probabilities.argmax(axis=1)
    right = answers == truth
    confusion = confusion_matrix(truth, answers, len(names))
    scores = class_scores(confusion)
    without_copies: dict[str, Any] = {}
    if copies is not None:
        kept = {"without_training_copies": copies != COPY_KINDS.index("exact"), "without_any_copy": copies < 0}
        for name, fresh in ((name, right[rows]) for name, rows in kept.items()):
            without_copies[f"images_{name}"] = len(fresh)
            if len(fresh):
                without_copies[f"accuracy_{name}"] = rounded(fresh.mean())
                without_copies[f"accuracy_{name}_interval_95"] = share_interval(fresh)
    return {
        "images": len(truth),
        "accuracy": rounded(right.mean()),
        "accuracy_interval_95": share_interval(right),
        **without_copies,
        "balanced_accuracy": rounded(scores.balanced_accuracy),
        "macro_f1": rounded(scores.macro_f1),
        "recall": {name: rounded(value) for name, value in zip(names, scores.recall, strict=True)},
        "confusion": confusion.tolist(),
    }


def detailed_scores(truth: IntArray, answers: IntArray, names: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy, balanced accuracy, macro F1, each with its interval, and a row a class.

    Parameters
    ----------
    truth, answers : int64 arrays of shape (N,)
        The class of each image, and the one that was answered, in [0, C). N may be 0.
    names : tuple of C str
        The classes.

    Returns
    -------
    dict
        Shares in [0, 1]; None where nothing can be said (the recall of a class without images, or the precision of
        one that was never answered). Means go over the classes that have images. Without any image only ``images``.
    """
    if not len(truth):
        return {"images": 0}
    confusion = confusion_matrix(truth, answers, len(names))
    scores = class_scores(confusion)
    right = truth == answers
    balanced, macro = _mean_intervals(confusion)
    return {
        "images": len(truth),
        "accuracy": rounded(right.mean()),
        "accuracy_interval_95": share_interval(right),
        "balanced_accuracy": rounded(scores.balanced_accuracy),
        "balanced_accuracy_interval_95": balanced,
        "macro_f1": rounded(scores.macro_f1),
        "macro_f1_interval_95": macro,
        "classes": {
            name: {
                "precision": rounded(scores.precision[i]) if scores.answered[i] else None,
                "recall": rounded(scores.recall[i]) if scores.support[i] else None,
                "f1": rounded(scores.f1[i]) if scores.answered[i] + scores.support[i] else None,
                "support": int(scores.support[i]),
            }
            for i, name in enumerate(names)
        },
        "confusion": confusion.tolist(),
    }


def rounded(value: Any) -> float:
    """A plain float of five decimals: what reports and cards hold."""
    return round(float(value), 5)


def _mean_intervals(confusion: IntArray) -> tuple[list[float], list[float]]:
    """Intervals of balanced accuracy and macro F1, by a bootstrap that is never certain.

    Drawing images again with replacement is drawing the cells of the confusion matrix from a multinomial distribution.
    Where all answers are right all draws are equal, of six images as of six thousand; and so are those of a rare class,
    whose few images count for as much as those of any other. So two right and two wrong answers more are drawn from, an
    equal part of them in each class that has images (as Agresti and Coull, 1998, do for one share), and what these move
    the means by is taken back: the intervals lie around what was measured.
    """
    images, others = int(confusion.sum()), max(len(confusion) - 1, 1)
    has_images = confusion.sum(axis=1, keepdims=True) > 0
    # In whole numbers: each image counts so many times.
    times = int(has_images.sum()) * others
    cells = confusion * times + 2 * has_images * np.where(np.eye(len(confusion), dtype=bool), others, 1)
    rng = np.random.default_rng(SEED)
    parts = []
    for _ in range(RESAMPLES // _BLOCK):
        drawn = class_scores(rng.multinomial(images, cells.ravel() / cells.sum(), _BLOCK).reshape(-1, *confusion.shape))
        parts.append(np.stack([drawn.balanced_accuracy, drawn.macro_f1]))
    bounds = np.quantile(np.concatenate(parts, axis=1), INTERVAL, axis=1).T
    measured, moved = class_scores(confusion), class_scores(cells)
    return (
        _around(measured.balanced_accuracy, bounds[0] - moved.balanced_accuracy),
        _around(measured.macro_f1, bounds[1] - moved.macro_f1),
    )


def _around(value: FloatArray, sides: FloatArray) -> list[float]:
    """A share's interval from how far its bounds lie to either side."""
    low, high = (value + side for side in sides)
    return [rounded(max(min(low, value), 0.0)), rounded(min(max(high, value), 1.0))]


def _mean_over(values: npt.NDArray[np.float64], counted: BoolArray) -> npt.NDArray[np.float64]:
    total = np.where(counted, values, 0.0).sum(axis=-1)
    return np.asarray(total / np.maximum(counted.sum(axis=-1), 1), np.float64)
