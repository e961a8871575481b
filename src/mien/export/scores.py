"""What a model is worth on a labelled split: numbers for its card."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from mien.classify.calibration import (
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    softmax,
)
from mien.errors import ModelError
from mien.export.graph import INPUT_NAME

__all__ = [
    "calibration_scores",
    "classification_scores",
    "ferplus_majority",
    "run_logits",
    "ten_views",
]

ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
_SEED, _RESAMPLES = 0, 10_000


def run_logits(model: bytes, images: ByteArray, *, threads: int = 0, batch: int = 128) -> dict[str, FloatArray]:
    """Run an exported expression model.

    Parameters
    ----------
    model : bytes
        Content of the ONNX file.
    images : uint8 array of shape (N, H, W)
        Gray faces of the model's size.
    threads : int
        0 takes all cores.
    batch : int
        Faces at a time.

    Returns
    -------
    dict of float32 arrays of shape (N, classes)
        Logits of each output, by its name.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"onnxruntime cannot load the exported model: {error}") from error
    names = [output.name for output in session.get_outputs()]
    parts = [session.run(names, {INPUT_NAME: images[i : i + batch, None]}) for i in range(0, len(images), batch)]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


def ten_views(images: ByteArray) -> list[ByteArray]:
    """Shifts by nothing and by 2 px to each side (the edge is repeated), and the mirror image of each.

    Parameters
    ----------
    images : uint8 array of shape (N, H, W)

    Returns
    -------
    list of ten uint8 arrays of shape (N, H, W)
    """
    height, width = images.shape[1:]
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)), mode="edge")
    shifted = [
        padded[:, 2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width]
        for dx, dy in ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2))
    ]
    return [np.ascontiguousarray(view) for image in shifted for view in (image, image[:, :, ::-1])]


def classification_scores(
    probabilities: FloatArray, labels: IntArray, names: tuple[str, ...], copied: BoolArray
) -> dict[str, Any]:
    """Accuracy and its relatives.

    Parameters
    ----------
    probabilities : float array of shape (N, C)
        Or anything whose largest entry is the answer.
    labels : int64 array of shape (N,)
        The truth.
    names : tuple of C str
        The classes.
    copied : bool array of shape (N,)
        Which images have an exact copy among the training images.

    Returns
    -------
    dict
        Shares in [0, 1]; intervals are 95 % bootstrap intervals over images. `confusion` counts images, a row for
        each true class. Without images that are no copies, their accuracy is left out.
    """
    answers = probabilities.argmax(axis=1)
    right = answers == labels
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (labels, answers), 1)
    hits = np.diag(confusion)
    present = confusion.sum(axis=1) > 0
    recall = hits / np.maximum(confusion.sum(axis=1), 1)
    f1 = 2 * hits / np.maximum(confusion.sum(axis=1) + confusion.sum(axis=0), 1)
    fresh = right[~copied]
    without_copies: dict[str, Any] = {"images_without_training_copies": len(fresh)}
    if len(fresh):
        without_copies["accuracy_without_training_copies"] = _rounded(fresh.mean())
        without_copies["accuracy_without_training_copies_interval_95"] = _interval(fresh)
    return {
        "images": len(labels),
        "accuracy": _rounded(right.mean()),
        "accuracy_interval_95": _interval(right),
        **without_copies,
        "balanced_accuracy": _rounded(recall[present].mean()),
        "macro_f1": _rounded(f1[present].mean()),
        "recall": {name: _rounded(value) for name, value in zip(names, recall, strict=True)},
        "confusion": confusion.tolist(),
    }


def calibration_scores(logits: FloatArray, targets: npt.ArrayLike) -> tuple[float, dict[str, float]]:
    """Fit a temperature and tell what it changed.

    Parameters
    ----------
    logits : float array of shape (N, C)
    targets : int64 array of shape (N,) or float array of shape (N, C)
        Class indices or distributions.

    Returns
    -------
    (temperature, scores) : float, dict
        Negative log likelihood (nats) and expected calibration error (15 bins) before and after; `ece_held_out`
        is measured on each half of the rows (even, odd) with the temperature of the other half.
    """
    wanted = np.asarray(targets)
    temperature = round(fit_temperature(logits, wanted), 4)
    halves = [np.arange(len(logits)) % 2 == parity for parity in (0, 1)]
    held_out = np.empty_like(logits)
    for here, there in (halves, halves[::-1]):
        held_out[here] = softmax(logits[here], fit_temperature(logits[there], wanted[there]))
    return temperature, {
        "nll_before": _rounded(negative_log_likelihood(logits, wanted)),
        "nll_after": _rounded(negative_log_likelihood(logits, wanted, temperature)),
        "ece_before": _rounded(expected_calibration_error(softmax(logits), wanted)),
        "ece_after": _rounded(expected_calibration_error(softmax(logits, temperature), wanted)),
        "ece_held_out": _rounded(expected_calibration_error(held_out, wanted)),
    }


def ferplus_majority(logits: FloatArray, votes: ByteArray, expressions: int = 8) -> dict[str, Any]:
    """Accuracy against the class that most annotators chose.

    Rows are left out where two classes share the most votes or where the most votes went to "unknown" or "not a
    face"; the answer is taken among the eight expressions.

    Parameters
    ----------
    logits : float array of shape (N, C)
        The FER+ head, expressions first.
    votes : uint8 array of shape (N, C)
    expressions : int
        How many of the first columns are expressions.

    Returns
    -------
    dict
        Number of images that count, and where there is one, the accuracy with its 95 % bootstrap interval.
    """
    most = votes.max(axis=1, keepdims=True)
    majority = votes.argmax(axis=1)
    kept = ((votes == most).sum(axis=1) == 1) & (majority < expressions)
    if not kept.any():
        return {"images": 0}
    right = logits[kept, :expressions].argmax(axis=1) == majority[kept]
    return {
        "images": int(kept.sum()),
        "majority_accuracy": _rounded(right.mean()),
        "majority_accuracy_interval_95": _interval(right),
    }


def _interval(right: BoolArray) -> list[float]:
    """95 % bootstrap interval of a share; resampling rights and wrongs is drawing from a binomial distribution."""
    draws = np.random.default_rng(_SEED).binomial(len(right), right.mean(), _RESAMPLES) / len(right)
    return [_rounded(value) for value in np.quantile(draws, (0.025, 0.975))]


def _rounded(value: Any) -> float:
    return round(float(value), 5)
