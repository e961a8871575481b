import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import UsageError
from mien.train.options import ScheduleOptions
from mien.train.schedule import Budget, LearningRate

KINDS = ("cosine", "one-cycle", "plateau", "constant")


@given(
    kind=st.sampled_from(KINDS),
    progress=st.floats(0, 1),
    steps=st.integers(0, 10_000),
    warmup=st.floats(0, 20),
    rate=st.floats(1e-6, 10),
)
def test_a_rate_is_never_above_the_largest_nor_below_zero(kind, progress, steps, warmup, rate):
    schedule = LearningRate(ScheduleOptions(schedule=kind, warmup_epochs=warmup), rate, 7)
    assert 0 <= schedule.at(progress, steps) <= rate * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["cosine", "one-cycle"])
@given(progress=st.floats(0.31, 1))
def test_it_falls_to_zero_at_the_end(kind, progress):
    schedule = LearningRate(ScheduleOptions(schedule=kind), 0.1, 10)
    assert schedule.at(1.0, 10_000) == pytest.approx(0, abs=1e-12)
    assert schedule.at(progress, 10_000) >= schedule.at(min(1.0, progress + 0.01), 10_000)


def test_warm_up_grows_step_by_step():
    schedule = LearningRate(ScheduleOptions(schedule="constant", warmup_epochs=2), 0.4, 5)
    assert [schedule.at(0.0, step) for step in range(12)] == pytest.approx(
        [0.04 * step for step in range(1, 11)] + [0.4, 0.4]
    )


def test_one_cycle_peaks_where_it_should():
    schedule = LearningRate(ScheduleOptions(schedule="one-cycle", peak_share=0.25, warmup_epochs=2), 1.0, 10)
    rates = [schedule.at(part / 100, part) for part in range(101)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates.index(max(rates)) == 25
    assert max(rates) == 1.0
    # Half-way up and half-way down.
    assert [schedule.at(part, 1) for part in (0.125, 0.625)] == pytest.approx([(1 / 25 + 1) / 2, 0.5])


def test_plateau_falls_after_epochs_without_better():
    options = ScheduleOptions(schedule="plateau", warmup_epochs=0, plateau_patience=2, plateau_factor=0.1)
    schedule = LearningRate(options, 1.0, 1)
    rates = []
    for metric in (0.5, 0.6, 0.6, 0.55, 0.7, 0.1, 0.1, 0.1, 0.1):
        schedule.epoch_done(metric)
        rates.append(schedule.at(0.5, 9))
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])


def test_plateau_goes_on_from_its_state():
    options = ScheduleOptions(schedule="plateau", warmup_epochs=0, plateau_patience=2, plateau_factor=0.1)
    one, other = LearningRate(options, 1.0, 1), LearningRate(options, 1.0, 1)
    one.load_state(one.state())  # before any epoch, too
    for metric in (0.9, 0.5):
        one.epoch_done(metric)
    other.load_state(one.state())
    for metric in (0.8, 0.95):
        one.epoch_done(metric)
        other.epoch_done(metric)
        assert one.at(0.5, 3) == other.at(0.5, 3)
    assert one.at(0.5, 3) == pytest.approx(0.1)


def test_a_budget_in_epochs_counts_steps():
    budget = Budget(ScheduleOptions(epochs=4), 10)
    assert [budget.progress(steps, 1e9) for steps in (0, 10, 20, 40, 50)] == [0, 0.25, 0.5, 1, 1]
    assert budget.epochs == 4


def test_a_budget_in_minutes_goes_by_the_clock():
    budget = Budget(ScheduleOptions(epochs=4, minutes=2), 10)
    assert [budget.progress(10**9, seconds) for seconds in (0, 30, 120, 500)] == [0, 0.25, 1, 1]
    assert budget.epochs is None
    budget.reserved_s = 40  # for the last validation
    assert [budget.progress(10**9, seconds) for seconds in (40, 80)] == [0.5, 1]
    budget.reserved_s = 100  # at least half is for training
    assert budget.progress(10**9, 45) == 0.75


@pytest.mark.parametrize(
    "wrong", [{"minutes": 0}, {"epochs": 0}, {"schedule": "linear"}, {"warmup_epochs": -1}, {"minutes": math.nan}]
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(UsageError):
        ScheduleOptions(**wrong)
