from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mien.classify.calibration import (
    expected_calibration_error,
    fit_temperature,
    most_confidence,
    negative_log_likelihood,
    softmax,
)
from mien.errors import UsageError

LOGITS = arrays(
    np.float64,
    st.tuples(st.integers(1, 8), st.integers(1, 6)),
    elements=st.floats(-1e6, 1e6, allow_nan=False),
)
TEMPERATURES = st.floats(0.01, 100)


@given(LOGITS, TEMPERATURES)
def test_softmax_gives_distributions_in_the_order_of_the_logits(logits: np.ndarray, temperature: float) -> None:
    probabilities = softmax(logits, temperature)
    assert np.isfinite(probabilities).all()
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    best = logits.argmax(axis=1)[:, None]
    assert (np.take_along_axis(probabilities, best, 1)[:, 0] == probabilities.max(axis=1)).all()


@given(LOGITS, TEMPERATURES, st.floats(-1e3, 1e3))
def test_softmax_ignores_a_constant(logits: np.ndarray, temperature: float, constant: float) -> None:
    small = logits / 1e4
    np.testing.assert_allclose(softmax(small + constant, temperature), softmax(small, temperature), atol=1e-6)


def test_softmax_knows_the_textbook() -> None:
    np.testing.assert_allclose(softmax([0.0, np.log(3)]), [0.25, 0.75])
    np.testing.assert_allclose(softmax([0.0, 2 * np.log(3)], 2.0), [0.25, 0.75])
    assert softmax(np.zeros((2, 4), np.float32)).dtype == np.float32
    assert softmax(np.zeros((0, 4))).shape == (0, 4)
    np.testing.assert_array_equal(softmax(np.array([1e308, -1e308]), 0.01), [1, 0])
    assert negative_log_likelihood([[0.0, np.log(3)], [2e4, 0.0]], [1, 0]) == pytest.approx(np.log(4 / 3) / 2)


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(UsageError, match="positive"):
        softmax([0.0, 1.0], temperature)
    with pytest.raises(UsageError, match="positive"):
        negative_log_likelihood([[0.0, 1.0]], [0], temperature)


def confidence(logits: np.ndarray, temperature: float) -> float:
    return float(softmax(logits, temperature).max(axis=1).mean())


@settings(deadline=None)
@given(st.floats(0.05, 20), st.integers(0, 2**32 - 1))
def test_the_temperature_that_made_the_targets_is_found_again(temperature: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (50, 7))
    fitted = fit_temperature(logits, softmax(logits, temperature))
    if confidence(logits, temperature) <= 51 / 52:
        assert fitted == pytest.approx(temperature, rel=1e-6)
    else:  # so sure nobody can be by 50 rows
        assert confidence(logits, fitted) == pytest.approx(51 / 52)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 5))
def test_no_other_temperature_is_better(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(0, 2, (40, 5)), rng.integers(0, 5, 40)
    fitted = fit_temperature(logits, targets)
    best = negative_log_likelihood(logits, targets, fitted)
    assert best <= negative_log_likelihood(logits, targets) + 1e-12
    assert best <= negative_log_likelihood(logits, targets, min(100.0, fitted * factor)) + 1e-12


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 2))
def test_scaled_logits_have_a_scaled_temperature(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (200, 4))
    targets = np.array([rng.choice(4, p=row) for row in softmax(logits, 1.5)])
    assert fit_temperature(logits * factor, targets) == pytest.approx(factor * fit_temperature(logits, targets))


def test_the_ends_of_the_range_are_said_honestly() -> None:
    right = np.eye(3) * 5
    assert fit_temperature(right, [1, 2, 0]) == 100.0
    assert fit_temperature(right * 1e-4, [0, 1, 2]) == 0.01
    assert fit_temperature(right * 1e4, [0, 1, 2]) == 100.0
    assert fit_temperature(np.zeros((3, 3)), [0, 1, 2]) > 0


@pytest.mark.parametrize("count", [1, 2, 10, 52, 1000])
def test_a_few_right_answers_make_nobody_certain(count: int) -> None:
    """After N right of N the next is right with (N + 1) / (N + 2): Laplace's rule of succession."""
    rng = np.random.default_rng(count)
    labels = rng.integers(0, 3, count)
    logits = rng.uniform(0, 1, (count, 3)) + 1.5 * np.eye(3)[labels]
    fitted = fit_temperature(logits, labels)
    assert confidence(logits, fitted) == pytest.approx(most_confidence(count)) == (count + 1) / (count + 2)
    assert fitted > 0.05
    # One that is hardly wrong makes it no surer.
    logits[0] = 0
    logits[0, (labels[0] + 1) % 3] = 0.001
    if count > 1:
        assert confidence(logits, fit_temperature(logits, labels)) <= (count + 1) / (count + 2) + 1e-9


def test_the_bound_leaves_real_fits_as_they_are() -> None:
    """With the size of PublicTest and its share of right answers the bound is far away."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (3589, 7))
    labels = np.array([rng.choice(7, p=row) for row in softmax(logits, 0.857)])
    fitted = fit_temperature(logits, labels)
    losses = {t: negative_log_likelihood(logits, labels, t) for t in (fitted, 0.999 * fitted, 1.001 * fitted)}
    assert min(losses, key=losses.__getitem__) == fitted
    assert fitted == pytest.approx(0.857, abs=0.03)


@given(LOGITS, st.integers(1, 30))
def test_the_calibration_error_is_a_share(logits: np.ndarray, bins: int) -> None:
    probabilities = softmax(logits)
    error = expected_calibration_error(probabilities, np.zeros(len(logits), np.int64), bins)
    assert 0 <= error <= 1
    assert expected_calibration_error(probabilities, probabilities, bins) == pytest.approx(0, abs=1e-12)


def test_the_calibration_error_of_a_case_by_hand() -> None:
    # Bin (0.6, 0.8]: confidences 0.7 and 0.8, one right; bin (0.8, 1.0]: 0.9, right.
    probabilities = np.array([[0.7, 0.3], [0.2, 0.8], [0.9, 0.1]])
    assert expected_calibration_error(probabilities, [0, 0, 0], bins=5) == pytest.approx((0.5 + 0.1) / 3)


@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        (np.zeros((0, 3)), np.zeros(0, int)),
        (np.zeros(3), np.zeros(3, int)),
        (np.zeros((2, 3)), [0, 3]),
        (np.zeros((2, 3)), [0, -1]),
        (np.zeros((2, 3)), [0]),
        (np.zeros((2, 3)), [0.0, 1.0]),
        (np.zeros((2, 3)), np.ones((2, 3))),
        (np.zeros((2, 3)), [[2, -1, 0], [1, 0, 0]]),
        (np.full((1, 3), np.nan), [0]),
    ],
)
def test_what_does_not_fit_is_refused(logits: np.ndarray, targets: np.ndarray) -> None:
    for function in (fit_temperature, negative_log_likelihood, expected_calibration_error):
        with pytest.raises(UsageError, match="calibration"):
            function(logits, targets)
