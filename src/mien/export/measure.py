"""What an exported model scores on labelled faces, and the temperatures that make its confidence mean what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mien.classify.calibration import expected_calibration_error, fit_temperature, softmax
from mien.classify.preprocess import whole_batch
from mien.classify.views import take_views
from mien.data.ferplus import VOTE_LABELS, vote_shares
from mien.evaluate.votes import ferplus_plurality
from mien.export.run import run_logits
from mien.metrics.calibration import calibration_scores
from mien.metrics.classification import classification_scores
from mien.train.architectures import HeadSpec, NetworkSpec
from mien.zoo.card import Head

__all__ = ["LabelledFaces", "measure", "takes_votes"]

SMALL_FACE_SIDES_PX = (12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192)
"""Sizes for which temperatures are fitted, where they are below the model's own; in pixels of the photo."""


@dataclass(frozen=True)
class LabelledFaces:
    """Faces as a network takes them, with what its heads should answer.

    Attributes
    ----------
    images : uint8 array of shape (N, C, S, S)
        Gray or RGB.
    label : int64 array of shape (N,)
        Index into the labels of the first head.
    votes : uint8 array of shape (N, 10) or None
        How many annotators chose each of `mien.data.ferplus.VOTE_LABELS`; zeros where a row has none.
    copied : bool array of shape (N,)
        Which faces have an exact copy among the training faces.
    leaked : bool array of shape (N,) or None
        Which have any copy there, near and mirrored ones included; None where nobody has looked.
    """

    images: npt.NDArray[np.uint8]
    label: npt.NDArray[np.int64]
    votes: npt.NDArray[np.uint8] | None
    copied: npt.NDArray[np.bool_]
    leaked: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class _Target:
    """What one head should answer: on which rows, and which class or distribution there."""

    rows: npt.NDArray[np.bool_]
    wanted: npt.NDArray[Any]


def takes_votes(head: HeadSpec) -> bool:
    """Whether a head has the classes that FER+'s annotators vote for."""
    return set(head.labels) == set(VOTE_LABELS)


def measure(
    spec: NetworkSpec,
    exported: bytes,
    logits: Mapping[str, npt.NDArray[Any]],
    float_logits: Mapping[str, npt.NDArray[Any]],
    faces: LabelledFaces,
    *,
    full: bool = True,
) -> tuple[tuple[Head, ...], dict[str, Any]]:
    """Score a model, and fit the temperatures of its heads.

    Parameters
    ----------
    spec : NetworkSpec
    exported : bytes
        The ONNX file.
    logits, float_logits : mapping of str to float array of shape (N, K)
        What the file, and the float32 graph, give for the faces.
    faces : LabelledFaces
    full : bool
        Also read ten views, and the faces averaged down to fewer pixels: some twenty times the time.

    Returns
    -------
    (heads, scores) : tuple of Head, dict
        For the card; scores by the output of the head.
    """
    first = spec.heads[0]
    answers, float_answers = (values[first.output].argmax(axis=1) for values in (logits, float_logits))
    targets = _targets(spec, faces)
    temperatures: dict[str, float] = {}
    scores: dict[str, Any] = {}
    for head in spec.heads[1:]:
        if takes_votes(head):
            scores[head.output] = {"images": 0}
            if faces.votes is not None:
                scores[head.output] = ferplus_plurality(logits[head.output], head.labels, faces.votes)
    calibrations = {}
    for output, target in targets.items():
        temperatures[output], calibrations[output] = calibration_scores(logits[output][target.rows], target.wanted)
    own: dict[str, Any] = {
        "one_pass": classification_scores(logits[first.output], faces.label, first.labels, faces.copied, faces.leaked)
    }
    if full:
        temperature = temperatures[first.output]
        views = [softmax(run_logits(exported, view)[first.output], temperature) for view in take_views(faces.images)]
        own["ten_views"] = classification_scores(
            np.mean(views, axis=0), faces.label, first.labels, faces.copied, faces.leaked
        )
        own["same_answer"] = _same_answer(np.stack(views).argmax(axis=2))
    own["float32_accuracy"] = round(float((float_answers == faces.label).mean()), 5)
    own["float32_agreement"] = round(float((answers == float_answers).mean()), 5)
    scores = {first.output: own, **scores}
    for output, calibration in calibrations.items():
        scores[output]["calibration"] = calibration
    by_px: dict[str, tuple[tuple[float, float], ...]] = {}
    if full:
        by_px, own["by_face_px"] = _small_faces(spec, exported, faces, targets, temperatures[first.output])
    heads = []
    for head in spec.heads:
        temperature = temperatures.get(head.output, 1.0)
        sharp = (float(spec.size_px), temperature)
        heads.append(
            Head(head.output, head.labels, temperature, (*by_px[head.output], sharp) if by_px.get(head.output) else ())
        )
    return tuple(heads), scores


def _same_answer(answers: npt.NDArray[np.intp]) -> dict[str, float]:
    """How often a face read from ten views, as `take_views` makes them, keeps its answer; `answers` is (10, N)."""
    same = answers == answers[0]
    shares = {"shifted": same[2::2].mean(), "mirrored": same[1].mean(), "in_all_ten_views": same.all(axis=0).mean()}
    return {name: round(float(share), 5) for name, share in shares.items()}


def _targets(spec: NetworkSpec, faces: LabelledFaces) -> dict[str, _Target]:
    """What each head should answer, by its output; heads of which nothing is known are left out."""
    targets = {spec.heads[0].output: _Target(np.ones(len(faces.label), bool), faces.label)}
    for head in spec.heads[1:]:
        if faces.votes is not None and takes_votes(head) and faces.votes.any():
            shares, voted = vote_shares(faces.votes, VOTE_LABELS, head.labels)
            targets[head.output] = _Target(voted, shares[voted])
    return targets


def _small_faces(
    spec: NetworkSpec, exported: bytes, faces: LabelledFaces, targets: Mapping[str, _Target], temperature: float
) -> tuple[dict[str, tuple[tuple[float, float], ...]], dict[str, Any]]:
    """Temperatures of each head, and scores of the first, for faces that have fewer pixels than the model takes.

    The images are averaged down to each size and go through the preprocessing again, which enlarges them.
    `temperature` is that of the first head for sharp faces.
    """
    first = spec.heads[0].output
    fitted: dict[str, list[tuple[float, float]]] = {name: [] for name in targets}
    scores: dict[str, Any] = {}
    for px in (side for side in SMALL_FACE_SIDES_PX if side < spec.size_px):
        logits = run_logits(exported, whole_batch(_averaged_down(faces.images, px), spec.input_spec()))
        for name, target in targets.items():
            fitted[name].append((float(px), fit_temperature(logits[name][target.rows], target.wanted)))
        blurred = logits[first]
        scores[str(px)] = {
            "accuracy": round(float((blurred.argmax(1) == faces.label).mean()), 5),
            "ece_as_if_sharp": round(expected_calibration_error(softmax(blurred, temperature), faces.label), 5),
            "ece": round(expected_calibration_error(softmax(blurred, fitted[first][-1][1]), faces.label), 5),
        }
    return {name: tuple(pairs) for name, pairs in fitted.items()}, scores


def _averaged_down(images: npt.NDArray[np.uint8], px: int) -> Sequence[npt.NDArray[np.uint8]]:
    """Images (N, C, S, S) as the preprocessing takes them, gray or BGR, with a side of `px`."""
    flat = images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)[..., ::-1]
    return [
        np.asarray(cv2.resize(np.ascontiguousarray(image), (px, px), interpolation=cv2.INTER_AREA), np.uint8)
        for image in flat
    ]
