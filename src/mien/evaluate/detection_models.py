"""The detector to measure, from a name or a file: with a low bar for the whole curve, and as it is shipped."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from mien.detect import Detector, open_detector
from mien.detect.yunet import YuNetDetector, yunet_path
from mien.errors import ModelError
from mien.evaluate.models import CHECKPOINT, is_folder, require_torch
from mien.zoo import find_model

__all__ = ["LOWEST_SCORE", "MeasuredDetector", "open_measured_detector"]

LOWEST_SCORE = 0.1
"""Finds below it are not looked at: the curve ends there."""


class MeasuredDetector(NamedTuple):
    """A detector to measure.

    Attributes
    ----------
    detector : Detector
        Reports all that it scores from `LOWEST_SCORE` on, for the whole curve.
    shipped : Detector or None
        The same with the score on its card; None for a checkpoint, which has no card.
    facts : dict
        What a report says of it.
    """

    detector: Detector
    shipped: Detector | None
    facts: dict[str, Any]


def open_measured_detector(model: str | Path, threads: int, min_face_px: float | None) -> MeasuredDetector:
    """Open a detector to measure; parameters as in `mien.evaluate.detection.evaluate_detector`."""
    path = Path(model)
    if is_folder(model):
        raise ModelError(
            f"{path}: is a folder; expected a detector. Runs of several seeds are measured together only if they are "
            "of expression models: give the checkpoint of one run"
        )
    if path.suffix.lower() == CHECKPOINT:
        return _open_checkpoint(path, threads, min_face_px)
    detector = open_detector(model, threads, min_face_px, LOWEST_SCORE)
    facts = _facts_of_yunet(model) if isinstance(detector, YuNetDetector) else _facts_of_card(model, threads)
    return MeasuredDetector(detector, open_detector(model, threads, min_face_px), facts)


def _facts_of_card(model: str | Path, threads: int) -> dict[str, Any]:
    stored = find_model(model, "detector")
    card = stored.card
    return {
        "name": card.name, "precision": card.precision, "parameters": card.parameters, "sha256": card.sha256,
        "file_bytes": stored.weights.stat().st_size, "threads": threads,
        "score_threshold": card.settings.get("score_threshold"),
    }  # fmt: skip


def _facts_of_yunet(model: str | Path) -> dict[str, Any]:
    weights = yunet_path(model)
    return {
        "name": "yunet", "precision": "float32", "parameters": None, "threads": None, "score_threshold": None,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "file_bytes": weights.stat().st_size,
    }  # fmt: skip


def _open_checkpoint(path: Path, threads: int, min_face_px: float | None) -> MeasuredDetector:
    require_torch()
    import torch

    from mien.train.detector.network import load_detector
    from mien.train.detector.validate import detector_of

    network, data = load_detector(path).eval(), path.read_bytes()
    device = torch.device("cpu")
    detector = detector_of(network, device, min_face_px=min_face_px, score_threshold=LOWEST_SCORE, threads=threads)
    return MeasuredDetector(detector, None, {
        "name": path.stem, "precision": "float32 (torch)", "parameters": network.parameter_count(),
        "sha256": hashlib.sha256(data).hexdigest(), "file_bytes": len(data), "threads": threads,
        "score_threshold": None,
    })  # fmt: skip
