from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import ModelError
from mien.export.scores import calibration_scores, classification_scores, ferplus_majority, run_logits, ten_views


def test_scores_of_a_case_by_hand() -> None:
    answers, labels = [0, 0, 1, 1, 0], np.array([0, 0, 0, 1, 1])
    copied = np.array([True, False, False, False, False])
    scores = classification_scores(np.eye(3)[answers], labels, ("a", "b", "c"), copied)
    assert scores["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert scores["accuracy"] == 0.6
    assert (scores["images_without_training_copies"], scores["accuracy_without_training_copies"]) == (4, 0.5)
    assert scores["recall"] == {"a": 0.66667, "b": 0.5, "c": 0.0}
    # A class without images counts in no mean.
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-5)
    assert scores["macro_f1"] == pytest.approx((4 / 6 + 2 / 4) / 2, abs=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(20, 300))
def test_intervals_hold_their_value(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    scores = classification_scores(rng.random((count, 3)), labels, ("a", "b", "c"), np.zeros(count, bool))
    low, high = scores["accuracy_interval_95"]
    assert 0 <= low <= scores["accuracy"] <= high <= 1
    assert scores["accuracy"] == scores["accuracy_without_training_copies"]


def test_ten_views_shift_by_two_and_mirror() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    views = ten_views(image)
    assert len(views) == 10
    assert len({view.tobytes() for view in views}) == 10
    np.testing.assert_array_equal(views[0], image)
    np.testing.assert_array_equal(views[1], image[:, :, ::-1])
    np.testing.assert_array_equal(views[2][0, 0], [2, 3, 3, 3])


def test_majority_leaves_out_what_has_none() -> None:
    votes = np.zeros((4, 10), np.uint8)
    votes[0, 1] = 9  # happy
    votes[1, [2, 3]] = 5  # a tie
    votes[2, 9] = 8  # not a face
    votes[3, 4] = 6  # angry
    logits = np.zeros((4, 10), np.float32)
    logits[:, 1], logits[:, 9] = 1, 5
    assert ferplus_majority(logits, votes)["images"] == 2
    assert ferplus_majority(logits, votes)["majority_accuracy"] == 0.5


def test_overconfident_logits_get_a_high_temperature() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 2000)
    logits = rng.normal(0, 1, (2000, 4)) + np.eye(4)[labels]
    sharp, _ = calibration_scores(3 * logits, labels)
    plain, _ = calibration_scores(logits, labels)
    assert sharp == pytest.approx(3 * plain, rel=1e-3)
    _, scores = calibration_scores(6 * logits, labels)
    assert scores["ece_after"] < scores["ece_before"] / 3
    assert scores["ece_held_out"] < scores["ece_before"] / 3


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(ModelError, match="cannot load"):
        run_logits(b"no model", np.zeros((1, 4, 4), np.uint8))
