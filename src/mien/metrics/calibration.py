"""Whether confidence means what it says: reliability, calibration error, and the calibration that fits best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.classify.calibration import (
    expected_calibration_error,
    fit_temperature,
    least_temperature,
    negative_log_likelihood,
    softmax,
)
from mien.classify.class_scaling import calibrated, fit_class_scaling, scale_classes
from mien.labels import LabelScheme
from mien.metrics.classification import rounded
from mien.zoo.card import Head

__all__ = [
    "calibrate_head",
    "calibration_scores",
    "error_by_chance",
    "fit_scheme_temperature",
    "mean_calibration",
    "reliability_bins",
    "scheme_calibration",
]

FloatArray = npt.NDArray[np.floating[Any]]
Float64s = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

BINS = 15
_GOLDEN = (5**0.5 - 1) / 2
_DRAWS = 400


def calibrate_head(head: Head, logits: FloatArray, targets: npt.ArrayLike) -> Head:
    """The head with the temperature, and the scale and bias of each class, that fit best.

    Parameters
    ----------
    head : Head
    logits : float array of shape (N, C)
        Of faces that are no smaller than the model's input.
    targets : int64 array of shape (N,) or float array of shape (N, C)
        Class indices or distributions.
    """
    temperature, scale, bias = fit_class_scaling(logits, targets, fit_temperature(logits, targets))
    # As many digits as mean something, so that a card made again is the same.
    numbers = [tuple(round(float(number), 4) for number in values) for values in (scale, bias)]
    return replace(head, temperature=round(temperature, 4), class_scale=numbers[0], class_bias=numbers[1])


def calibration_scores(head: Head, logits: FloatArray, targets: npt.ArrayLike) -> tuple[Head, dict[str, float]]:
    """Calibrate a head and tell what it changed, in the short form of model cards.

    Parameters
    ----------
    head, logits, targets
        As in `calibrate_head`.

    Returns
    -------
    (head, scores) : Head, dict
        Negative log likelihood (nats) and expected calibration error (15 bins) before and after; `ece_held_out`
        and, where the targets are classes, `accuracy_held_out` are measured on each half of the rows (even, odd) with
        the calibration of the other half; a single row has none.
    """
    wanted = np.asarray(targets)
    fitted = calibrate_head(head, logits, wanted)
    after = calibrated(logits, fitted)
    scores = {
        "nll_before": rounded(negative_log_likelihood(logits, wanted)),
        # The logarithm of a probability is a logit of it.
        "nll_after": rounded(negative_log_likelihood(np.log(np.maximum(after, 1e-30)), wanted)),
        "ece_before": rounded(expected_calibration_error(softmax(logits), wanted)),
        "ece_after": rounded(expected_calibration_error(after, wanted)),
    }
    if len(wanted) > 1:
        held_out = _cross_validated(
            len(wanted),
            lambda rows, learned: calibrated(logits[rows], calibrate_head(head, logits[learned], wanted[learned])),
        )
        scores["ece_held_out"] = rounded(expected_calibration_error(held_out, wanted))
        if wanted.ndim == 1:
            scores["accuracy_held_out"] = rounded((held_out.argmax(axis=1) == wanted).mean())
    return fitted, scores


def reliability_bins(confidence: Float64s, right: BoolArray, bins: int = BINS) -> list[dict[str, Any]]:
    """Confidence against accuracy, in equally wide bins that are open on the left.

    Parameters
    ----------
    confidence : float64 array of shape (N,)
        The highest probability of each row.
    right : bool array of shape (N,)

    Returns
    -------
    list of dict
        For each bin its bounds ``low`` and ``high``, the number of ``images``, and where there are any, their mean
        ``confidence`` and ``accuracy`` (else None).
    """
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        inside = bin_of == number
        count = int(inside.sum())
        found.append(
            {
                "low": rounded(number / bins),
                "high": rounded((number + 1) / bins),
                "images": count,
                "confidence": rounded(confidence[inside].mean()) if count else None,
                "accuracy": rounded(right[inside].mean()) if count else None,
            }
        )
    return found


def error_by_chance(confidence: Float64s, bins: int = BINS, draws: int = _DRAWS, seed: int = 0) -> tuple[float, float]:
    """The calibration error that chance alone gives to so many rows, if every confidence were exactly true.

    Each row is drawn right with its confidence as the probability, again and again: the consistency resampling of
    Broecker and Smith (2007). An error below the second number does not show that confidence is wrong.

    Parameters
    ----------
    confidence : float64 array of shape (N,)
        The highest probability of each row, in [0, 1]; N above 0.
    bins : int
        As of the error that it is held against.
    draws : int
        How often the answers are drawn.
    seed : int
        Of the draws.

    Returns
    -------
    mean, most : float
        The mean over the draws, and what 95 of 100 do not exceed; in [0, 1].
    """
    rng = np.random.default_rng(seed)
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = [
        np.abs(np.bincount(bin_of, confidence - (rng.random(len(confidence)) < confidence), bins)).sum()
        for _ in range(draws)
    ]
    return float(np.mean(found) / len(confidence)), float(np.quantile(found, 0.95) / len(confidence))


def fit_scheme_temperature(
    logits: FloatArray, targets: IntArray, scheme: LabelScheme, head_labels: tuple[str, ...]
) -> float:
    """The temperature with the lowest negative log likelihood of a label scheme's own probabilities.

    Where every label is one class this is `fit_temperature` on those classes. Labels that add up several classes have
    no such slope; there the minimum is found by golden-section search over the logarithm of the temperature, from 0.05
    to 20. There too the mean confidence stays within what so few rows can warrant.

    Parameters
    ----------
    logits : float array of shape (N, K)
        Of a head with the classes `head_labels`.
    targets : int64 array of shape (N,)
        Index into the scheme's labels.
    """
    if all(len(names) == 1 for names in scheme.members.values()):
        columns = [head_labels.index(names[0]) for names in scheme.members.values()]
        return fit_temperature(logits[:, columns], targets)

    def projected(temperature: float) -> Float64s:
        return scheme.project(softmax(logits, temperature), head_labels)[0]

    def loss(log_temperature: float) -> float:
        return _nll(projected(float(np.exp(log_temperature))), targets)

    low, high = np.log(0.05), np.log(20.0)
    for _ in range(40):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    fitted = float(np.exp((low + high) / 2))
    return least_temperature(lambda temperature: float(projected(temperature).max(axis=1).mean()), len(targets), fitted)


def scheme_calibration(
    logits: FloatArray,
    targets: IntArray,
    scheme: LabelScheme,
    head: Head,
    sides_px: npt.NDArray[np.floating],
) -> dict[str, Any]:
    """Everything that a report says about calibration.

    Parameters
    ----------
    logits : float array of shape (N, K)
        N above 0.
    targets : int64 array of shape (N,)
        Index into the scheme's labels.
    scheme : LabelScheme
    head : Head
        Of the model's card: its calibration is judged.
    sides_px : float array of shape (N,)
        How many pixels each face has.

    Returns
    -------
    dict
        Temperatures; expected calibration error (15 bins) and negative log likelihood (nats) without any calibration,
        with the card's, and with the temperature that is best here (the card's scales and biases of the classes stay);
        ``ece_held_out`` with the best one of the other half of the rows (even, odd); ``ece_by_chance``, the mean error
        that a perfect calibration would get on these rows, and ``ece_by_chance_95``, which it would rarely exceed; the
        reliability bins with the card's calibration.
    """
    scaled = scale_classes(logits, head)

    def probabilities(temperature: Any, rows: Any = slice(None)) -> Float64s:
        return scheme.project(softmax(scaled[rows], temperature), head.labels)[0]

    def errors(name: str, values: Float64s) -> dict[str, float]:
        return {
            f"ece_{name}": rounded(expected_calibration_error(values, targets, BINS)),
            f"nll_{name}": rounded(_nll(values, targets)),
        }

    best = fit_scheme_temperature(scaled, targets, scheme, head.labels)
    card_temperature = head.temperature_at(sides_px)
    card = probabilities(card_temperature)
    scores: dict[str, Any] = {
        "temperature_card": rounded(np.median(card_temperature)),
        "temperature_best": rounded(best),
        **errors("without", scheme.project(softmax(logits), head.labels)[0]),
        **errors("card", card),
        **errors("best", probabilities(best)),
    }
    if len(targets) > 1:
        held_out = _cross_validated(
            len(targets),
            lambda rows, learned: probabilities(
                fit_scheme_temperature(scaled[learned], targets[learned], scheme, head.labels), rows
            ),
        )
        scores["ece_held_out"] = rounded(expected_calibration_error(held_out, targets, BINS))
    confidence = card.max(axis=1)
    scores["ece_by_chance"], scores["ece_by_chance_95"] = map(rounded, error_by_chance(confidence))
    scores["mean_confidence"] = rounded(confidence.mean())
    scores["reliability"] = reliability_bins(confidence, card.argmax(axis=1) == targets)
    return scores


def mean_calibration(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `scheme_calibration` says of several runs on the same rows, as means; of one it is unchanged.

    Besides, ``ece_card_deviation`` is the standard deviation over the runs. A reliability bin has the mean number of
    images of a run.
    """
    if len(found) == 1:
        return dict(found[0])
    scores: dict[str, Any] = {
        name: rounded(np.mean([run[name] for run in found])) for name in found[0] if name != "reliability"
    }
    scores["ece_card_deviation"] = rounded(np.std([run["ece_card"] for run in found], ddof=1))
    bins = []
    for parts in zip(*(run["reliability"] for run in found), strict=True):
        counts = [part["images"] for part in parts]
        mean = {
            name: rounded(np.average([part[name] or 0.0 for part in parts], weights=counts)) if any(counts) else None
            for name in ("confidence", "accuracy")
        }
        bins.append({**parts[0], **mean, "images": rounded(np.mean(counts))})
    return {**scores, "reliability": bins}


def _nll(probabilities: Float64s, targets: IntArray) -> float:
    """The mean negative log likelihood of the true classes, in nats."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(targets)), targets], 1e-12)).mean())


def _cross_validated(rows: int, predict: Callable[[BoolArray, BoolArray], FloatArray]) -> FloatArray:
    """Cross-validation in two folds, the even and the odd rows: the probabilities of each fold, fitted to the other.

    Parameters
    ----------
    rows : int
        Two or more.
    predict : callable
        Takes which rows are wanted, and on which to fit; both are bool arrays of shape (rows,).
    """
    even = np.arange(rows) % 2 == 0
    of_even, of_odd = predict(even, ~even), predict(~even, even)
    held_out = np.empty((rows, of_even.shape[1]), of_even.dtype)
    held_out[even], held_out[~even] = of_even, of_odd
    return held_out
