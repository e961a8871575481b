from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.classify.calibration import fit_temperature, negative_log_likelihood, softmax
from mien.classify.class_scaling import calibrated, fit_class_scaling, scale_classes
from mien.errors import UsageError
from mien.zoo import Head

LABELS = ("a", "b", "c")
UNEVEN = Head("x", LABELS, 0.8, ((10.0, 2.0), (48.0, 0.8)), (1.5, 1.0, 0.7), (-0.4, 0.1, 0.3))


def logits(rows: int, seed: int = 0, classes: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (rows, classes))


def nll(probabilities: np.ndarray, targets: np.ndarray) -> float:
    return negative_log_likelihood(np.log(probabilities), targets)


def fitted_head(values: np.ndarray, targets: np.ndarray) -> Head:
    temperature, scale, bias = fit_class_scaling(values, targets, fit_temperature(values, targets))
    return Head("x", LABELS[: values.shape[1]], temperature, (), tuple(scale), tuple(bias))


def test_without_numbers_of_classes_it_is_the_temperature_alone():
    values, head = logits(5), Head("x", LABELS, 0.5)
    np.testing.assert_array_equal(calibrated(values, head), softmax(values, 0.5))
    assert scale_classes(values, head) is values


def test_scale_and_bias_come_before_the_temperature_of_the_face():
    values = logits(2)
    centred = values - values.mean(axis=1, keepdims=True)
    scaled = centred * [1.5, 1.0, 0.7] + [-0.4, 0.1, 0.3]
    np.testing.assert_allclose(calibrated(values, UNEVEN), softmax(scaled, 0.8))
    np.testing.assert_allclose(calibrated(values, UNEVEN, np.array([10.0, 99.0])), softmax(scaled, [2.0, 0.8]))


@given(st.integers(0, 2**32 - 1), st.floats(-50, 50))
def test_a_constant_says_nothing(seed: int, constant: float):
    values = logits(4, seed)
    np.testing.assert_allclose(calibrated(values + constant, UNEVEN), calibrated(values, UNEVEN), atol=1e-9)


def test_single_precision_stays():
    assert calibrated(logits(3).astype(np.float32), UNEVEN).dtype == np.float32


def test_whole_numbers_are_scaled_by_fractions():
    values = logits(3).round()
    np.testing.assert_array_equal(scale_classes(values.astype(np.int32), UNEVEN), scale_classes(values, UNEVEN))


def test_what_made_the_targets_is_found_again():
    values = logits(20_000)
    truth = calibrated(values, UNEVEN)
    np.testing.assert_allclose(calibrated(values, fitted_head(values, truth)), truth, atol=0.02)
    assert np.abs(softmax(values, fit_temperature(values, truth)) - truth).max() > 0.1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(3, 400))
def test_the_solution_is_the_best_that_the_hold_allows(seed: int, rows: int):
    """Neither a bit more nor a bit less of any number is better, where few answers do not bound the confidence."""
    random = np.random.default_rng(seed)
    values, targets = logits(rows, seed, 4), random.dirichlet(np.ones(4), rows)
    temperature = fit_temperature(values, targets)
    found, scale, bias = fit_class_scaling(values, targets, temperature)
    centred = (values - values.mean(axis=1, keepdims=True)) / temperature

    def objective(numbers: np.ndarray) -> float:
        scaled = centred * numbers[:4] + numbers[4:]
        held = 16 * (((numbers[:4] - 1) ** 2).sum() + (numbers[4:] ** 2).sum())
        return rows * negative_log_likelihood(scaled, targets) + held

    best = np.concatenate([scale, bias / temperature])
    assert found == temperature
    for change in np.concatenate([np.eye(8), -np.eye(8)]) * 1e-2:
        assert objective(best + change) >= objective(best) - 1e-9


def test_it_helps_where_classes_differ_and_costs_nothing_where_they_do_not():
    values = logits(4_000)
    random = np.random.default_rng(1)
    for head, gain in ((UNEVEN, 0.01), (Head("x", LABELS, 0.8), -0.001)):
        truth = calibrated(values, head)
        targets = np.array([random.choice(3, p=row) for row in truth])
        here, there = slice(0, 2_000), slice(2_000, None)
        alone = softmax(values[there], fit_temperature(values[here], targets[here]))
        both = calibrated(values[there], fitted_head(values[here], targets[here]))
        assert nll(both, targets[there]) <= nll(alone, targets[there]) - gain


def test_few_faces_change_little():
    head = fitted_head(logits(4), np.array([0, 1, 2, 0]))
    np.testing.assert_allclose(head.class_scale, 1, atol=0.2)
    np.testing.assert_allclose(np.array(head.class_bias) / head.temperature, 0, atol=0.2)


@pytest.mark.parametrize("rows", [1, 3, 30])
def test_answers_are_no_surer_than_so_few_faces_can_warrant(rows: int):
    values = logits(rows)
    head = fitted_head(values, values.argmax(axis=1))
    assert calibrated(values, head).max(axis=1).mean() <= (rows + 1) / (rows + 2) + 1e-6


def test_a_class_that_no_face_has_and_a_network_that_errs():
    values = logits(300)
    assert np.isfinite(fitted_head(values, np.zeros(300, int)).class_scale).all()
    backwards = fitted_head(values, values.argmin(axis=1))
    assert min(backwards.class_scale) > 0
    assert np.isfinite(calibrated(values, backwards)).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="targets reach from 0 to 3"):
        fit_class_scaling(logits(2), [0, 3], 1.0)
    with pytest.raises(UsageError, match="finite"):
        fit_class_scaling([[np.nan, 0.0]], [0], 1.0)
