"""From logits to probabilities that mean what they say: softmax with a temperature, its fit, its error.

Temperature scaling is from Guo, Pleiss, Sun, Weinberger: "On Calibration of Modern Neural Networks", ICML 2017:
one number divides all logits before the softmax. It changes no decision, only the confidence. What differs between
the classes is the part of `mien.classify.class_scaling`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import UsageError

__all__ = [
    "checked_rows",
    "expected_calibration_error",
    "fit_temperature",
    "least_temperature",
    "most_confidence",
    "negative_log_likelihood",
    "softmax",
]

FloatArray = npt.NDArray[np.float64]
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0


def softmax(logits: npt.ArrayLike, temperature: npt.ArrayLike = 1.0) -> npt.NDArray[np.floating[Any]]:
    """Probabilities of logits over the last axis, without overflow.

    Parameters
    ----------
    logits : float array of shape (..., C)
        Any finite numbers.
    temperature : float, or float array of shape (...)
        Positive; the logits are divided by it, each row by its own where there are several. Above 1 the
        probabilities move towards equal ones.

    Returns
    -------
    float array of shape (..., C)
        In [0, 1], summing to 1 over the last axis; float32 stays float32, all else becomes float64.

    Raises
    ------
    UsageError
        If `temperature` is not a positive number.
    """
    divisor = np.asarray(temperature, np.float64)[..., None]
    if not ((divisor > 0) & np.isfinite(divisor)).all():
        raise UsageError(f"softmax: temperature is {temperature!r}; expected a positive number")
    values = np.asarray(logits)
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    if values.shape[-1:] == (0,):
        raise UsageError(f"softmax: logits have shape {values.shape}; expected at least one class")
    # The difference is taken before the division, so that a small temperature cannot make infinities meet.
    with np.errstate(over="ignore"):
        exponent = (values - values.max(axis=-1, keepdims=True)) / divisor.astype(values.dtype)
    powers = np.exp(exponent)
    probabilities: npt.NDArray[np.floating[Any]] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def negative_log_likelihood(logits: npt.ArrayLike, targets: npt.ArrayLike, temperature: float = 1.0) -> float:
    """Mean of ``-sum(target * log(probability))`` over the rows, in nats.

    Parameters
    ----------
    logits : float array of shape (N, C)
    targets : integer array of shape (N,) or float array of shape (N, C)
        Class indices, or distributions over the classes.
    temperature : float
        As in `softmax`.

    Raises
    ------
    UsageError
        If shapes do not fit, there is no row, or a number is not finite.
    """
    if not (temperature > 0 and np.isfinite(temperature)):
        raise UsageError(f"negative log likelihood: temperature is {temperature}; expected a positive number")
    values, wanted = checked_rows(logits, targets)
    scaled = (values - values.max(axis=1, keepdims=True)) / temperature
    log_probabilities = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return float(-(wanted * log_probabilities).sum(axis=1).mean())


def fit_temperature(logits: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The temperature with the lowest negative log likelihood (Guo et al. 2017), as far as so few rows can tell.

    The likelihood is concave in 1 / temperature, and its slope is the mean over the rows of (expected logit under the
    target) - (expected logit under the softmax); the root of that slope is found by bisection. Where every row is right
    it would be near 0, and every answer certain; so the mean confidence stays within `most_confidence` of N rows.

    Parameters
    ----------
    logits : float array of shape (N, C)
    targets : integer array of shape (N,) or float array of shape (N, C)
        Class indices, or distributions over the classes (for instance votes divided by their number).

    Returns
    -------
    float
        In [0.01, 100]; an end of that range where the likelihood still rises there (for instance 100 when every row is
        wrong), or where logits lie far apart.

    Raises
    ------
    UsageError
        If shapes do not fit, there is no row, or a number is not finite.
    """
    values, wanted = checked_rows(logits, targets)
    values = values - values.max(axis=1, keepdims=True)
    expected_logit = float((wanted * values).sum(axis=1).mean())

    def slope(log_temperature: float) -> float:
        probabilities = softmax(values, float(np.exp(log_temperature)))
        return expected_logit - float((probabilities * values).sum(axis=1).mean())

    def confidence(temperature: float) -> float:
        return float(softmax(values, temperature).max(axis=1).mean())

    return least_temperature(confidence, len(values), _where_rising(slope))


def most_confidence(count: int) -> float:
    """The mean confidence that so many faces can warrant, were all of them right: Laplace's rule of succession.

    After N right answers of N the next one is right with the probability (N + 1) / (N + 2). (Platt's targets, 1999, are
    the same thought.) With thousands of faces, or some wrong answers, a fitted temperature lies far from this bound.
    """
    return (count + 1) / (count + 2)


def least_temperature(confidence: Callable[[float], float], count: int, fitted: float) -> float:
    """The fitted temperature, raised where needed until the mean confidence is one that so many faces can warrant.

    Parameters
    ----------
    confidence : callable
        The mean confidence at a temperature; falls as it rises above the fitted one.
    count : int
        Number of faces that the temperature was fitted to.
    fitted : float
    """
    most = most_confidence(count)
    if confidence(fitted) <= most:
        return fitted
    return _where_rising(lambda log_temperature: most - confidence(float(np.exp(log_temperature))), fitted)


def _where_rising(function: Callable[[float], float], lowest: float = LOWEST_TEMPERATURE) -> float:
    """The temperature at which a function of its logarithm rises through 0; an end of the range where it does not."""
    low, high = float(np.log(lowest)), float(np.log(HIGHEST_TEMPERATURE))
    if function(low) >= 0:
        return lowest
    if function(high) <= 0:
        return HIGHEST_TEMPERATURE
    for _ in range(60):
        middle = (low + high) / 2
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def expected_calibration_error(probabilities: npt.ArrayLike, targets: npt.ArrayLike, bins: int = 15) -> float:
    """How far confidence and accuracy lie apart on average (Guo et al. 2017, equation 3).

    Rows are put into `bins` equally wide bins by their highest probability; the differences between mean confidence
    and accuracy of the bins are averaged, weighted by the number of rows.

    Parameters
    ----------
    probabilities : float array of shape (N, C)
    targets : integer array of shape (N,) or float array of shape (N, C)
        Class indices, or distributions: a row is then right by the share that its target gives to the chosen class.
    bins : int
        Number of bins between 0 and 1.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect.

    Raises
    ------
    UsageError
        If shapes do not fit, there is no row, a number is not finite, or `bins` is below 1.
    """
    if bins < 1:
        raise UsageError(f"expected calibration error: bins is {bins}; expected at least 1")
    values, wanted = checked_rows(probabilities, targets)
    chosen = values.argmax(axis=1)
    rows = np.arange(len(values))
    confidence, right = values[rows, chosen], wanted[rows, chosen]
    # Bins are open on the left, as in the paper: a confidence of exactly 0.2 belongs to the bin that ends there.
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(values))


def checked_rows(logits: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Logits or probabilities, and targets, both as float64 of shape (N, C); class indices become one-hot rows.

    Raises
    ------
    UsageError
        If shapes do not fit, there is no row, or a number is not finite.
    """
    values = np.asarray(logits, np.float64)
    wanted = np.asarray(targets)
    if values.ndim != 2 or 0 in values.shape:
        raise UsageError(f"calibration: logits have shape {values.shape}; expected (N, C) with N and C above 0")
    rows, classes = values.shape
    if wanted.shape == (rows,) and np.issubdtype(wanted.dtype, np.integer):
        if wanted.min() < 0 or wanted.max() >= classes:
            raise UsageError(
                f"calibration: targets reach from {wanted.min()} to {wanted.max()}; expected 0 to {classes - 1}"
            )
        wanted = np.eye(classes)[wanted]
    elif wanted.shape != values.shape:
        raise UsageError(
            f"calibration: targets are {wanted.dtype} of shape {wanted.shape}; expected integers of shape "
            f"({rows},) or distributions of shape {values.shape}"
        )
    wanted = wanted.astype(np.float64)
    if not np.isfinite(values).all() or not np.isfinite(wanted).all():
        raise UsageError("calibration: logits and targets must be finite; got NaN or infinity")
    if wanted.min() < 0 or not np.allclose(wanted.sum(axis=1), 1, atol=1e-4):
        raise UsageError("calibration: each distribution must be positive and sum to 1; divide votes by their number")
    return values, wanted
