"""Between the stages: images after detection and alignment, in batches for the classifier, and back as readings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.classify import Classifier, face_batch, face_sides_px, mean_probabilities, take_views, whole_batch
from mien.detect import Detections, Detector, detect_any_way_up
from mien.errors import InputError, ModelError
from mien.labels import NO_EXPRESSION, NOT_FACE, UNKNOWN, LabelScheme
from mien.result import Face, Reading
from mien.source import Frame, ImageLike, load_image
from mien.zoo import Head, InputSpec

__all__ = ["BATCH_IMAGES", "Prepared", "checked_logits", "group_prepared", "prepare_image", "read_prepared"]

# A batch for the classifier is closed at whichever comes first. More faces bring no speed; more images only memory.
BATCH_IMAGES = 16
_BATCH_FACES = 32
_BATCH_KEPT_BYTES = 128 << 20

_NOT_FACE_FROM_PX = 40.0
"""Crops that span fewer pixels of the photo are never dropped as "not a face": of those below 24 px one face in
seventeen would be lost, from there to 40 px one in 35. From this size on it is one in a thousand, in 1,200 photos,
many of people with masks (benchmarks/not_face_check.py)."""


@dataclass
class Prepared:
    """One image after detection and alignment, waiting for the classifier.

    Attributes
    ----------
    source, size_wh, index, time_s, note
        Of the image's `Frame`.
    turned_deg : int
        As of a `Reading`.
    frame : Frame or None
        The image itself, where it is wanted later.
    detections : Detections or None
        The faces; None for an image that is cropped already, and for one that could not be read.
    batch : array of shape (N, C, H, W) or None
        The crops as the classifier takes them; None where the image could not be read.
    sides_px : float array of shape (N,) or None
        How many pixels of the image each crop spans.
    error : InputError or None
        Why the image could not be read.
    """

    source: str
    frame: Frame | None = None
    size_wh: tuple[int, int] = (0, 0)
    detections: Detections | None = None
    batch: npt.NDArray[Any] | None = None
    sides_px: npt.NDArray[np.float64] | None = None
    error: InputError | None = None
    index: int | None = None
    time_s: float | None = None
    turned_deg: int = 0
    note: str | None = None

    @property
    def faces(self) -> int:
        """How many faces wait."""
        return 0 if self.batch is None else len(self.batch)


def prepare_image(
    image: ImageLike | Frame | InputError,
    detector: Detector | None,
    spec: InputSpec,
    *,
    max_megapixels: float,
    upright: bool,
    keep: bool,
) -> Prepared:
    """Decode an image, find its faces, and align them.

    Parameters
    ----------
    image : path, bytes, array, PIL image, Frame, or the error of one that is known to be unreadable
    detector : Detector or None
        None for an image that is cropped to the face already.
    spec : InputSpec
        Of the classifier's card.
    max_megapixels : float
    upright : bool
        Whether photos are known to stand upright. Frames of a video are, or all of them lie the same way.
    keep : bool
        Whether the image itself is wanted later.
    """
    if isinstance(image, InputError):
        return Prepared(image.source, error=image)
    try:
        frame = image if isinstance(image, Frame) else load_image(image, max_megapixels)
    except InputError as error:
        return Prepared(error.source, error=error)
    turned_deg = 0
    pixels = frame.gray if spec.channels == "gray" else frame.image
    if detector is None:
        detections = None
        batch = whole_batch([pixels], spec)
        sides_px = np.array([max(frame.size_wh)], np.float64)
    else:
        searched = frame.gray if detector.wants_gray else frame.image
        if upright or frame.index is not None:
            detections = detector.detect(searched)
        else:
            detections, turned_deg = detect_any_way_up(detector, searched)
        batch = face_batch(pixels, detections.landmarks_xy, spec)
        sides_px = face_sides_px(detections.landmarks_xy, spec)
    return Prepared(
        source=frame.source,
        frame=frame if keep else None,
        size_wh=frame.size_wh,
        detections=detections,
        batch=batch,
        sides_px=sides_px,
        index=frame.index,
        time_s=frame.time_s,
        turned_deg=turned_deg,
        note=frame.note,
    )


def group_prepared(items: Iterable[Prepared], most_images: int = BATCH_IMAGES) -> Iterator[list[Prepared]]:
    """Cut a stream into batches for the classifier; the last one as it comes."""
    group: list[Prepared] = []
    faces = kept_bytes = 0
    for item in items:
        group.append(item)
        faces += item.faces
        kept_bytes += 0 if item.frame is None else item.frame.image.nbytes
        if faces >= _BATCH_FACES or len(group) >= most_images or kept_bytes >= _BATCH_KEPT_BYTES:
            yield group
            group, faces, kept_bytes = [], 0, 0
    if group:
        yield group


def read_prepared(
    group: list[Prepared], classifier: Classifier, served: tuple[LabelScheme, Head], max_not_face: float, views: int = 1
) -> Iterator[Reading]:
    """Read the faces of several images in one batch.

    Parameters
    ----------
    group : list of Prepared
    classifier : Classifier
    served : (LabelScheme, Head)
        The labels of the readings, and the head of the classifier that serves them.
    max_not_face : float
        A detection is dropped if the model calls it "not a face" with a higher probability, and it is large enough.
    views : int
        How many views of each face are averaged: see `mien.classify.take_views`.

    Raises
    ------
    ModelError
        If the classifier's answer is not that of its card.
    """
    waiting = [item for item in group if item.faces]
    probabilities: dict[str, npt.NDArray[np.floating]] = {}
    if waiting:
        batch = np.concatenate([item.batch for item in waiting if item.batch is not None])
        sides_px = np.concatenate([item.sides_px for item in waiting if item.sides_px is not None])
        answers = [checked_logits(classifier, view) for view in take_views(batch, views)]
        probabilities = mean_probabilities(classifier.card.heads, answers, sides_px)
    start = 0
    for item in group:
        rows = {name: values[start : start + item.faces] for name, values in probabilities.items()}
        start += item.faces
        faces = list(_faces(item, rows, classifier.card.heads, served, max_not_face)) if item.faces else []
        # What is no face shows no photo's way up.
        turned_deg = item.turned_deg if faces else 0
        turned_note = f"upright when turned by {turned_deg} degrees clockwise" if turned_deg else None
        yield Reading(
            source=item.source,
            size_wh=item.size_wh,
            faces=faces,
            frame=item.index,
            time_s=item.time_s,
            turned_deg=turned_deg,
            note="; ".join(filter(None, (item.note, turned_note))) or None,
            error=None if item.error is None else item.error.problem,
            labels=served[0].labels,
        )


def checked_logits(classifier: Classifier, batch: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
    """A classifier's answer, checked: it may be one of the caller's own, and one row would count for all faces.

    Raises
    ------
    ModelError
        If the answer is not that of its card.
    """
    answer = classifier.logits(batch)
    for head in classifier.card.heads:
        wanted = (len(batch), len(head.labels))
        logits = np.asarray(answer[head.output]) if isinstance(answer, Mapping) and head.output in answer else None
        if logits is None or logits.shape != wanted:
            came = "none" if logits is None else f"those of shape {logits.shape}"
        elif not np.isfinite(logits).all():
            came = "NaN or infinity"
        else:
            continue
        raise ModelError(
            f"model '{classifier.card.name}' gives {came} for the output '{head.output}'; expected finite logits of "
            f"shape {wanted}: one row a face, one column a label of its card"
        )
    return answer


def _faces(
    item: Prepared,
    probabilities: dict[str, npt.NDArray[np.floating]],
    heads: tuple[Head, ...],
    served: tuple[LabelScheme, Head],
    max_not_face: float,
) -> Iterator[Face]:
    scheme, head = served
    shares, coverage = scheme.project(probabilities[head.output], head.labels)
    beside = {name: _beside(name, probabilities, heads) for name in NO_EXPRESSION}
    for index, row in enumerate(shares):
        aside = {name: None if values is None else float(values[index]) for name, values in beside.items()}
        asked = item.detections is not None and item.sides_px is not None and item.sides_px[index] >= _NOT_FACE_FROM_PX
        if asked and (aside[NOT_FACE] or 0.0) > max_not_face:
            continue
        yield Face(
            **_place(item, index),
            probabilities=dict(zip(scheme.labels, row.tolist(), strict=True)),
            coverage=float(coverage[index]),
            not_face=aside[NOT_FACE],
            unknown=aside[UNKNOWN],
        )


def _beside(
    name: str, probabilities: dict[str, npt.NDArray[np.floating]], heads: tuple[Head, ...]
) -> npt.NDArray[np.floating] | None:
    """The probability of an answer that is no expression, from the first head that has it."""
    for head in heads:
        if name in head.labels:
            column: npt.NDArray[np.floating] = probabilities[head.output][:, head.labels.index(name)]
            return column
    return None


def _place(item: Prepared, index: int) -> dict[str, Any]:
    """Where a face is: as the detector said, or the whole of an image that is cropped already."""
    if item.detections is None:
        width, height = item.size_wh
        return {"box_xyxy": (0.0, 0.0, float(width), float(height)), "score": None, "landmarks_xy": ()}
    found = item.detections
    return {
        "box_xyxy": tuple(found.box_xyxy[index].tolist()),
        "score": float(found.score[index]),
        "landmarks_xy": tuple((float(x), float(y)) for x, y in found.landmarks_xy[index]),
    }
