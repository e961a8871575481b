from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.metrics.paired import difference_interval, exact_mcnemar, holm, paired_test

COUNTS = st.integers(0, 60)


@given(COUNTS, COUNTS)
def test_mcnemar_is_the_sum_of_all_outcomes_as_extreme(first: int, second: int) -> None:
    count = first + second
    extreme = sum(comb(count, k) for k in range(count + 1) if abs(2 * k - count) >= abs(first - second))
    assert exact_mcnemar(first, second) == pytest.approx(float(Fraction(extreme, 2**count)), rel=1e-12)
    assert exact_mcnemar(first, second) == exact_mcnemar(second, first)
    assert 0 < exact_mcnemar(first, second) <= 1


def test_mcnemar_of_known_cases() -> None:
    assert exact_mcnemar(0, 0) == 1
    assert exact_mcnemar(0, 5) == 2 / 32
    assert exact_mcnemar(10, 10) == 1
    assert exact_mcnemar(3000, 3200) == pytest.approx(0.01138, abs=2e-4)  # normal approximation with continuity


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_a_paired_test_turns_round_with_its_models(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.random(rows) < 0.7, rng.random(rows) < 0.6
    there, back = paired_test(first, second), paired_test(second, first)
    assert there.difference == -back.difference == pytest.approx(first.mean() - second.mean(), abs=1e-5)
    assert (there.only_first, there.only_second) == (back.only_second, back.only_first)
    assert there.p_value == back.p_value
    assert there.interval_95 == (-back.interval_95[1], -back.interval_95[0])
    assert -1 <= there.interval_95[0] < there.interval_95[1] <= 1


def test_a_model_is_not_better_than_itself() -> None:
    right = np.arange(50) % 3 > 0
    test = paired_test(right, right)
    assert (test.difference, test.p_value) == (0, 1)
    assert -test.interval_95[0] == test.interval_95[1] == pytest.approx(0.0533, abs=1e-4), "50 faces are not all faces"


@pytest.mark.parametrize(("rows", "first", "second"), [(100, 0.01, 0.0), (300, 0.02, 0.002), (2000, 0.06, 0.05)])
def test_the_interval_of_a_difference_covers_it(rows: int, first: float, second: float) -> None:
    drawn = np.random.default_rng(3).multinomial(rows, [first, second, 1 - first - second], 4000)
    bounds = np.array([difference_interval(a, b, rows) for a, b, _ in drawn.tolist()])
    assert ((bounds[:, 0] <= first - second) & (first - second <= bounds[:, 1])).mean() > 0.94


@pytest.mark.parametrize(("first", "second"), [(186, 247), (1800, 90)])
def test_the_interval_of_many_rows_is_that_of_the_bootstrap(first: int, second: int) -> None:
    shares = np.array([first, second, 3589 - first - second]) / 3589
    draws = np.random.default_rng(0).multinomial(3589, shares, 20_000)
    bootstrap = np.quantile((draws[:, 0] - draws[:, 1]) / 3589, (0.025, 0.975))
    np.testing.assert_allclose(difference_interval(first, second, 3589), bootstrap, atol=1e-3)


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=6))
def test_adjusted_p_values_are_never_smaller_and_keep_their_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert min(adjusted) == pytest.approx(min(1, len(values) * min(values)))
    for a, b in zip(values, adjusted, strict=True):
        assert b >= a
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
