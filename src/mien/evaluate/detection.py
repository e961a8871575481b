"""What a face detector is worth on photos with boxed faces: one report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.photos import PhotoDataset
from mien.detect import Detections
from mien.detect.base import ImageArray
from mien.evaluate.detection_models import open_measured_detector
from mien.evaluate.detection_options import DetectionOptions
from mien.evaluate.detection_run import MeasuredPhotos, Photo, score_detectors
from mien.evaluate.detection_scores import IOUS
from mien.metrics.detection import FALSE_FINDS_A_PHOTO, Finds
from mien.opencv import warped
from mien.progress import Progress

__all__ = ["DetectionEvaluation", "evaluate_detector", "is_detection"]

_MOST_FAILURES = 40
_PICTURE_PX = 96


@dataclass(frozen=True)
class Failure:
    """One face that was missed or one false find, cut out of its photo with some room.

    Attributes
    ----------
    kind : str
        ``"missed"`` or ``"false find"``.
    photo : str
        The name of the photo.
    score : float
        Of the find; of a missed face that of the surest find on it, below the threshold, or 0.
    size_px : float
        The root of the box's area.
    picture : uint8 array of shape (96, 96, 3)
        BGR.
    """

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
        Of the network and of OpenCV; 1 by default, so that times are those of one thread.
    options : DetectionOptions, optional
    progress : callable, optional
        Called with what is done, of how many, and what is under way.

    Raises
    ------
    InputError, ModelError
        If the dataset or the model cannot be read.
    UsageError
        If there are several splits to choose from, or options do not fit.
    """
    options = options or DetectionOptions()
    threads = threads or 1
    start_s = time.perf_counter()
    detector = open_measured_detector(model, threads, options.min_face_px)
    on = MeasuredPhotos.open(data, split, options)
    (scored,) = score_detectors([detector], on, threads=threads, conditions=options.conditions, progress=progress)
    values = {
        "kind": "detector",
        "data": on.facts(),
        "false_finds_a_photo": FALSE_FINDS_A_PHOTO,
        **scored.values,
        "seconds": round(time.perf_counter() - start_s, 1),
    }
    found = scored.looked.found
    return DetectionEvaluation(values, _failures(on.photos, found, scored.pooled[IOUS[0]], scored.threshold))


def _failures(photos: Sequence[Photo], found: Sequence[Detections], finds: Finds, threshold: float) -> list[Failure]:
    """The surest false finds and the largest missed faces."""
    failures = []
    for row in np.flatnonzero((finds.hit == 0) & (finds.score >= threshold))[:_MOST_FAILURES]:
        number = int(finds.photo[row])
        box = found[number].box_xyxy[finds.place[row]]
        failures.append(_failure("false find", photos[number], box, float(finds.score[row])))
    taken = np.zeros(len(finds.size_px), bool)
    taken[finds.face[(finds.face >= 0) & (finds.score >= threshold)]] = True
    missed = np.flatnonzero(finds.counts & ~taken)
    first = np.concatenate(([0], np.cumsum([len(photo.truth.box_xyxy) for photo in photos])))
    for face in missed[np.argsort(-finds.size_px[missed])][:_MOST_FAILURES]:
        number = int(finds.face_photo[face])
        box = photos[number].truth.box_xyxy[int(face) - first[number]]
        best = finds.score[finds.face == face]
        failures.append(_failure("missed", photos[number], box, float(best.max()) if len(best) else 0.0))
    return failures


def _failure(kind: str, photo: Photo, box_xyxy: np.ndarray[Any, Any], score: float) -> Failure:
    size_wh = box_xyxy[2:] - box_xyxy[:2]
    centre, side = (box_xyxy[:2] + box_xyxy[2:]) / 2, float(np.sqrt(max(float(size_wh.prod()), 1.0)))
    scale, middle = _PICTURE_PX / max(2 * side, 24.0), _PICTURE_PX / 2
    matrix = np.asarray([[scale, 0, middle - scale * centre[0]], [0, scale, middle - scale * centre[1]]])
    picture = warped(photo.image, matrix, (_PICTURE_PX, _PICTURE_PX), fill=127)
    return Failure(kind, photo.name, round(score, 3), round(side, 1), picture)
