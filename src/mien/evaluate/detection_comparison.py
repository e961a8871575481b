"""Several face detectors on the same photos: what `mien compare` tells of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mien import __version__
from mien.errors import UsageError
from mien.evaluate.detection_models import MeasuredDetector, open_measured_detector
from mien.evaluate.detection_options import DetectionOptions
from mien.evaluate.detection_run import MeasuredPhotos, Scored, score_detectors
from mien.evaluate.detection_scores import IOUS, SAMPLES, mean_interval, sample_interval
from mien.evaluate.models import distinct_names
from mien.metrics.detection import FALSE_FINDS_A_PHOTO, Doubles, Finds, bootstrap_weights, recall_at_false_finds
from mien.metrics.paired import difference_interval
from mien.progress import Progress

__all__ = ["DetectorComparison", "compare_detectors"]


@dataclass(frozen=True)
class DetectorComparison:
    """What `compare_detectors` found.

    Attributes
    ----------
    values : dict
        Plain values, as they are written to JSON.
    """

    values: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.values


def compare_detectors(
    models: Sequence[str | Path],
    data: str | Path,
    *,
    split: str | None = None,
    threads: int | None = None,
    options: DetectionOptions | None = None,
    progress: Progress | None = None,
) -> DetectorComparison:
    """Measure face detectors side by side on the same photos, with paired intervals.

    They take turns on each photo. Recall is taken at one false find in ten photos, by each detector's own score. The
    intervals of differences come from samples of the photos (bootstrap), the same for both, and are as wide at least as
    over the faces (`mien.metrics.paired.difference_interval`); landmark errors are those of the faces that both found.

    Parameters
    ----------
    models : sequence of str or Path
        Two or more, as for `mien.evaluate.detection.evaluate_detector`.
    data, split, threads, options, progress
        As there.

    Raises
    ------
    InputError, ModelError, UsageError
        As there; also if there are fewer than two models, or one comes twice.
    """
    options = options or DetectionOptions()
    if len(models) < 2:
        raise UsageError(f"{len(models)} model to compare; expected two or more")
    threads = threads or 1
    start_s = time.perf_counter()
    detectors = _named([open_measured_detector(model, threads, options.min_face_px) for model in models], models)
    on = MeasuredPhotos.open(data, split, options)
    scored = score_detectors(detectors, on, threads=threads, conditions=options.conditions, progress=progress)
    return DetectorComparison(
        {
            "kind": "detectors",
            "mien": __version__,
            "data": on.facts(),
            "false_finds_a_photo": FALSE_FINDS_A_PHOTO,
            "threads": threads,
            "models": [one.values for one in scored],
            "pairs": _pairs(scored, len(on.photos)),
            "seconds": round(time.perf_counter() - start_s, 1),
        }
    )


def _named(detectors: Sequence[MeasuredDetector], models: Sequence[str | Path]) -> list[MeasuredDetector]:
    """Each with a name of its own."""
    if len({one.facts["sha256"] for one in detectors}) < len(detectors):
        raise UsageError("a detector is given twice; expected different ones")
    names = distinct_names([one.facts["name"] for one in detectors], [Path(model) for model in models])
    return [one._replace(facts={**one.facts, "name": name}) for one, name in zip(detectors, names, strict=True)]


class _Recalls(NamedTuple):
    """At few false finds: of all photos, of each sample of them, and which of the faces that count are found."""

    of_all: float
    sampled: Doubles
    found: npt.NDArray[np.bool_]


def _pairs(scored: Sequence[Scored], photos: int) -> list[dict[str, Any]]:
    """Each pair's differences, the second taken from the first."""
    weights = bootstrap_weights(photos, SAMPLES)
    recalls = [{iou: _recalls(one.pooled[iou], weights) for iou in IOUS} for one in scored]
    errors = [_landmark_errors(one) for one in scored]
    return [
        {
            "first": scored[a].values["model"]["name"],
            "second": scored[b].values["model"]["name"],
            **{f"iou_{iou:g}": _recall_difference(recalls[a][iou], recalls[b][iou], photos) for iou in IOUS},
            "landmarks": _error_difference(errors[a], errors[b], scored[a].pooled[IOUS[0]]),
        }
        for a, b in combinations(range(len(scored)), 2)
    ]


def _recalls(finds: Finds, weights: Doubles) -> _Recalls:
    (of_all,), (threshold,) = recall_at_false_finds(finds)
    sampled, _ = recall_at_false_finds(finds, weights=weights)
    found = np.zeros(len(finds.counts), np.bool_)
    found[finds.face[(finds.hit == 1) & (finds.score >= threshold)]] = True
    return _Recalls(float(of_all), sampled, found[finds.counts])


def _landmark_errors(scored: Scored) -> Doubles:
    """The error at each face, NaN where it was not found or nobody set its landmarks."""
    finds = scored.pooled[IOUS[0]]
    errors = np.full(len(finds.size_px), np.nan)
    own = (finds.face >= 0) & (finds.score >= scored.threshold)
    errors[finds.face[own]] = finds.landmark_error[own]
    return np.where(finds.counts, errors, np.nan)


def _recall_difference(first: _Recalls, second: _Recalls, photos: int) -> dict[str, Any]:
    """With an interval over samples of the photos, which reaches at least as far as that over the faces.

    Where the two differ by as much in each photo, as in a single one, samples of the photos do not differ.
    """
    if not len(first.found):
        return {"difference": None, "interval_95": None}
    low, high = sample_interval(first.sampled - second.sampled, photos)
    only_first, only_second = int((first.found & ~second.found).sum()), int((second.found & ~first.found).sum())
    least, most = difference_interval(only_first, only_second, len(first.found))
    return {
        "difference": round(first.of_all - second.of_all, 4),
        "interval_95": [round(min(low, least), 4), round(max(high, most), 4)],
    }


def _error_difference(first: Doubles, second: Doubles, finds: Finds) -> dict[str, Any]:
    both = np.isfinite(first - second)
    difference = (first - second)[both]
    if not len(difference):
        return {"faces": 0, "difference": None, "interval_95": None}
    return {
        "faces": len(difference),
        "difference": round(float(difference.mean()), 4),
        "interval_95": mean_interval(difference, finds.face_photo[both]),
    }
