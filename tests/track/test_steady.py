"""Averages in seconds, and an expression that neither flickers nor sticks."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.labels import FER7
from mien.track import Steady
from tests.fakes import make_face

shares = st.lists(st.floats(0.001, 1), min_size=7, max_size=7).map(
    lambda values: dict(zip(FER7, (np.array(values) / sum(values)).tolist(), strict=True))
)


def face(probabilities, track_id=1, **changes):
    return make_face(probabilities=probabilities, track_id=track_id, **changes)


def only(label, probability):
    return make_face(label, probability).probabilities


def changes(labels):
    return sum(a != b for a, b in itertools.pairwise(labels))


@given(shares, shares, st.integers(8, 120), st.floats(0.05, 2.0))
def test_the_time_constant_does_not_depend_on_the_frame_rate(before, after, rate, smooth_s):
    steady = Steady(smooth_s)
    steady.update(face(before), 0.0)
    for number in range(1, rate + 1):
        seen = steady.update(face(after), number / rate)
    left = math.exp(-1.0 / smooth_s)
    average = {label: before[label] * left + after[label] * (1 - left) for label in FER7}
    # Only the labels that wait for each other are changed, and their sum is not.
    assert sum(seen.probabilities.values()) == pytest.approx(1.0)
    if max(average, key=average.__getitem__) == seen.expression:
        assert seen.probabilities == pytest.approx(average, abs=1e-6)
    else:  # ahead by a hair of those that wait
        assert average[seen.expression] * 3.0 > max(average.values())
        second, first = sorted(seen.probabilities.values())[-2:]
        assert 0 <= first - second < 1e-3  # exactly equal: the first of them in the order of the labels is reported
        for label in FER7:
            if label != seen.expression and average[label] < second - 1e-3:
                assert seen.probabilities[label] == pytest.approx(average[label], abs=1e-6)


@settings(deadline=None)
@given(st.lists(shares, min_size=2, max_size=40), st.floats(0.01, 0.5), st.floats(0.01, 1.0))
def test_what_is_reported_is_always_a_distribution(sequence, interval_s, smooth_s):
    steady = Steady(smooth_s)
    for number, probabilities in enumerate(sequence):
        seen = steady.update(face(probabilities, not_face=0.2, unknown=0.1), number * interval_s)
        assert sum(seen.probabilities.values()) == pytest.approx(1.0)
        assert min(seen.probabilities.values()) >= 0
        assert list(seen.probabilities) == list(FER7)
        assert seen.not_face == pytest.approx(0.2)


@given(
    st.sampled_from(list(itertools.permutations(("happy", "sad", "neutral", "angry"), 2))),
    st.floats(0.7, 0.98),
    st.floats(0.7, 0.98),
    st.integers(15, 120),
)
def test_a_real_change_is_reported_within_400_ms(labels, sure_before, sure_after, rate):
    steady = Steady(0.2)
    for number in range(2 * rate):
        steady.update(face(only(labels[0], sure_before)), number / rate)
    # The first frame of the new expression is at 2 s; its reading belongs to the change.
    for number in range(2 * rate, 4 * rate):
        if steady.update(face(only(labels[1], sure_after)), number / rate).expression == labels[1]:
            assert number / rate - 2.0 <= 0.4
            return
    pytest.fail("the change was never reported")


def test_the_first_reading_stays_though_the_other_labels_are_close():
    close = {**dict.fromkeys(FER7, 0.116), "neutral": 0.22, "sad": 0.2}
    steady = Steady(0.2)
    assert [steady.update(face(close), n / 30).probabilities for n in range(3)] == [pytest.approx(close)] * 3


def test_a_faint_change_is_reported_after_a_moment():
    steady = Steady(0.2)
    for number in range(150):
        steady.update(face(only("neutral", 0.8)), number / 30)
    faint = {**dict.fromkeys(FER7, 0.04), "neutral": 0.32, "sad": 0.48}
    said = [steady.update(face(faint), 5 + number / 30).expression for number in range(150)]
    assert said[-1] == "sad"
    assert changes(said) == 1
    assert 0.4 < said.index("sad") / 30 < 4.0


def test_a_label_that_two_others_overtake_in_turn_is_given_up():
    steady = Steady(0.2)
    for number in range(150):
        steady.update(face(only("neutral", 0.8)), number / 30)
    both = [
        {**dict.fromkeys(FER7, 0.04), "neutral": 0.2, "sad": 0.28, "fear": 0.28, first: 0.36}
        for first in ("sad", "fear")
    ]
    said = [steady.update(face(both[number // 15 % 2]), 5 + number / 30).expression for number in range(300)]
    assert 0.4 < next(n for n, label in enumerate(said) if label != "neutral") / 30 < 4.0
    assert changes(said) == 1


@pytest.mark.parametrize(("rate", "sigma"), [(10, 0.5), (30, 1.0), (60, 1.0)])
@pytest.mark.parametrize("lead", [0.0, 0.3, 1.0])
def test_noise_changes_the_label_at_most_once_in_ten_seconds(rate, sigma, lead):
    """Two labels about equally likely, with noise of up to a whole logit in every frame."""
    worst = 0
    raw = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        logits = rng.normal(0, sigma, (10 * rate, 7)) + np.array([2 + lead, 0, 0, 2, 0, 0, 0.5])
        values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        steady = Steady(0.2)
        faces = [face(dict(zip(FER7, row, strict=True))) for row in values.tolist()]
        raw += changes([one.expression for one in faces])
        worst = max(worst, changes([steady.update(one, n / rate).expression for n, one in enumerate(faces)]))
    assert worst <= 1
    assert raw > 50


def test_persons_are_averaged_apart():
    steady = Steady(0.2)
    for number in range(30):
        happy = steady.update(face(only("happy", 0.9), track_id=1), number / 30)
        sad = steady.update(face(only("sad", 0.9), track_id=2), number / 30)
    assert happy.probabilities == pytest.approx(only("happy", 0.9))
    assert sad.probabilities == pytest.approx(only("sad", 0.9))


def test_box_and_landmarks_are_those_of_the_frame():
    steady = Steady(0.2)
    steady.update(face(only("happy", 0.9)), 0.0)
    moved = face(only("sad", 0.9), box_xyxy=(50.0, 60.0, 100.0, 130.0))
    seen = steady.update(moved, 0.03)
    assert (seen.box_xyxy, seen.landmarks_xy, seen.score) == (moved.box_xyxy, moved.landmarks_xy, moved.score)
    assert seen.expression == "happy"


def test_zero_passes_faces_unchanged():
    steady = Steady(0.0)
    for label in ("happy", "sad"):
        one = face(only(label, 0.9))
        assert steady.update(one, 0.0) is one


def test_a_person_who_is_forgotten_starts_anew():
    steady = Steady(0.2)
    steady.update(face(only("happy", 0.9)), 0.0)
    steady.update(face(only("happy", 0.9), track_id=2), 0.0)
    steady.keep({2, 7})
    assert steady.update(face(only("sad", 0.9)), 0.03).expression == "sad"
    assert steady.update(face(only("sad", 0.9), track_id=2), 0.03).expression == "happy"
