"""What a face detector is worth on photos with boxed faces: one report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mien.data.photos import PhotoDataset
from mien.detect import Detections, Detector
from mien.detect.base import ImageArray
from mien.errors import UsageError
from mien.evaluate.detection_conditions import CONDITIONS
from mien.evaluate.detection_models import open_measured_detector
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
from mien.metrics.detection import (
    FALSE_FINDS_A_PHOTO,
    Finds,
    Truth,
    bootstrap_weights,
    pool,
    recall_at_false_finds,
    truth_of,
)
from mien.source.image import decode_image

__all__ = ["DetectionEvaluation", "LookedAt", "evaluate_detector", "is_detection", "look_at"]

MIN_FACE_PX = 20.0
"""Smaller faces are neutral, unless smaller ones are asked for."""

_MOST_FAILURES = 40
Progress = Callable[[int, "int | None", str], None]


@dataclass(frozen=True)
class LookedAt:
    """What a detector found in some photos.

    Attributes
    ----------
    found : list of Detections
    truth : list of Truth
    ms : list of float
        Milliseconds for each photo, without decoding.
    """

    found: list[Detections]
    truth: list[Truth]
    ms: list[float]


@dataclass(frozen=True)
class Failure:
    """One face that was missed or one false find, cut out of its photo with some room."""

    kind: str
    photo: str
    score: float
    size_px: float
    picture: ImageArray = field(repr=False)


@dataclass(frozen=True)
class DetectionEvaluation:
    """A detector's report: plain values, and pictures of its failures."""

    values: dict[str, Any]
    failures: list[Failure] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.values


def is_detection(model: str, data: Path) -> bool:
    """Whether an evaluation is one of a detector: by the model's name or card, or by the dataset."""
    from mien.zoo.store import list_models

    known = list_models().get(model)
    if known is not None:
        return known.card.kind == "detector"
    return model == "yunet" or PhotoDataset.is_one(data)


def evaluate_detector(
    model: str | Path,
    data: str | Path,
    *,
    split: str | None = None,
    threads: int | None = None,
    options: DetectionOptions | None = None,
    progress: Progress | None = None,
) -> DetectionEvaluation:
    """Measure a detector on photos with boxed faces.

    Parameters
    ----------
    model : str or Path
        A shipped detector's name, ``"yunet"``, an ``.onnx`` file, or a ``.safetensors`` checkpoint of ``mien train``.
    data : str or Path
        A dataset of ``mien data photos``.
    split : str, optional
        By default the only one that is not for training, or the only one.
    threads : int, optional
        For the network; 1 by default, so that times are those of one thread.
    options : DetectionOptions, optional
    progress : callable, optional
        Called with what is done, the total, and what is under way.

    Raises
    ------
    InputError, ModelError
        If the dataset or the model cannot be read.
    UsageError
        If there are several splits to choose from, or options do not fit.
    """
    options = options or DetectionOptions()
    start_s = time.perf_counter()
    dataset = PhotoDataset(data)
    split = _split(dataset, split)
    detector, shipped, facts = open_measured_detector(model, threads or 1, options.min_face_px)
    photos = _read_photos(dataset, split, options.sources)
    images, truths = [photo.image for photo in photos], [photo.truth for photo in photos]
    min_face_px = min(options.min_face_px or MIN_FACE_PX, MIN_FACE_PX)
    names = tuple(CONDITIONS) if options.conditions else ()
    steps = _Steps(progress, len(photos), parts=1 + (shipped is not None) + len(names))

    looked = look_at(detector, images, truths, steps.step)
    pooled = _pooled(looked, min_face_px)
    strict = pooled[IOUS[0]]
    threshold = float(recall_at_false_finds(strict)[1][0])
    weights = bootstrap_weights(len(photos), SAMPLES)
    as_shipped = None
    if shipped is not None:
        own = look_at(shipped, images, truths, steps.step)
        as_shipped = {f"iou_{iou:g}": scores_at(finds, 0.0) for iou, finds in _pooled(own, min_face_px).items()}
    conditions = {}
    for name in names:
        with steps.part(name):
            changed = [CONDITIONS[name](photo.image, photo.truth, number) for number, photo in enumerate(photos)]
            kept = [pair for pair in changed if pair is not None]
            if kept:
                seen = look_at(detector, [image for image, _ in kept], [truth for _, truth in kept], steps.step)
                conditions[name] = _condition_row(_pooled(seen, min_face_px), len(kept), threshold)
    values = {
        "kind": "detector",
        "model": facts,
        "data": {
            "source": Path(data).name,
            "split": split,
            "photos": len(photos),
            "faces": int(strict.counts.sum()),
            "neutral_faces": int((~strict.counts).sum()),
            "ignored_places": sum(len(truth.ignore_xyxy) for truth in truths),
            "min_face_px": min_face_px,
        },
        "false_finds_a_photo": FALSE_FINDS_A_PHOTO,
        "overall": {f"iou_{iou:g}": overall_scores(finds, weights) for iou, finds in pooled.items()},
        "as_shipped": as_shipped,
        "threshold": round(threshold, 4),
        "sizes": size_rows(pooled, threshold),
        "sources": source_rows([photo.source for photo in photos], pooled, threshold),
        "landmarks": landmark_scores(strict, threshold),
        "conditions": conditions,
        "ms_a_photo": {
            "median": round(float(np.median(looked.ms)), 3),
            "p90": round(float(np.quantile(looked.ms, 0.9)), 3),
        },
        "seconds": round(time.perf_counter() - start_s, 1),
    }
    return DetectionEvaluation(values, _failures(photos, looked, strict, threshold))


class _Photo(NamedTuple):
    """A decoded photo, BGR, and its faces."""

    name: str
    source: str
    image: ImageArray
    truth: Truth


class _Steps:
    """Counts the photos that were looked at, part by part, and tells how far the evaluation is."""

    def __init__(self, progress: Progress | None, photos: int, parts: int) -> None:
        self._progress = progress
        self._photos = photos
        self._total = photos * parts
        self._done = 0
        self._part = "as they are"

    def step(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total, self._part)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """All photos once more, some of which may be left out; at the end they count as done."""
        self._part, end = name, self._done + self._photos
        yield
        self._done = end


def _read_photos(dataset: PhotoDataset, split: str, sources: str | None) -> list[_Photo]:
    """The photos of a split, of all collections or of some (with commas)."""
    wanted = None if sources is None else {name.strip() for name in sources.split(",")}
    photos = [
        _Photo(photo.name, photo.source, decode_image(photo.image, photo.name).bgr, truth_of(photo))
        for photo in dataset.photos(split)
        if wanted is None or photo.source in wanted
    ]
    if wanted is not None and wanted - {photo.source for photo in photos}:
        known = sorted({photo.source for photo in dataset.photos(split)})
        raise UsageError(f"sources is '{sources}'; expected some of {', '.join(known)}")
    return photos


def _pooled(looked: LookedAt, min_face_px: float) -> dict[float, Finds]:
    """The finds against the truth, by overlap."""
    return {iou: pool(looked.found, looked.truth, iou_threshold=iou, min_face_px=min_face_px) for iou in IOUS}


def _condition_row(pooled: dict[float, Finds], photos: int, threshold: float) -> dict[str, Any]:
    strict = pooled[IOUS[0]]
    return {
        "photos": photos,
        "faces": int(strict.counts.sum()),
        **{f"iou_{iou:g}": condition_scores(finds, threshold) for iou, finds in pooled.items()},
        "landmarks": landmark_scores(strict, threshold),
    }


def look_at(
    detector: Detector, images: Sequence[ImageArray], truth: Sequence[Truth], step: Callable[[], None] = lambda: None
) -> LookedAt:
    """Run a detector over photos, one at a time, and time it.

    Parameters
    ----------
    detector : Detector
    images : sequence of uint8 arrays
    truth : sequence of Truth
        Of the same photos; passed on.
    step : callable, optional
        Called after each photo.
    """
    found, ms = [], []
    for image in images:
        start_s = time.perf_counter()
        found.append(detector.detect(image))
        ms.append(1000 * (time.perf_counter() - start_s))
        step()
    return LookedAt(found, list(truth), ms)


def _split(dataset: PhotoDataset, split: str | None) -> str:
    names = list(dataset.splits)
    if split is not None:
        if split not in names:
            raise UsageError(f"{dataset.path} has no split '{split}'; it has {', '.join(names)}")
        return split
    evaluation = [name for name in names if name != "train"] or names
    if len(evaluation) != 1:
        raise UsageError(f"{dataset.path} has the splits {', '.join(names)}; choose one with --split")
    return evaluation[0]


def _failures(photos: Sequence[_Photo], looked: LookedAt, finds: Finds, threshold: float) -> list[Failure]:
    """The surest false finds and the largest missed faces."""
    failures = []
    for row in np.flatnonzero((finds.hit == 0) & (finds.score >= threshold))[:_MOST_FAILURES]:
        number = int(finds.photo[row])
        own = looked.found[number]
        place = int(np.flatnonzero(own.score == finds.score[row])[0])
        failures.append(_failure("false find", photos[number], own.box_xyxy[place], float(finds.score[row])))
    taken = np.zeros(len(finds.size_px), bool)
    taken[finds.face[(finds.face >= 0) & (finds.score >= threshold)]] = True
    missed = np.flatnonzero(finds.counts & ~taken)
    first = np.concatenate(([0], np.cumsum([len(truth.box_xyxy) for truth in looked.truth])))
    for face in missed[np.argsort(-finds.size_px[missed])][:_MOST_FAILURES]:
        number = int(finds.face_photo[face])
        box = looked.truth[number].box_xyxy[int(face) - first[number]]
        best = finds.score[finds.face == face]
        failures.append(_failure("missed", photos[number], box, float(best.max()) if len(best) else 0.0))
    return failures


def _failure(kind: str, photo: _Photo, box_xyxy: np.ndarray[Any, Any], score: float) -> Failure:
    import cv2

    size_wh = box_xyxy[2:] - box_xyxy[:2]
    centre, side = (box_xyxy[:2] + box_xyxy[2:]) / 2, float(np.sqrt(max(float(size_wh.prod()), 1.0)))
    window = max(2 * side, 24.0)
    matrix = np.asarray(
        [[96 / window, 0, 48 - centre[0] * 96 / window], [0, 96 / window, 48 - centre[1] * 96 / window]]
    )
    picture = cv2.warpAffine(photo.image, matrix, (96, 96), flags=cv2.INTER_AREA, borderValue=(127, 127, 127))
    return Failure(kind, photo.name, round(score, 3), round(side, 1), np.asarray(picture, np.uint8))
