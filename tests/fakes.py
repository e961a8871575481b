"""A fake of each stage: small, predictable, and following the same protocols as the real ones."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.detect import Detections
from mien.labels import FER7
from mien.result import Face, Reading
from mien.zoo import Head, InputSpec, ModelCard

FRAMING = ((0.31, 0.37), (0.69, 0.37), (0.49, 0.59), (0.35, 0.77), (0.65, 0.77))


def make_card(**changes: Any) -> ModelCard:
    """A valid card of an expression model."""
    values: dict[str, Any] = {
        "name": "fake",
        "kind": "expression",
        "summary": "A model for tests.",
        "file": "fake.onnx",
        "sha256": "0" * 64,
        "licence": "Apache-2.0",
        "training_data": (),
        "input": InputSpec("image", (8, 8), "gray", "uint8", 0.5, 0.25, FRAMING),
        "heads": (Head("fer7", FER7), Head("ferplus", (*FER7, "contempt", "unknown", "not_face"))),
        "parameters": 0,
        "precision": "float32",
        "made_by": "the tests",
    }
    return ModelCard(**{**values, **changes})


class FakeDetector:
    """Finds the bright squares that `paint_face` paints; counts its calls."""

    wants_gray = False

    def __init__(self) -> None:
        self.calls = 0
        self._lock = threading.Lock()

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        with self._lock:
            self.calls += 1
        gray = image if image.ndim == 2 else image[:, :, 0]
        corners = np.argwhere(gray == 255)
        if not len(corners):
            return Detections.empty()
        (top, left), (bottom, right) = corners.min(axis=0), corners.max(axis=0) + 1
        box = np.array([[left, top, right, bottom]], np.float32)
        points = np.array(FRAMING, np.float32) * (right - left, bottom - top) + (left, top)
        return Detections(box, np.array([0.9], np.float32), points[None].astype(np.float32))


class FakeClassifier:
    """Says the class whose number is the crop's darkest value divided by ten; records the sizes of its batches."""

    def __init__(self, card: ModelCard | None = None) -> None:
        self._card = card or make_card()
        self.batches: list[int] = []

    @property
    def card(self) -> ModelCard:
        return self._card

    def logits(self, batch: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        self.batches.append(len(batch))
        said = (batch.reshape(len(batch), -1).min(axis=1) // 10).astype(int)
        return {
            head.output: (10.0 * (np.arange(len(head.labels)) == said[:, None])).astype(np.float32)
            for head in self._card.heads
        }


def paint_face(said: int, size_px: int = 40, place_xy: tuple[int, int] = (20, 10)) -> npt.NDArray[np.uint8]:
    """A gray photo with one fake face of which `FakeClassifier` says class number `said`."""
    image = np.full((100, 120), 200, np.uint8)
    x, y = place_xy
    image[y : y + size_px, x : x + size_px] = 255
    inner = size_px // 4
    image[y + inner : y + size_px - inner, x + inner : x + size_px - inner] = said * 10 + 5
    return image


def make_face(expression: str = "happy", probability: float = 0.7, **changes: Any) -> Face:
    """A valid face."""
    rest = (1.0 - probability) / (len(FER7) - 1)
    values: dict[str, Any] = {
        "box_xyxy": (10.0, 20.0, 60.0, 80.0),
        "score": 0.95,
        "landmarks_xy": tuple((10.0 + 50 * x, 20.0 + 60 * y) for x, y in FRAMING),
        "probabilities": {label: probability if label == expression else rest for label in FER7},
    }
    return Face(**{**values, **changes})


def make_reading(*faces: Face, **changes: Any) -> Reading:
    """A valid reading."""
    return Reading(**{"source": "photo.jpg", "size_wh": (120, 100), "faces": list(faces), **changes})
