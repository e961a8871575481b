"""Several trainings of one recipe, measured on the same faces: what they say of the recipe, not of one training.

Both the seeds and the faces are samples: another seed, or other faces, would give another score. Every run answers
every face, as every reader reads every case in studies of radiologists, and the variance is put together as there
(Obuchowski and Rockette, 1995; Hillis, 2007). Of S runs the mean has

    variance = between / S + shared

where `between` is the variance of the runs' scores, and `shared` the mean covariance of two of them over samples of
faces: what they all gain or lose by the same easy or hard faces. With few seeds `between` is known badly, so Student's
t takes the place of the normal distribution, with the degrees of freedom of Satterthwaite (1946).

Covariances over faces come from how much each face moves each score (the infinitesimal jackknife: Efron, 1982), so that
nothing is drawn at random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import import_extra
from mien.metrics.classification import class_scores, confusion_matrix, detailed_scores, rounded, share_interval

__all__ = [
    "RunScores",
    "RunsTest",
    "accuracies",
    "accuracy_scores",
    "answer_scores",
    "compare_runs",
    "runs_interval",
    "student_quantile",
    "student_tail",
]

Floats = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RunScores:
    """A score of each of S runs on the same N faces.

    Attributes
    ----------
    values : float64 array of shape (S,)
        In [0, 1].
    influence : float64 array of shape (S, N)
        How much the score moves with the weight of each face; each row sums to 0.
    faces : float
        How many faces count: N for the accuracy; fewer for means over classes of which some are rare.
    unseen : float
        Variance over faces that these faces do not show: of a rare class whose few faces are all right.
    """

    values: Floats
    influence: Floats
    faces: float
    unseen: float = 0.0

    @property
    def mean(self) -> float:
        """Over the runs."""
        return float(self.values.mean())

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the runs; None of one run."""
        return float(self.values.std(ddof=1)) if len(self.values) > 1 else None


@dataclass(frozen=True)
class RunsTest:
    """Two recipes, or a recipe and a model, on the same faces.

    Attributes
    ----------
    difference : float
        Mean score of the first less that of the second.
    interval_95 : (float, float)
    p_value : float
        Of the two-sided t test.
    """

    difference: float
    interval_95: tuple[float, float]
    p_value: float


def accuracies(right: BoolArray) -> RunScores:
    """The accuracy of each run.

    Parameters
    ----------
    right : bool array of shape (S, N)
        Which faces each run read right; S and N above 0.
    """
    values = right.mean(axis=1)
    return RunScores(values, (right - values[:, None]) / right.shape[1], right.shape[1])


def runs_interval(scores: RunScores) -> list[float]:
    """95 % interval of the mean over all seeds and all faces that might have been: see the top of this file.

    It has the form of Wilson's (1927), for as many faces as would give a share this variance (Kish, 1965), so that it
    stays in [0, 1] and has a width where every answer is right.

    Parameters
    ----------
    scores : RunScores
        Of two runs or more.

    Returns
    -------
    list of two float
    """
    count, faces = scores.influence.shape
    between, shared = _variances(scores)
    own, of_faces = between / count, max(shared, 0.0) + scores.unseen
    variance = own + of_faces
    quantile = student_quantile(_degrees(variance, (own, count - 1), (of_faces, faces - 1)))
    mean = scores.mean
    spread = mean * (1.0 - mean)
    effective = spread / variance if spread > 0.0 and variance > 0.0 else scores.faces
    extra = quantile**2 / effective
    half = quantile * math.sqrt(spread / effective + extra / (4.0 * effective))
    low, high = ((mean + extra / 2.0 + side) / (1.0 + extra) for side in (-half, half))
    return [rounded(max(low, 0.0)), rounded(min(high, 1.0))]


def compare_runs(first: RunScores, second: RunScores) -> RunsTest:
    """Compare recipes by their runs, which answered the same faces; a single run stands for itself only.

    The seeds of two recipes have nothing to do with each other. The variance of the difference is that of either's
    mean, less what both share by the faces; and one face more on either side is counted, as in
    `mien.metrics.paired.difference_interval`, so that the interval has a width where no answer differs.

    Parameters
    ----------
    first, second : RunScores
        On the same faces; of one run or more.
    """
    faces = first.influence.shape[1]
    owns = []
    of_faces = -2.0 * float((first.influence @ second.influence.T).mean()) * _unbiased(faces)
    for scores in (first, second):
        between, shared = _variances(scores)
        owns.append((between / len(scores.values), len(scores.values) - 1))
        of_faces += shared
    of_faces = max(of_faces, 0.0) + 2.0 / (faces + 2) ** 2
    variance = sum(own for own, _ in owns) + of_faces
    degrees = _degrees(variance, *owns, (of_faces, faces - 1))
    difference = first.mean - second.mean
    half = student_quantile(degrees) * math.sqrt(variance)
    return RunsTest(
        rounded(difference),
        (rounded(max(difference - half, -1.0)), rounded(min(difference + half, 1.0))),
        student_tail(abs(difference) / math.sqrt(variance), degrees),
    )


def accuracy_scores(right: BoolArray) -> dict[str, Any]:
    """Accuracy with its 95 % interval.

    Parameters
    ----------
    right : bool array of shape (N,), or (S, N) of S runs
        N above 0.

    Returns
    -------
    dict
        Of one model with Wilson's interval; of runs their mean, its standard deviation and `runs_interval`.
    """
    if right.ndim == 1:
        return {"accuracy": rounded(right.mean()), "accuracy_interval_95": share_interval(right)}
    return _named("accuracy", accuracies(right))


def answer_scores(truth: IntArray, answers: IntArray, names: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy, balanced accuracy, macro F1, each with its interval, and a row a class: of a model, or of several runs.

    Parameters
    ----------
    truth : int64 array of shape (N,)
        N above 0.
    answers : int64 array of shape (N,), or (S, N) of S runs
    names : tuple of str

    Returns
    -------
    dict
        Of a model those of `mien.metrics.classification.detailed_scores`. Of runs the same as means, and besides
        ``NAME_deviation``, the standard deviation over the runs; ``confusion`` adds the runs up.
    """
    if answers.ndim == 1:
        return detailed_scores(truth, answers, names)
    confusions = np.stack([confusion_matrix(truth, own, len(names)) for own in answers])
    scores = class_scores(confusions)
    support = scores.support[0]
    answered = scores.answered.sum(axis=0)
    return {
        "images": len(truth),
        **_named("accuracy", accuracies(answers == truth)),
        **_named("balanced_accuracy", _balanced_accuracies(truth, answers, scores.recall, support)),
        **_named("macro_f1", _macro_f1s(truth, answers, scores.f1, support + scores.answered, support)),
        "classes": {
            name: {
                # Of the runs that ever answered so: of the others nothing can be said, as of one model.
                "precision": rounded(scores.precision[scores.answered[:, i] > 0, i].mean()) if answered[i] else None,
                "recall": rounded(scores.recall[:, i].mean()) if support[i] else None,
                "recall_deviation": rounded(scores.recall[:, i].std(ddof=1)) if support[i] else None,
                "f1": rounded(scores.f1[:, i].mean()) if answered[i] + support[i] else None,
                "support": int(support[i]),
            }
            for i, name in enumerate(names)
        },
        "confusion": confusions.sum(axis=0).tolist(),
    }


def student_tail(t: float, degrees: float) -> float:
    """The share of Student's distribution beyond -t and t.

    Parameters
    ----------
    t : float
        Not negative.
    degrees : float
        Of freedom, above 0; infinite for the normal distribution.

    Raises
    ------
    MissingExtraError
        If SciPy is not installed.
    """
    return 2.0 * float(_special().stdtr(min(degrees, _NEARLY_NORMAL), -t))


def student_quantile(degrees: float) -> float:
    """What 95 % of Student's distribution lie within on both sides of 0: 1.96 of the normal one (MissingExtraError)."""
    return float(_special().stdtrit(min(degrees, _NEARLY_NORMAL), 0.975))


_NEARLY_NORMAL = 1e9


def _special() -> Any:
    return import_extra("Measuring several runs, or detectors,", "scipy.special", "data").special


def _variances(scores: RunScores) -> tuple[float, float]:
    """Between runs, and shared by them.

    Runs differ at least as much as their answers to single faces do, which is known better than their scores' variance
    where there are few runs. Of one run nothing is known but its faces.
    """
    count, faces = scores.influence.shape
    covariance = scores.influence @ scores.influence.T * _unbiased(faces)
    alone = float(np.trace(covariance)) / count
    if count == 1:
        return 0.0, alone
    shared = (float(covariance.sum()) - count * alone) / (count * (count - 1))
    return max(float(scores.values.var(ddof=1)), alone - shared), shared


def _unbiased(faces: int) -> float:
    return faces / max(faces - 1, 1)


def _degrees(variance: float, *parts: tuple[float, int]) -> float:
    """Degrees of freedom of a sum of variances, each with its own."""
    spread = sum(part**2 / degrees for part, degrees in parts if degrees > 0)
    return variance**2 / spread if spread > 0.0 else math.inf


def _named(name: str, scores: RunScores) -> dict[str, Any]:
    assert scores.deviation is not None  # noqa: S101 - of two runs or more
    return {
        name: rounded(scores.mean),
        f"{name}_deviation": rounded(scores.deviation),
        f"{name}_interval_95": runs_interval(scores),
    }


def _balanced_accuracies(truth: IntArray, answers: IntArray, recall: Floats, support: IntArray) -> RunScores:
    classes = np.flatnonzero(support)
    influence = ((answers == truth) - recall[:, truth]) / support[truth] / len(classes)
    support = support[classes]
    unseen = _unseen_variance(recall[:, classes].mean(axis=0), support.astype(np.float64))
    return RunScores(recall[:, classes].mean(axis=1), influence, _faces_of_means(support), unseen)


def _macro_f1s(truth: IntArray, answers: IntArray, f1: Floats, sums: IntArray, support: IntArray) -> RunScores:
    """`sums` of shape (S, C): faces of each class and answers with it, which F1 divides by."""
    classes = np.flatnonzero(support)
    influence = np.zeros(answers.shape)
    for c in classes:
        own, given = (truth == c).astype(np.float64), (answers == c).astype(np.float64)
        influence += (2.0 * own * given - f1[:, c, None] * (own + given)) / sums[:, c, None]
    # F1 divides by half of these sums.
    unseen = _unseen_variance(f1[:, classes].mean(axis=0), sums[:, classes].mean(axis=0) / 2.0)
    return RunScores(f1[:, classes].mean(axis=1), influence / len(classes), _faces_of_means(support[classes]), unseen)


def _faces_of_means(support: IntArray) -> float:
    """How many faces would give a share the variance that a mean over classes has."""
    return float(len(support) ** 2 / (1.0 / support).sum())


def _unseen_variance(shares: Floats, faces: Floats) -> float:
    """What the variance of a mean over classes grows by with two right and two wrong answers more, as many in each.

    The same are added for one model (`mien.metrics.classification`).

    Parameters
    ----------
    shares, faces : float64 arrays of shape (C,)
        The score of each class, and of how many faces it is a share.
    """
    more = 2.0 / len(faces)
    smoothed = (shares * faces + more) / (faces + 2.0 * more)
    grown = smoothed * (1.0 - smoothed) - shares * (1.0 - shares)
    return float((np.maximum(grown, 0.0) / faces).sum()) / len(faces) ** 2
