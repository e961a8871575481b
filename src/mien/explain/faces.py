"""The faces of a photo, explained."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.classify import (
    Classifier,
    face_batch,
    face_corners_xy,
    face_sides_px,
    whole_batch,
    whole_corners_xy,
)
from mien.errors import UsageError
from mien.explain.explanation import Explanation
from mien.explain.occlusion import occlude
from mien.labels import LabelScheme, canonical_name
from mien.options import nearest_hint
from mien.result import Face, Reading
from mien.source import Frame
from mien.zoo import Head, InputSpec

__all__ = ["explain_faces", "find_expression"]


def explain_faces(
    frame: Frame,
    reading: Reading,
    classifier: Classifier,
    served: tuple[LabelScheme, Head],
    expression: str | None = None,
    *,
    views: int = 1,
) -> list[Explanation]:
    """Explain each face of a reading, in its order.

    Parameters
    ----------
    frame : Frame
        The image that was read.
    reading : Reading
    classifier : Classifier
    served : (LabelScheme, Head)
        The labels of the reading, and the head of the classifier that serves them.
    expression : str, optional
        The label to explain, in any common spelling; by default of each face the one that it was read as.
    views : int
        How many views of each crop are averaged: see `mien.classify.take_views`.

    Raises
    ------
    UsageError
        If the reading is of another image, or of other labels, or the expression is none of them.
    ModelError
        If the classifier's answer is not that of its card.
    """
    labels = served[0].labels
    expression = find_expression(expression, labels)
    if reading.error is None and reading.size_wh != frame.size_wh:
        came, wanted = (" x ".join(map(str, size_wh)) for size_wh in (frame.size_wh, reading.size_wh))
        raise UsageError(
            f"explain is given an image of {came} pixels and a reading of one of {wanted}; expected its own"
        )
    found = []
    for face in reading.faces:
        if set(face.probabilities) != set(labels):
            raise UsageError(
                f"explain is given a reading with the labels {', '.join(face.probabilities)}; this recognizer has "
                f"{', '.join(labels)}: read the image with it"
            )
        crop, corners_xy, side_px = _cut(frame, face, classifier.card.input)
        explained = expression or face.expression
        probability, drop = occlude(classifier, crop, side_px, served, explained, views=views)
        corners = tuple((float(x), float(y)) for x, y in corners_xy)
        found.append(Explanation(face, explained, probability, drop, corners))
    return found


def find_expression(expression: str | None, labels: Sequence[str]) -> str | None:
    """The label of a scheme that is meant, in any of the field's spellings; what is none is refused (UsageError)."""
    if expression is None or expression in labels:
        return expression
    with contextlib.suppress(UsageError):
        if (name := canonical_name(expression)) in labels:
            return name
    hint = nearest_hint(expression, labels)
    raise UsageError(f"expression is {expression!r}; expected one of {', '.join(labels)}{hint}")


def _cut(
    frame: Frame, face: Face, spec: InputSpec
) -> tuple[npt.NDArray[np.uint8 | np.float32], npt.NDArray[np.float64], float]:
    """A face's crop as it was classified, of shape (C, H, W); its corners in the photo; the pixels that it spans."""
    pixels = frame.gray if spec.channels == "gray" else frame.image
    if face.landmarks_xy:
        landmarks_xy = np.array([face.landmarks_xy])
        crops, corners_xy = face_batch(pixels, landmarks_xy, spec), face_corners_xy(landmarks_xy, spec)[0]
        return crops[0], corners_xy, float(face_sides_px(landmarks_xy, spec)[0])
    width, height = frame.size_wh
    if face.box_xyxy != (0.0, 0.0, float(width), float(height)):
        raise UsageError(
            f"a face at {face.box_xyxy} has no landmarks, by which its crop is cut; expected those of a detector, or "
            "an image that is cropped to the face"
        )
    return whole_batch([pixels], spec)[0], whole_corners_xy(frame.size_wh, spec), float(max(frame.size_wh))
