"""Several runs of one recipe: known answers, and how often intervals and tests are right where the truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from mien.metrics.classification import detailed_scores, share_interval
from mien.metrics.runs import (
    accuracies,
    accuracy_scores,
    answer_scores,
    compare_runs,
    runs_interval,
    student_quantile,
    student_tail,
)


@pytest.mark.parametrize("degrees", [1, 2, 2.7, 30, 1e5, math.inf])
def test_students_distribution_is_scipys(degrees):
    assert student_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-6)
    for t in (0.0, 0.3, 3.1, 40.0):
        assert student_tail(t, degrees) == pytest.approx(2 * stats.t.sf(t, degrees), rel=1e-6, abs=1e-12)


def test_the_variance_is_that_of_a_table_of_seeds_and_faces():
    """By the mean squares of a two-way analysis of variance, each seed with each face once."""
    right = np.random.default_rng(0).random((4, 60)) < np.linspace(0.5, 0.8, 4)[:, None]
    mean, (seeds, faces) = right.mean(), right.shape
    by_seed = faces * right.mean(axis=1).var(ddof=1)
    by_face = seeds * right.mean(axis=0).var(ddof=1)
    rest = (right - right.mean(axis=1, keepdims=True) - right.mean(axis=0) + mean) ** 2
    rest = rest.sum() / ((seeds - 1) * (faces - 1))
    assert by_seed > rest
    assert by_face > rest
    variance = (by_seed + by_face - rest) / (seeds * faces)
    of_faces = (by_face - rest) / (seeds * faces)
    degrees = variance**2 / ((by_seed / (seeds * faces)) ** 2 / (seeds - 1) + of_faces**2 / (faces - 1))
    t, count = stats.t.ppf(0.975, degrees), mean * (1 - mean) / variance
    ends = np.roots([1 + t**2 / count, -(2 * mean + t**2 / count), mean**2])  # Wilson's, as the roots that they are
    assert runs_interval(accuracies(right)) == pytest.approx(sorted(ends), abs=1e-4)


def test_runs_that_are_all_right_have_an_interval_as_one_model_has():
    low, high = runs_interval(accuracies(np.ones((3, 50), bool)))
    assert [low, high] == pytest.approx(share_interval(np.ones(50, bool)), abs=1e-4)


def test_equal_runs_say_what_one_of_them_says():
    right = np.random.default_rng(1).random(400) < 0.7
    assert runs_interval(accuracies(np.stack([right] * 3))) == pytest.approx(share_interval(right), abs=2e-3)
    test = compare_runs(accuracies(np.stack([right] * 3)), accuracies(right[None]))
    assert (test.difference, test.p_value) == (0, 1)
    assert 0 < test.interval_95[1] < 0.01
    assert accuracy_scores(right) == {
        "accuracy": pytest.approx(right.mean()),
        "accuracy_interval_95": share_interval(right),
    }


def test_scores_of_runs_are_means_of_their_scores():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 90)
    answers = np.where(rng.random((3, 90)) < 0.6, truth, rng.integers(0, 3, (3, 90)))
    found = answer_scores(truth, answers, ("a", "b", "c"))
    every = [detailed_scores(truth, own, ("a", "b", "c")) for own in answers]
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        own = [scores[name] for scores in every]
        assert found[name] == pytest.approx(np.mean(own), abs=1e-5)
        assert found[f"{name}_deviation"] == pytest.approx(np.std(own, ddof=1), abs=1e-5)
        low, high = found[f"{name}_interval_95"]
        assert low < found[name] < high
    assert found["classes"]["b"]["recall"] == pytest.approx(
        np.mean([s["classes"]["b"]["recall"] for s in every]), abs=1e-5
    )
    assert found["confusion"] == sum(np.array(s["confusion"]) for s in every).tolist()
    assert answer_scores(truth, answers[0], ("a", "b", "c")) == every[0]


def test_a_run_that_never_answers_a_class_has_no_precision_there():
    truth = np.array([0, 0, 1, 1])
    found = answer_scores(truth, np.array([[0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]]), ("a", "b"))["classes"]["b"]
    assert (found["precision"], found["recall"]) == (pytest.approx((1 + 1 / 2) / 2), 0.5)


def test_the_interval_of_a_mean_over_classes_is_that_of_the_bootstrap_over_faces():
    """Of runs that are equal, so that only the faces count."""
    rng = np.random.default_rng(3)
    truth = rng.choice(3, 500, p=(0.6, 0.3, 0.1))
    own = np.where(rng.random(500) < 0.7, truth, rng.integers(0, 3, 500))
    found, one = (
        answer_scores(truth, np.stack([own] * 3), ("a", "b", "c")),
        detailed_scores(truth, own, ("a", "b", "c")),
    )
    for name in ("balanced_accuracy_interval_95", "macro_f1_interval_95"):
        assert found[name] == pytest.approx(one[name], abs=0.012)


def drawn(rng, seeds, faces, of_seed, of_face, better=0.0):
    """Answers of runs whose seeds differ, on faces that differ: right where the sum is above 0."""
    luck = rng.normal(0, of_seed, (seeds, 1)) + rng.normal(0, 0.7, (seeds, faces))
    return 1.2 + better + luck + of_face > 0


@pytest.mark.parametrize("of_seed", [0.0, 0.1, 0.3])
def test_intervals_hold_the_truth_as_often_as_they_say(of_seed):
    rng = np.random.default_rng(4)
    truth = stats.norm.cdf(1.2 / math.sqrt(of_seed**2 + 1.5**2 + 0.7**2))
    held = false_alarms = 0
    for _ in range(300):
        of_face = rng.normal(0, 1.5, 400)
        first, second = (accuracies(drawn(rng, 4, 400, of_seed, of_face)) for _ in range(2))
        low, high = runs_interval(first)
        held += low <= truth <= high
        false_alarms += compare_runs(first, second).p_value < 0.05
    assert held >= 0.92 * 300
    assert false_alarms <= 0.07 * 300


@pytest.mark.parametrize("score", ["balanced_accuracy", "macro_f1"])
def test_the_interval_of_a_mean_over_classes_holds_the_truth_where_a_class_is_rare(score):
    """Often all faces of it are right in all runs, which says less than that all faces ever will be."""
    rng, held = np.random.default_rng(6), 0
    chance = np.diag((0.6, 0.385, 0.015)) @ ((0.98, 0.02, 0.0), (0.05, 0.95, 0.0), (0.05, 0.0, 0.95))
    hits, faces, answered = np.diag(chance), chance.sum(axis=1), chance.sum(axis=0)
    truth = np.mean(hits / faces if score == "balanced_accuracy" else 2 * hits / (faces + answered))
    for _ in range(150):
        labels, answers = np.divmod(rng.choice(9, 1000, p=chance.ravel()), 3)
        low, high = answer_scores(labels, np.stack([answers] * 3), ("a", "b", "c"))[f"{score}_interval_95"]
        held += low <= truth <= high
    assert held >= 0.93 * 150


def test_a_better_recipe_is_found_and_one_lucky_file_is_not_its_recipe():
    rng = np.random.default_rng(5)
    of_face = rng.normal(0, 1.5, 3000)
    worse, better = (accuracies(drawn(rng, 5, 3000, 0.05, of_face, more)) for more in (0.0, 0.3))
    test = compare_runs(better, worse)
    assert test.p_value < 0.01
    assert test.interval_95[0] > 0
    back = compare_runs(worse, better)
    assert (back.difference, back.p_value) == (-test.difference, test.p_value)
    assert back.interval_95 == pytest.approx((-test.interval_95[1], -test.interval_95[0]))
