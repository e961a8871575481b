"""A scale and a bias for each class, before the temperature: networks are too sure of some classes and not of others.

This is vector scaling (Guo, Pleiss, Sun, Weinberger: "On Calibration of Modern Neural Networks", ICML 2017, section
4.2), held near the temperature alone as far as the faces that it is fitted to are few. Unlike a temperature it can
change which class is the most probable one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.classify.calibration import checked_rows, least_temperature, negative_log_likelihood, softmax
from mien.zoo.card import Head

__all__ = ["calibrated", "fit_class_scaling", "scale_classes"]

FloatArray = npt.NDArray[np.float64]

_HOLD = 16.0
"""How strongly scales are held at 1 and biases at 0: nats for a squared distance of 1, beside the log likelihood of all
faces together (a normal prior of standard deviation 0.18). From 120 faces on, other faces are then about as likely as
with the temperature alone or likelier, and with 3,600 nearly as likely as without any hold
(benchmarks/calibration.py)."""
_MOST_STEPS = 50


def scale_classes(logits: npt.NDArray[np.floating], head: Head) -> npt.NDArray[np.floating[Any]]:
    """Logits as the temperature takes them: with the scale and bias of each class, where the head has them.

    Parameters
    ----------
    logits : float array of shape (..., K)
        Of the head's labels, in their order.
    head : Head

    Returns
    -------
    float array of shape (..., K)
        float32 stays float32.
    """
    values = np.asarray(logits)
    if not head.class_scale:
        return values
    centred = _centred(values)
    scale, bias = (np.asarray(numbers, centred.dtype) for numbers in (head.class_scale, head.class_bias))
    scaled: npt.NDArray[np.floating[Any]] = centred * scale + bias
    return scaled


def calibrated(
    logits: npt.NDArray[np.floating], head: Head, sides_px: npt.NDArray[np.floating] | None = None
) -> npt.NDArray[np.floating[Any]]:
    """The probabilities of a head's labels.

    Parameters
    ----------
    logits : float array of shape (N, K)
    head : Head
        Of the model's card.
    sides_px : float array of shape (N,), optional
        How many pixels of the photo each face spans, since small faces have temperatures of their own. By default all
        are as large as the model's input.

    Returns
    -------
    float array of shape (N, K)
        In [0, 1]; each row sums to 1. float32 stays float32.
    """
    temperature: Any = head.temperature if sides_px is None else head.temperature_at(sides_px)
    return softmax(scale_classes(logits, head), temperature)


def fit_class_scaling(
    logits: npt.ArrayLike, targets: npt.ArrayLike, temperature: float
) -> tuple[float, FloatArray, FloatArray]:
    """The scales and biases with the highest likelihood, less what holds them near 1 and 0.

    The problem is convex; it is solved by Newton's method, with smaller steps where a whole one would go too far.

    Parameters
    ----------
    logits : float array of shape (N, K)
    targets : integer array of shape (N,) or float array of shape (N, K)
        Class indices, or distributions over the classes.
    temperature : float
        The best one without them (`mien.classify.calibration.fit_temperature`).

    Returns
    -------
    (temperature, scale, bias) : float, float64 array of shape (K,), float64 array of shape (K,)
        For `Head`. The temperature is the one given, raised where the answers would be surer than so few faces can
        warrant.

    Raises
    ------
    UsageError
        If shapes do not fit, there is no row, or a number is not finite.
    """
    values, wanted = checked_rows(logits, targets)
    values = _centred(values) / temperature
    classes = values.shape[1]

    def objective(solution: FloatArray) -> float:
        loss = len(values) * negative_log_likelihood(values * solution[:classes] + solution[classes:], wanted)
        return float(loss + _HOLD * ((solution - start) ** 2).sum())

    start = np.concatenate([np.ones(classes), np.zeros(classes)])
    solution, now = start, objective(start)
    for _ in range(_MOST_STEPS):
        step = _newton_step(values, wanted, solution, start)
        share = 1.0
        while (then := objective(solution - share * step)) > now and share > 1e-6:
            share /= 2
        if then > now:
            break
        solution, now, gained = solution - share * step, then, now - then
        if gained < 1e-9 * len(values):
            break
    # A scale below 0 would turn a class's answers round: the hold leaves that to networks that are worse than chance.
    scale, bias = np.maximum(solution[:classes], 0.05), solution[classes:] * temperature

    def confidence(tried: float) -> float:
        return float(softmax(values * temperature * scale + bias, tried).max(axis=1).mean())

    return least_temperature(confidence, len(values), temperature), scale, bias


def _newton_step(values: FloatArray, wanted: FloatArray, solution: FloatArray, start: FloatArray) -> FloatArray:
    """Inverse second derivative times first derivative, over the K scales and then the K biases."""
    classes = values.shape[1]
    probabilities = softmax(values * solution[:classes] + solution[classes:]).astype(np.float64)
    error = probabilities - wanted
    slope = np.concatenate([(error * values).sum(axis=0), error.sum(axis=0)]) + 2 * _HOLD * (solution - start)
    # The covariance of (logit, 1) times "is the class", over the classes of each row, added up over the rows.
    products = np.concatenate([probabilities * values, probabilities], axis=1)
    curve = -products.T @ products
    here, there = np.arange(classes), np.arange(classes) + classes
    curve[here, here] += (probabilities * values**2).sum(axis=0)
    curve[there, there] += probabilities.sum(axis=0)
    cross = (probabilities * values).sum(axis=0)
    curve[here, there] += cross
    curve[there, here] += cross
    curve[np.diag_indices_from(curve)] += 2 * _HOLD
    return np.asarray(np.linalg.solve(curve, slope), np.float64)


def _centred(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Less the mean of each row: a constant says nothing about the classes, but would count once they are scaled."""
    centred: npt.NDArray[Any] = values - values.mean(axis=-1, keepdims=True)
    return centred
