"""What an exported model scores on labelled faces, and the calibration that makes its confidence mean what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mien.classify.calibration import expected_calibration_error, fit_temperature, softmax
from mien.classify.class_scaling import calibrated, scale_classes
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
    copies : int8 array of shape (N,) or None
        The kind of copy that each has among the training faces, as `mien.data.copies.copied_rows` says; None where
        nobody has looked.
    """

    images: npt.NDArray[np.uint8]
    label: npt.NDArray[np.int64]
    votes: npt.NDArray[np.uint8] | None
    copies: npt.NDArray[np.int8] | None = None


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
    """Score a model, and calibrate its heads.

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
    targets = _targets(spec, faces)
    heads: list[Head] = []
    scores: dict[str, Any] = {}
    calibrations = {}
    for wanted in spec.heads:
        head = Head(wanted.output, wanted.labels)
        if (target := targets.get(head.output)) is not None:
            of_target = logits[head.output][target.rows]
            head, calibrations[head.output] = calibration_scores(head, of_target, target.wanted)
        heads.append(head)
        if takes_votes(wanted) and len(heads) > 1:
            scores[head.output] = {"images": 0}
            if faces.votes is not None:
                answers = scale_classes(logits[head.output], head)
                found = ferplus_plurality(answers, head.labels, faces.votes)
                scores[head.output] = {
                    key if key == "images" else f"plurality_{key}": value for key, value in found.items()
                }
    first = heads[0]
    own: dict[str, Any] = {"one_pass": _scores(calibrated(logits[first.output], first), faces, first)}
    if full:
        views = [calibrated(run_logits(exported, view)[first.output], first) for view in take_views(faces.images)]
        own["ten_views"] = _scores(np.mean(views, axis=0), faces, first)
        own["same_answer"] = _same_answer(np.stack(views).argmax(axis=2))
    int8, float32 = (scale_classes(values[first.output], first).argmax(axis=1) for values in (logits, float_logits))
    own["float32_accuracy"] = round(float((float32 == faces.label).mean()), 5)
    own["float32_agreement"] = round(float((int8 == float32).mean()), 5)
    scores = {first.output: own, **scores}
    for output, calibration in calibrations.items():
        scores[output]["calibration"] = calibration
    if full:
        heads, own["by_face_px"] = _small_faces(spec, exported, faces, targets, heads)
    return tuple(heads), scores


def _scores(probabilities: npt.NDArray[Any], faces: LabelledFaces, head: Head) -> dict[str, Any]:
    return classification_scores(probabilities, faces.label, head.labels, faces.copies)


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
    spec: NetworkSpec,
    exported: bytes,
    faces: LabelledFaces,
    targets: Mapping[str, _Target],
    heads: Sequence[Head],
) -> tuple[list[Head], dict[str, Any]]:
    """The heads with temperatures, and scores of the first, for faces that have fewer pixels than the model takes.

    The images are averaged down to each size and go through the preprocessing again, which enlarges them.
    """
    fitted: dict[str, list[tuple[float, float]]] = {name: [] for name in targets}
    scores: dict[str, Any] = {}
    for px in (side for side in SMALL_FACE_SIDES_PX if side < spec.size_px):
        logits = run_logits(exported, whole_batch(_averaged_down(faces.images, px), spec.input_spec()))
        scaled = {head.output: scale_classes(logits[head.output], head) for head in heads}
        for name, target in targets.items():
            fitted[name].append((float(px), fit_temperature(scaled[name][target.rows], target.wanted)))
        first = heads[0]
        own, as_if_sharp = (
            softmax(scaled[first.output], value) for value in (fitted[first.output][-1][1], first.temperature)
        )
        scores[str(px)] = {
            "accuracy": round(float((own.argmax(1) == faces.label).mean()), 5),
            "ece_as_if_sharp": round(expected_calibration_error(as_if_sharp, faces.label), 5),
            "ece": round(expected_calibration_error(own, faces.label), 5),
        }
    sharp = float(spec.size_px)
    return [
        replace(head, temperature_by_px=(*fitted[head.output], (sharp, head.temperature)))
        if fitted.get(head.output)
        else head
        for head in heads
    ], scores


def _averaged_down(images: npt.NDArray[np.uint8], px: int) -> Sequence[npt.NDArray[np.uint8]]:
    """Images (N, C, S, S) as the preprocessing takes them, gray or BGR, with a side of `px`."""
    flat = images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)[..., ::-1]
    return [
        np.asarray(cv2.resize(np.ascontiguousarray(image), (px, px), interpolation=cv2.INTER_AREA), np.uint8)
        for image in flat
    ]
