"""What `benchmarks/robustness.py` measures, on answers that are known."""

from __future__ import annotations

import runpy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mien.classify import OnnxClassifier
from mien.zoo import find_model
from tests.conftest import ROOT
from tests.sets import smooth_faces

PROGRAM = runpy.run_path(str(ROOT / "benchmarks" / "robustness.py"))
MOVES, Move, measure_robustness, moved, small = (
    PROGRAM[name] for name in ("MOVES", "Move", "measure_robustness", "moved", "small")
)


def test_moves_do_what_they_say() -> None:
    image = smooth_faces(1)[0]
    np.testing.assert_array_equal(moved(image, Move("")), image)
    np.testing.assert_array_equal(moved(image, Move("", right=2 / 48))[:, 2:], image[:, :-2])
    np.testing.assert_array_equal(moved(image, Move("", down=-2 / 48))[:-2], image[2:])
    np.testing.assert_array_equal(moved(image, Move("", mirrored=True)), image[:, ::-1])
    np.testing.assert_allclose(moved(image, Move("", turn_deg=90.0)), np.rot90(image), atol=1)
    larger = moved(image, Move("", scale=2.0))
    np.testing.assert_allclose(larger[23:25, 23:25].mean(), image[23:25, 23:25].mean(), atol=3)
    color = np.stack([image] * 3, axis=2)
    assert moved(color, MOVES[0]).shape == (48, 48, 3)


def test_small_faces_keep_their_proportions() -> None:
    assert small(np.zeros((48, 48), np.uint8), 12).shape == (12, 12)
    assert small(np.zeros((100, 50, 3), np.uint8), 20).shape == (20, 10, 3)
    assert small(np.zeros((30, 30), np.uint8), 48).shape == (30, 30)


class Fixed(OnnxClassifier):
    """Answers by the brightness of the left half, which moves change; and by nothing else."""

    def logits(self, batch: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        left = batch[..., : batch.shape[-1] // 2].mean(axis=(1, 2, 3)) > batch.mean(axis=(1, 2, 3))
        logits = np.zeros((len(batch), 7), np.float32)
        logits[:, 3] = np.where(left, 10.0, -10.0)
        logits[:, 0] = -logits[:, 3]
        return {"fer7": logits}


def test_agreement_and_accuracy_are_counted() -> None:
    model = Fixed(find_model("small", "expression"), 1)
    images = np.zeros((4, 48, 48), np.uint8)
    images[:3, :, :20] = 200
    images[3, :, 28:] = 200
    label = np.array([3, 3, 0, 0])
    result = measure_robustness(model, list(images), label, sides_px=(12,))
    assert result["accuracy"] == 0.75
    assert result["moves"]["2 of 48 px to the right"] == {"accuracy": 0.75, "agreement": 1.0, "distance": 0.0}
    mirrored = result["moves"]["mirrored"]
    assert mirrored["agreement"] == 0.0
    assert mirrored["distance"] == pytest.approx(1.0, abs=0.15)
    assert mirrored["accuracy"] == 0.25
    assert result["steady"] == 0.0
    assert result["sides_px"]["12"]["agreement"] == 1.0
    assert measure_robustness(model, list(images), moves=MOVES[:8], sides_px=())["steady"] == 1.0


def test_a_shipped_model_is_measured_without_labels() -> None:
    model = OnnxClassifier(find_model("small", "expression"), 1)
    result = measure_robustness(model, list(smooth_faces(3)), moves=MOVES[:1], sides_px=(16, 48))
    assert "accuracy" not in result
    assert result["sides_px"]["48"] == {"agreement": 1.0, "distance": 0.0}
    assert 0.0 <= result["moves"][MOVES[0].name]["distance"] <= 1.0
