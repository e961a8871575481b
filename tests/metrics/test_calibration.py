from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.classify.calibration import expected_calibration_error, fit_temperature, softmax
from mien.classify.class_scaling import calibrated
from mien.evaluate.charts import reliability_chart
from mien.labels import FER7, SCHEMES
from mien.metrics.calibration import (
    calibrate_head,
    calibration_scores,
    error_by_chance,
    fit_scheme_temperature,
    mean_calibration,
    reliability_bins,
    scheme_calibration,
)
from mien.zoo import Head


def noisy(rows: int, seed: int = 0, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    return rng.normal(0, 1, (rows, classes)) + 1.5 * np.eye(classes)[labels], labels


def test_overconfident_logits_get_a_high_temperature() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 2000)
    logits = rng.normal(0, 1, (2000, 4)) + np.eye(4)[labels]
    head = Head("x", ("a", "b", "c", "d"))
    sharp, _ = calibration_scores(head, 3 * logits, labels)
    plain, _ = calibration_scores(head, logits, labels)
    assert sharp.temperature == pytest.approx(3 * plain.temperature, rel=1e-3)
    _, scores = calibration_scores(head, 6 * logits, labels)
    assert scores["ece_after"] < scores["ece_before"] / 3
    assert scores["ece_held_out"] < scores["ece_before"] / 3
    assert scores["nll_after"] < scores["nll_before"]


def test_each_half_has_the_calibration_of_the_other() -> None:
    logits, labels = noisy(601)
    logits[::2] *= 4
    logits[::2, 3] += 1
    even, odd = slice(0, None, 2), slice(1, None, 2)
    truth = np.concatenate([labels[even], labels[odd]])
    head = Head("fer7", FER7)
    halves = np.concatenate(
        [
            calibrated(logits[here], calibrate_head(head, logits[there], labels[there]))
            for here, there in ((even, odd), (odd, even))
        ]
    )
    _, scores = calibration_scores(head, logits, labels)
    assert scores["ece_held_out"] == pytest.approx(expected_calibration_error(halves, truth), abs=1e-5)
    assert scores["accuracy_held_out"] == pytest.approx((halves.argmax(axis=1) == truth).mean(), abs=1e-5)
    alone = [
        softmax(logits[here], fit_temperature(logits[there], labels[there]))
        for here, there in ((even, odd), (odd, even))
    ]
    error = expected_calibration_error(np.concatenate(alone), truth)
    report = scheme_calibration(logits, labels, SCHEMES["fer7"], head, np.full(601, 48.0))
    assert report["ece_held_out"] == pytest.approx(error, abs=1e-5)


def test_a_single_face_has_no_other_half() -> None:
    head, scores = calibration_scores(Head("x", ("a", "b", "c")), np.array([[2.0, 0.0, 1.0]]), np.array([0]))
    assert head.temperature > 0
    assert sorted(scores) == ["ece_after", "ece_before", "nll_after", "nll_before"]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_the_plot_shows_the_error(seed: int, rows: int) -> None:
    logits, labels = noisy(rows, seed)
    probabilities = softmax(2 * logits)
    bins = reliability_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
    assert sum(part["images"] for part in bins) == rows
    np.testing.assert_allclose(
        [(part["low"], part["high"]) for part in bins], [(n / 15, (n + 1) / 15) for n in range(15)], atol=1e-5
    )
    assert all(part["low"] - 1e-4 < part["confidence"] < part["high"] + 1e-4 for part in bins if part["images"])
    gaps = sum(part["images"] * abs(part["confidence"] - part["accuracy"]) for part in bins if part["images"])
    assert gaps / rows == pytest.approx(expected_calibration_error(probabilities, labels), abs=1e-4)


def test_a_bin_holds_its_upper_bound_and_the_outer_ones_what_lies_beyond() -> None:
    confidence = np.array([0.0, 0.25, 0.250001, 0.5, 1.0, 1.0 + 1e-12])
    bins = reliability_bins(confidence, np.array([True, False, True, True, True, False]), 4)
    assert [part["images"] for part in bins] == [2, 2, 0, 2]
    assert [part["accuracy"] for part in bins] == [0.5, 1.0, None, 0.5]


def test_the_temperature_of_single_classes_is_the_ordinary_one() -> None:
    logits, labels = noisy(500)
    assert fit_scheme_temperature(3 * logits, labels, SCHEMES["fer7"], FER7) == fit_temperature(3 * logits, labels)


def test_the_temperature_of_merged_classes_is_the_best_of_many() -> None:
    logits, labels = noisy(800)
    scheme = SCHEMES["valence3"]
    kept = labels != FER7.index("surprise")
    target = np.array([2, 2, 2, 0, 2, -1, 1])[labels]
    logits, target = 4 * logits[kept], target[kept]

    def loss(temperature: float) -> float:
        probabilities, _ = scheme.project(softmax(logits, temperature), FER7)
        return float(-np.log(probabilities[np.arange(len(target)), target]).mean())

    found = fit_scheme_temperature(logits, target, scheme, FER7)
    assert loss(found) <= min(loss(t) for t in np.geomspace(0.1, 15, 60)) + 1e-9
    assert 2 < found < 8


def test_merged_classes_are_not_certain_after_a_few_right_answers() -> None:
    scheme, labels = SCHEMES["valence3"], np.array([0, 1, 2, 3, 4, 6] * 4)
    target = np.array([2, 2, 2, 0, 2, -1, 1])[labels]
    assert [tuple(scheme.labels)[row] for row in (0, 2)] == ["positive", "negative"]
    logits = np.random.default_rng(0).uniform(0, 0.5, (24, 7)) + 2 * np.eye(7)[labels]
    found = fit_scheme_temperature(logits, target, scheme, FER7)
    probabilities, _ = scheme.project(softmax(logits, found), FER7)
    assert (probabilities.argmax(axis=1) == target).all()
    assert probabilities.max(axis=1).mean() == pytest.approx(25 / 26)


def test_a_temperature_that_is_too_sure_is_raised_and_not_lowered() -> None:
    """Sharper still, nothing is left of the labels of a face that is read as surprise: it counted as unsure."""
    scheme, logits = SCHEMES["valence3"], np.zeros((2, 7))
    logits[:, FER7.index("happy")], logits[0, FER7.index("surprise")] = 20, 30
    found = fit_scheme_temperature(logits, np.full(2, scheme.labels.index("positive")), scheme, FER7)
    probabilities, _ = scheme.project(softmax(logits, found), FER7)
    assert found > 5
    assert (probabilities.argmax(axis=1) == scheme.labels.index("positive")).all()
    assert probabilities.max(axis=1).mean() == pytest.approx(3 / 4)


def test_a_report_names_the_card_and_the_best_temperature() -> None:
    logits, labels = noisy(600)
    found = scheme_calibration(3 * logits, labels, SCHEMES["fer7"], Head("x", FER7, 3.0), np.full(600, 48.0))
    assert found["temperature_card"] == 3
    assert found["ece_best"] < found["ece_without"] / 2
    assert found["nll_best"] <= found["nll_card"] <= found["nll_without"]
    assert found["ece_held_out"] < found["ece_without"]
    assert found["ece_by_chance"] < found["ece_by_chance_95"] < found["ece_without"]
    one = scheme_calibration(logits[:1], labels[:1], SCHEMES["fer7"], Head("x", FER7), np.ones(1))
    assert "ece_held_out" not in one


@pytest.mark.parametrize("rows", [30, 1000])
def test_the_error_by_chance_is_that_of_a_perfect_calibration(rows: int) -> None:
    rng = np.random.default_rng(1)
    high = rng.uniform(0.5, 1, rows)
    probabilities = np.stack([high, 1 - high], axis=1)
    errors = [expected_calibration_error(probabilities, (rng.random(rows) > high).astype(int)) for _ in range(300)]
    mean, most = error_by_chance(high)
    assert mean == pytest.approx(np.mean(errors), rel=0.05)
    assert np.mean(np.array(errors) > most) == pytest.approx(0.05, abs=0.04)
    assert error_by_chance(high) == (mean, most), "the same again"
    assert error_by_chance(np.ones(rows)) == (0, 0), "what is certain is never wrong"


def test_a_report_judges_the_scales_and_biases_of_the_card() -> None:
    """The best temperature here is sought with them; without any calibration there are none of them either."""
    logits, labels = noisy(4000)
    logits[:, 3] = 0.5 * logits[:, 3] + 1
    plain = Head("x", FER7)
    fitted = calibrate_head(plain, logits, labels)
    sides_px = np.full(len(labels), 48.0)
    before, after = (scheme_calibration(logits, labels, SCHEMES["fer7"], head, sides_px) for head in (plain, fitted))
    assert after["nll_card"] < before["nll_best"] - 0.01
    assert after["temperature_best"] == pytest.approx(fitted.temperature, rel=0.05)
    assert after["nll_without"] == before["nll_without"] == before["nll_card"]


def test_the_bins_of_several_runs_hold_all_faces() -> None:
    """Means were whole numbers, and all together a face or two more or fewer than there are."""
    labels = noisy(100)[1]
    runs = [
        scheme_calibration(noisy(100, seed)[0], labels, SCHEMES["fer7"], Head("x", FER7), np.full(100, 48.0))
        for seed in range(3)
    ]
    bins = mean_calibration(runs)["reliability"]
    assert any(part["images"] % 1 for part in bins)
    assert sum(part["images"] for part in bins) == pytest.approx(100, abs=1e-3)
    assert "faces: 100, in a bin" in reliability_chart(bins)
