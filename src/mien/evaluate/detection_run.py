"""Detectors looking at photos with boxed faces, one or several in turns, and the figures of what they found."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mien.data.photos import PhotoDataset
from mien.detect import Detections, Detector
from mien.detect.base import ImageArray
from mien.errors import UsageError
from mien.evaluate.detection_conditions import CONDITIONS
from mien.evaluate.detection_models import MeasuredDetector
from mien.evaluate.detection_options import DetectionOptions
from mien.evaluate.detection_scores import (
    IOUS,
    SAMPLES,
    condition_scores,
    landmark_scores,
    overall_scores,
    scores_at,
    size_rows,
    source_rows,
)
from mien.metrics.detection import Finds, Truth, bootstrap_weights, pool, recall_at_false_finds, truth_of
from mien.opencv import opencv_threads
from mien.progress import Progress
from mien.source.image import decode_image

__all__ = ["LookedAt", "MeasuredPhotos", "Photo", "Scored", "choose_split", "score_detectors"]

MIN_FACE_PX = 20.0
"""Smaller faces are neutral, unless smaller ones are asked for."""


class Photo(NamedTuple):
    """A decoded photo, BGR, and its faces."""

    name: str
    source: str
    image: ImageArray
    truth: Truth


@dataclass(frozen=True)
class MeasuredPhotos:
    """The photos that detectors are measured on.

    Attributes
    ----------
    source, split : str
        Name of the dataset's file, and the split.
    photos : list of Photo
    min_face_px : float
        Smaller faces are neutral.
    """

    source: str
    split: str
    photos: list[Photo]
    min_face_px: float

    @classmethod
    def open(cls, data: str | Path, split: str | None, options: DetectionOptions) -> MeasuredPhotos:
        """Read the photos of a split, of all collections or of some; errors as in `evaluate_detector`."""
        dataset = PhotoDataset(data)
        split = choose_split(dataset, split)
        photos = _read_photos(dataset, split, options.sources)
        return cls(Path(data).name, split, photos, min(options.min_face_px or MIN_FACE_PX, MIN_FACE_PX))

    @property
    def truths(self) -> list[Truth]:
        """The faces of each photo."""
        return [photo.truth for photo in self.photos]

    def pooled(self, found: Sequence[Detections]) -> dict[float, Finds]:
        """What was found in the photos against the truth, by overlap."""
        return _pooled(found, self.truths, self.min_face_px)

    def facts(self) -> dict[str, Any]:
        """Plain values for a report: what was measured on."""
        counts = np.concatenate([truth.size_px >= self.min_face_px for truth in self.truths])
        return {
            "source": self.source,
            "split": self.split,
            "photos": len(self.photos),
            "faces": int(counts.sum()),
            "neutral_faces": int((~counts).sum()),
            "ignored_places": sum(len(truth.ignore_xyxy) for truth in self.truths),
            "min_face_px": self.min_face_px,
        }


class LookedAt(NamedTuple):
    """What a detector found in each photo, and the milliseconds that took, without decoding."""

    found: list[Detections]
    ms: list[float]


class Scored(NamedTuple):
    """One detector's part of a report.

    Attributes
    ----------
    values : dict
        Plain values for JSON.
    looked : LookedAt
        At the photos as they are.
    pooled : dict of float to Finds
        The same against the truth, by overlap.
    threshold : float
        The score at `FALSE_FINDS_A_PHOTO` false finds a photo, which all its figures are for.
    """

    values: dict[str, Any]
    looked: LookedAt
    pooled: dict[float, Finds]
    threshold: float


def score_detectors(
    detectors: Sequence[MeasuredDetector],
    on: MeasuredPhotos,
    *,
    threads: int,
    conditions: bool,
    progress: Progress | None = None,
) -> list[Scored]:
    """Let detectors look at the same photos, as they are and under harder conditions.

    They take turns on each photo, so that whatever else the machine does falls upon all of them.

    Parameters
    ----------
    detectors : sequence of MeasuredDetector
    on : MeasuredPhotos
    threads : int
        Of OpenCV meanwhile; the detectors' own were set when they were opened.
    conditions : bool
        Look at the photos under `CONDITIONS`, too.
    progress : callable, optional
        Called with what is done, of how many, and what is under way.
    """
    names = tuple(CONDITIONS) if conditions else ()
    shipped = [one.shipped for one in detectors if one.shipped is not None]
    steps = _Steps(progress, len(on.photos), parts=1 + bool(shipped) + len(names))
    images = [photo.image for photo in on.photos]
    with opencv_threads(threads):  # in which photos are scaled, and YuNet runs
        looked = _look([one.detector for one in detectors], images, steps.step)
        own = iter(_look(shipped, images, steps.step) if shipped else [])
        results = [
            _scores(one, on, seen, next(own) if one.shipped is not None else None)
            for one, seen in zip(detectors, looked, strict=True)
        ]
        for name in names:
            truths: list[Truth] = []
            with steps.part(name):
                seen = _look([one.detector for one in detectors], _changed(on.photos, name, truths), steps.step)
            if truths:
                for result, own_seen in zip(results, seen, strict=True):
                    pooled = _pooled(own_seen.found, truths, on.min_face_px)
                    result.values["conditions"][name] = _condition_row(pooled, len(truths), result.threshold)
    return results


def _changed(photos: Sequence[Photo], condition: str, truths: list[Truth]) -> Iterator[ImageArray]:
    """The photos under a condition, one at a time, where it makes sense; their faces are added to `truths`."""
    for number, photo in enumerate(photos):
        changed = CONDITIONS[condition](photo.image, photo.truth, number)
        if changed is not None:
            truths.append(changed[1])
            yield changed[0]


def _scores(measured: MeasuredDetector, on: MeasuredPhotos, looked: LookedAt, shipped: LookedAt | None) -> Scored:
    pooled = on.pooled(looked.found)
    strict = pooled[IOUS[0]]
    threshold = float(recall_at_false_finds(strict)[1][0])
    weights = bootstrap_weights(len(on.photos), SAMPLES)
    as_shipped = None
    # With a low bar far more places are looked at twice: not what anybody waits for in use.
    ms = (shipped or looked).ms
    if shipped is not None:
        as_shipped = {f"iou_{iou:g}": scores_at(finds, 0.0) for iou, finds in on.pooled(shipped.found).items()}
    values = {
        "model": measured.facts,
        "overall": {f"iou_{iou:g}": overall_scores(finds, weights) for iou, finds in pooled.items()},
        "as_shipped": as_shipped,
        "threshold": round(threshold, 4),
        "sizes": size_rows(pooled, threshold),
        "sources": source_rows([photo.source for photo in on.photos], pooled, threshold),
        "landmarks": landmark_scores(strict, threshold),
        "conditions": {},
        "ms_a_photo": {
            "median": round(float(np.median(ms)), 3),
            "p90": round(float(np.quantile(ms, 0.9)), 3),
        },
    }
    return Scored(values, looked, pooled, threshold)


class _Steps:
    """Counts the photos that were looked at, part by part, and tells how far the evaluation is."""

    def __init__(self, progress: Progress | None, photos: int, parts: int) -> None:
        self._progress = progress
        self._photos = photos
        self._total = photos * parts
        self._done = 0
        self._part = "as they are"

    def step(self) -> None:
        self._reach(self._done + 1)

    def _reach(self, done: int) -> None:
        self._done = done
        if self._progress is not None:
            self._progress(self._done, self._total, self._part)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """All photos once more, some of which may be left out; at the end they count as done."""
        self._part, end = name, self._done + self._photos
        yield
        if self._done < end:
            self._reach(end)


def _read_photos(dataset: PhotoDataset, split: str, sources: str | None) -> list[Photo]:
    """The photos of a split, of all collections or of some (with commas)."""
    wanted = None if sources is None else {name.strip() for name in sources.split(",")}
    photos = [
        Photo(photo.name, photo.source, decode_image(photo.image, photo.name).bgr, truth_of(photo))
        for photo in dataset.photos(split)
        if wanted is None or photo.source in wanted
    ]
    if wanted is not None and wanted - {photo.source for photo in photos}:
        known = sorted({photo.source for photo in dataset.photos(split)})
        raise UsageError(f"sources is '{sources}'; expected some of {', '.join(known)}")
    return photos


def _condition_row(pooled: dict[float, Finds], photos: int, threshold: float) -> dict[str, Any]:
    strict = pooled[IOUS[0]]
    return {
        "photos": photos,
        "faces": int(strict.counts.sum()),
        **{f"iou_{iou:g}": condition_scores(finds, threshold) for iou, finds in pooled.items()},
        "landmarks": landmark_scores(strict, threshold),
    }


def _pooled(found: Sequence[Detections], truths: Sequence[Truth], min_face_px: float) -> dict[float, Finds]:
    return {iou: pool(found, truths, iou_threshold=iou, min_face_px=min_face_px) for iou in IOUS}


def _look(detectors: Sequence[Detector], images: Iterable[ImageArray], step: Callable[[], None]) -> list[LookedAt]:
    """Run detectors over photos, in turns; `step` is called after each photo."""
    looked = [LookedAt([], []) for _ in detectors]
    for image in images:
        for detector, (found, ms) in zip(detectors, looked, strict=True):
            start_s = time.perf_counter()
            found.append(detector.detect(image))
            ms.append(1000 * (time.perf_counter() - start_s))
        step()
    return looked


def choose_split(dataset: PhotoDataset, split: str | None) -> str:
    """The split to measure on: by default the only one that is not for training, or the only one."""
    names = list(dataset.splits)
    if split is not None:
        if split not in names:
            raise UsageError(f"{dataset.path} has no split '{split}'; it has {', '.join(names)}")
        return split
    evaluation = [name for name in names if name != "train"] or names
    if len(evaluation) != 1:
        raise UsageError(f"{dataset.path} has the splits {', '.join(names)}; choose one with --split")
    return evaluation[0]
