from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.copies import COPY_KINDS
from mien.metrics import classification
from mien.metrics.classification import (
    class_scores,
    classification_scores,
    confusion_matrix,
    detailed_scores,
    share_interval,
)

NAMES = ("a", "b", "c")
ANSWERS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


def test_scores_of_a_case_by_hand() -> None:
    answers, labels = [0, 0, 1, 1, 0], np.array([0, 0, 0, 1, 1])
    copies = np.array([COPY_KINDS.index("exact"), -1, COPY_KINDS.index("mirror"), -1, -1], np.int8)
    scores = classification_scores(np.eye(3)[answers], labels, NAMES, copies)
    assert scores["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert scores["accuracy"] == 0.6
    assert (scores["images_without_training_copies"], scores["accuracy_without_training_copies"]) == (4, 0.5)
    assert (scores["images_without_any_copy"], scores["accuracy_without_any_copy"]) == (3, 0.66667)
    assert scores["recall"] == {"a": 0.66667, "b": 0.5, "c": 0.0}
    # A class without images counts in no mean.
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-5)
    assert scores["macro_f1"] == pytest.approx((4 / 6 + 2 / 4) / 2, abs=1e-5)


@settings(deadline=None, max_examples=60)
@given(ANSWERS)
def test_every_score_is_what_counting_gives(pairs: list[tuple[int, int]]) -> None:
    labels, answers = np.array(pairs).T
    scores = detailed_scores(labels, answers, NAMES)
    recalls, f1s = [], []
    for number, name in enumerate(NAMES):
        hits = sum(a == b == number for a, b in pairs)
        support, answered = sum(a == number for a, _ in pairs), sum(b == number for _, b in pairs)
        row = scores["classes"][name]
        assert row["support"] == support
        assert row["recall"] == (pytest.approx(hits / support, abs=1e-5) if support else None)
        assert row["precision"] == (pytest.approx(hits / answered, abs=1e-5) if answered else None)
        if support + answered:
            assert row["f1"] == pytest.approx(2 * hits / (support + answered), abs=1e-5)
        else:
            assert row["f1"] is None
        if support:
            recalls.append(hits / support)
            f1s.append(2 * hits / (support + answered))
    assert scores["accuracy"] == pytest.approx(np.mean([a == b for a, b in pairs]), abs=1e-5)
    assert scores["balanced_accuracy"] == pytest.approx(np.mean(recalls), abs=1e-5)
    assert scores["macro_f1"] == pytest.approx(np.mean(f1s), abs=1e-5)
    low, high = scores["accuracy_interval_95"]
    assert low <= scores["accuracy"] <= high
    assert np.sum(scores["confusion"]) == len(pairs)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(20, 300))
def test_intervals_hold_their_value(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    scores = classification_scores(rng.random((count, 3)), labels, NAMES, np.full(count, -1, np.int8))
    low, high = scores["accuracy_interval_95"]
    assert 0 <= low <= scores["accuracy"] <= high <= 1
    assert scores["accuracy"] == scores["accuracy_without_training_copies"] == scores["accuracy_without_any_copy"]


def test_where_nobody_looked_for_copies_nothing_is_said_of_them() -> None:
    assert not [name for name in classification_scores(np.eye(3), np.arange(3), NAMES) if "cop" in name]


def test_intervals_of_means_are_those_of_drawing_images_again() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    answers = np.where(rng.random(200) < 0.7, labels, rng.integers(0, 3, 200))
    found = detailed_scores(labels, answers, NAMES)
    draws = []
    for _ in range(1500):
        index = rng.integers(0, 200, 200)
        scores = class_scores(confusion_matrix(labels[index], answers[index], 3))
        draws.append((scores.balanced_accuracy, scores.macro_f1))
    wanted = np.quantile(draws, (0.025, 0.975), axis=0)
    np.testing.assert_allclose(found["balanced_accuracy_interval_95"], wanted[:, 0], atol=0.012)
    np.testing.assert_allclose(found["macro_f1_interval_95"], wanted[:, 1], atol=0.012)


@pytest.mark.parametrize(("images", "share"), [(300, 0.7), (300, 0.99), (24, 0.95)])
def test_intervals_of_means_cover_the_truth_as_often_as_they_say(
    images: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nearly all are right: drawing images again alone covers the last case in half of the tries."""
    monkeypatch.setattr(classification, "RESAMPLES", 2_000)  # of 150 intervals, each may be a little rougher
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(150):
        labels = rng.integers(0, 3, images)
        answers = np.where(rng.random(images) < share, labels, (labels + rng.integers(1, 3, images)) % 3)
        low, high = detailed_scores(labels, answers, NAMES)["balanced_accuracy_interval_95"]
        covered += low <= share <= high
    assert covered / 150 >= 0.91


def test_intervals_of_means_cover_the_truth_where_a_class_is_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fifteen faces of a class nineteen in twenty are right, so that often all are: they seemed to be certain."""
    monkeypatch.setattr(classification, "RESAMPLES", 2_000)
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(150):
        labels = rng.choice(3, 1000, p=(0.6, 0.385, 0.015))
        answers = np.where(rng.random(1000) < 0.95, labels, (labels + rng.integers(1, 3, 1000)) % 3)
        low, high = detailed_scores(labels, answers, NAMES)["balanced_accuracy_interval_95"]
        covered += low <= 0.95 <= high
    assert covered / 150 >= 0.93


@pytest.mark.parametrize("images", [6, 600])
def test_intervals_of_means_of_right_answers_alone_narrow_with_the_images(images: int) -> None:
    labels = np.arange(images) % 3
    scores = detailed_scores(labels, labels, NAMES)
    for name in ("balanced_accuracy", "macro_f1"):
        low, high = scores[f"{name}_interval_95"]
        assert (scores[name], high) == (1.0, 1.0)
        assert low == pytest.approx(1 - 3.5 / images, abs=2.5 / images)
    alone = detailed_scores(labels[:1], labels[:1], ("a",))
    assert alone["macro_f1_interval_95"] == [1.0, 1.0], "one class leaves no wrong answer"


@pytest.mark.parametrize(("images", "share"), [(400, 0.72), (12, 0.95)])
def test_an_interval_covers_the_truth_as_often_as_it_says(images: int, share: float) -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        low, high = share_interval(rng.random(images) < share)
        covered += low <= share <= high
    assert 0.92 <= covered / 1000 <= 0.99


def test_intervals_are_those_of_wilson() -> None:
    # From scipy.stats.binomtest(k, n).proportion_ci(method="wilson").
    for right, images, wanted in ((6, 6, (0.60967, 1.0)), (0, 3, (0.0, 0.56150)), (2567, 3589, (0.70025, 0.72977))):
        assert share_interval(np.arange(images) < right) == pytest.approx(wanted, abs=1e-5)


def test_no_image_is_no_score() -> None:
    empty = np.zeros(0, np.int64)
    assert detailed_scores(empty, empty, NAMES) == {"images": 0}
