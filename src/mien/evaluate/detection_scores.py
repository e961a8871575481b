"""The figures of a detector's report, from finds that were held against the truth."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from mien.metrics.classification import wilson_interval
from mien.metrics.detection import (
    SIZES_PX,
    Finds,
    average_precision,
    recall_at_false_finds,
    share_found,
)
from mien.metrics.runs import student_quantile

__all__ = [
    "IOUS",
    "SAMPLES",
    "condition_scores",
    "landmark_scores",
    "mean_interval",
    "overall_scores",
    "sample_interval",
    "scores_at",
    "size_rows",
    "source_rows",
]

IOUS = (0.5, 0.3)
"""Overlaps from which a find counts for a face."""

SAMPLES = 400
"""Samples of the bootstrap."""


def overall_scores(finds: Finds, weights: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Average precision, and recall at few false finds with its interval over samples of the photos (`weights`).

    The interval reaches at least as far as that of `wilson_interval` over the faces: where as many are found in each
    photo, as in a single one, or in those of which all are found, samples of the photos do not differ.
    """
    (recall,), (threshold,) = recall_at_false_finds(finds)
    sampled, _ = recall_at_false_finds(finds, weights=weights)
    faces = int(finds.counts.sum())
    interval: list[float | None] = [None, None]
    if faces:
        least, most = wilson_interval(recall, faces)
        low, high = sample_interval(sampled, finds.photos)
        interval = [_number(min(low, least)), _number(max(high, most))]
    return {
        "ap": _number(average_precision(finds)),
        "recall": _number(recall),
        "recall_interval_95": interval,
        "threshold": round(float(threshold), 4),
        # At that score; seldom exactly as many as there may be.
        "false_finds_a_photo": scores_at(finds, float(threshold))["false_finds_a_photo"],
    }


def scores_at(finds: Finds, threshold: float) -> dict[str, Any]:
    """Recall and false finds at a score."""
    hits, faces = share_found(finds, threshold, finds.counts)
    false = int(((finds.hit == 0) & (finds.score >= threshold)).sum())
    return {
        "recall": _share(hits, faces),
        "false_finds_a_photo": round(false / max(finds.photos, 1), 4),
    }


def condition_scores(finds: Finds, threshold: float) -> dict[str, Any]:
    """Scores at the threshold of the photos as they are: nobody chooses another one for a dark photo."""
    return {**scores_at(finds, threshold), "ap": _number(average_precision(finds))}


def size_rows(pooled: dict[float, Finds], threshold: float) -> list[dict[str, Any]]:
    """Recall and landmark error by size of the face, at a score; `pooled` by overlap, as in `IOUS`."""
    rows = []
    for low, high in itertools.pairwise(SIZES_PX):
        row: dict[str, Any] = {"from_px": low, "to_px": None if np.isinf(high) else high}
        for iou, finds in pooled.items():
            of = (finds.size_px >= low) & (finds.size_px < high)
            hits, faces = share_found(finds, threshold, of)
            row["faces"] = faces
            row[f"recall_iou_{iou:g}"] = _share(hits, faces)
        strict = pooled[IOUS[0]]
        row["landmarks"] = landmark_scores(strict, threshold, (strict.size_px >= low) & (strict.size_px < high))
        rows.append(row)
    return rows


def source_rows(sources: list[str], pooled: dict[float, Finds], threshold: float) -> dict[str, Any]:
    """Recall and false finds of each collection, at a score; `sources` names each photo's."""
    names = np.asarray(sources)
    rows = {}
    for name in dict.fromkeys(sources):
        row: dict[str, Any] = {"photos": int((names == name).sum())}
        for iou, finds in pooled.items():
            of = finds.counts & (names[finds.face_photo] == name)
            hits, faces = share_found(finds, threshold, of)
            false = (finds.hit == 0) & (finds.score >= threshold) & (names[finds.photo] == name)
            row["faces"] = faces
            row[f"recall_iou_{iou:g}"] = _share(hits, faces)
            row[f"false_finds_a_photo_iou_{iou:g}"] = round(int(false.sum()) / row["photos"], 4)
        rows[name] = row
    return rows


def landmark_scores(
    finds: Finds, threshold: float, of: np.ndarray[Any, np.dtype[np.bool_]] | None = None
) -> dict[str, Any]:
    """Landmark errors of found faces whose landmarks a person set: of those that count, or of those in `of`."""
    of = finds.counts if of is None else of
    own = (finds.face >= 0) & (finds.score >= threshold)
    own[own] = of[finds.face[own]]
    own[own] = np.isfinite(finds.landmark_error[own])
    errors = finds.landmark_error[own].astype(np.float64)
    if not len(errors):
        return {"faces": 0, "mean": None, "mean_interval_95": None, "median": None}
    return {
        "faces": len(errors),
        "mean": round(float(errors.mean()), 4),
        "mean_interval_95": mean_interval(errors, finds.photo[own]),
        "median": round(float(np.median(errors)), 4),
    }


def sample_interval(sampled: np.ndarray[Any, Any], photos: int) -> tuple[float, float]:
    """The 95 % interval of a figure, from that of samples of the photos (bootstrap; NaN where a sample has no face).

    Samples of few photos differ too little: more of them is taken, as much as makes up for it in the interval of a mean
    (the expanded percentile interval of Hesterberg, 2015). With a hundred photos it is nearly what lies between the
    quantiles 0.025 and 0.975.

    Parameters
    ----------
    sampled : float64 array of shape (R,)
    photos : int
    """
    outside = 0.0
    if photos > 1:
        outside = math.erfc(student_quantile(photos - 1) * math.sqrt(photos / (photos - 1) / 2)) / 2
    low, high = np.nanquantile(sampled, (outside, 1 - outside))
    return float(low), float(high)


def mean_interval(values: np.ndarray[Any, Any], photo: np.ndarray[Any, Any]) -> list[float] | None:
    """The 95 % interval of a mean over faces, of which those of one photo are alike: the photos are the sample.

    Student's, for the ratio of two sums over the photos (Cochran, 1977): of what adds up, and of the faces.

    Parameters
    ----------
    values : float array of shape (F,)
        At least one.
    photo : int array of shape (F,)
        The photo of each.

    Returns
    -------
    list of two float, or None
        None of a single photo: how much others would differ is not known.
    """
    _, of = np.unique(photo, return_inverse=True)
    faces = np.bincount(of)
    photos = len(faces)
    if photos == 1:
        return None
    mean = float(values.mean())
    spread = float(((np.bincount(of, values) - mean * faces) ** 2).sum()) * photos / (photos - 1)
    half = student_quantile(photos - 1) * math.sqrt(spread) / len(values)
    return [round(mean - half, 4), round(mean + half, 4)]


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(float(value), 4)


def _share(part: int, whole: int) -> float | None:
    return _number(part / whole) if whole else None
