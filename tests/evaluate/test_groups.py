"""Groups held against each other at the same labels: against textbook formulas, by simulation, in a report."""

import csv
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import UsageError
from mien.evaluate import evaluate_model
from mien.evaluate.groups import group_scores, stratified_difference
from mien.evaluate.page import p_text
from mien.labels import FER7
from mien.metrics.paired import holm
from mien.opencv import encode_png
from tests.sets import smooth_faces

NAMES = ("happy", "sad")


def bits(shares, counts):
    """A bool array with `shares[i] * counts[i]` ones in each part."""
    return np.concatenate([np.arange(n) < round(share * n) for share, n in zip(shares, counts, strict=True)])


def test_one_stratum_is_the_plain_difference_and_the_chi_square_test():
    """With one class: the difference of two shares, and Pearson's test but for a factor of (N - 1) / N."""
    stats = pytest.importorskip("scipy.stats")
    happened, inside = bits([0.6, 0.8], [50, 120]), np.arange(170) < 50
    found = stratified_difference(happened, inside, np.zeros(170, np.int64))
    assert found.difference == pytest.approx(0.6 - 0.8)
    pearson = stats.chi2_contingency([[30, 20], [96, 24]], correction=False).statistic
    assert found.p_value == pytest.approx(stats.chi2.sf(pearson * 169 / 170, 1), rel=1e-9)
    plain = 1.96 * math.sqrt(0.6 * 0.4 / 50 + 0.8 * 0.2 / 120)
    assert found.interval_95 == pytest.approx((-0.2 - plain, -0.2 + plain), abs=0.01)


def test_groups_that_only_show_other_expressions_are_equal():
    """Simpson's paradox: who smiles more is read better in all, and no better at the same labels."""
    # Happy faces are read rightly in 9 of 10 cases, sad ones in 5 of 10, whoever they are.
    label = np.concatenate([np.repeat([0, 1], [80, 20]), np.repeat([0, 1], [20, 80])])
    right = bits([0.9, 0.5, 0.9, 0.5], [80, 20, 20, 80])
    group = np.repeat(["young", "old"], 100)
    found = group_scores({"age": group}, label, np.where(right, label, 1 - label), np.full(200, 0.8), NAMES)
    young, old = (found["age"]["groups"][name] for name in ("young", "old"))
    assert (young["accuracy"], old["accuracy"]) == (0.82, 0.58)
    assert young["right"]["difference"] == old["right"]["difference"] == 0
    assert young["right"]["p_value_holm"] == 1


def test_a_true_difference_is_found_with_its_sign_and_who_is_taken_for_what():
    label = np.tile(np.repeat([0, 1], 200), 2)
    right = bits([0.9, 0.8, 0.7, 0.8], [200] * 4)
    group = np.repeat(["a", "b"], 400)
    found = group_scores({"g": group}, label, np.where(right, label, 1 - label), np.full(800, 0.8), NAMES)["g"]
    assert found["groups"]["b"]["right"]["difference"] == pytest.approx(-0.1)
    assert found["groups"]["b"]["right"]["p_value_holm"] < 0.001
    # b's happy faces are taken for sad more often; its sad ones are taken for happy as often as a's.
    assert found["groups"]["b"]["taken_for"]["sad"]["difference"] == pytest.approx(0.2)
    assert found["groups"]["b"]["taken_for"]["happy"]["difference"] == 0


def test_a_small_p_value_is_not_called_nothing():
    happened, labels = bits([0.9, 0.5], [600, 600]), np.zeros(1200, np.int64)
    values = np.where(np.arange(1200) < 600, "a", "b")
    found = group_scores({"side": values}, labels, np.where(happened, 0, 1), np.ones(1200), NAMES)
    p_value = found["side"]["groups"]["a"]["right"]["p_value_holm"]
    assert 0 < p_value < 1e-30
    assert p_text(p_value).endswith(f"e{math.floor(math.log10(p_value))}")
    assert [p_text(value) for value in (0.0421, 0.0004, 0.0)] == ["0.042", "4e-04", "<1e-99"]


@pytest.mark.parametrize("rows", [5, 500])
def test_a_group_that_is_always_read_rightly_is_not_known_for_certain(rows):
    inside = np.arange(4 * rows) < rows
    found = stratified_difference(np.ones(4 * rows, bool), inside, np.arange(4 * rows) % 2)
    assert (found.difference, found.p_value) == (0, 1)
    low, high = found.interval_95
    assert low < -high < 0, "the group is the smaller side: it may be worse than known more than better"
    assert (high - low) / 2 == pytest.approx(2.3 / (rows + 2), rel=0.2)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    stratum, inside = np.repeat(np.arange(4), 60), np.tile(np.arange(60) < 15, 4)
    chance = np.array([0.9, 0.7, 0.5, 0.6])[stratum] - 0.1 * inside
    found = [stratified_difference(rng.random(240) < chance, inside, stratum) for _ in range(2000)]
    held = np.mean([low <= -0.1 <= high for _, (low, high), _ in found])
    assert 0.935 < held < 0.965
    assert np.mean([difference for difference, *_ in found]) == pytest.approx(-0.1, abs=0.005)
    chance = chance + 0.1 * inside
    by_luck = [stratified_difference(rng.random(240) < chance, inside, stratum).p_value for _ in range(2000)]
    assert [np.mean(np.array(by_luck) < level) for level in (0.05, 0.3)] == pytest.approx([0.05, 0.3], abs=0.03)


@pytest.mark.parametrize(("rows", "chance"), [(3, (0.9, 0.6)), (20, (0.9, 0.9)), (3, (0.5, 0.5))])
def test_intervals_of_small_groups_hold_the_truth_as_often_as_they_say(rows, chance):
    """Those of the same width around the measured difference did so in 77 to 92 of 100 cases."""
    rng = np.random.default_rng(0)
    inside, held = np.arange(rows + 900) < rows, []
    for _ in range(1000):
        stratum = rng.integers(0, 2, rows + 900)
        low, high = stratified_difference(rng.random(rows + 900) < np.array(chance)[stratum], inside, stratum)[1]
        held.append(low <= 0 <= high)
    assert np.mean(held) > 0.93


def test_small_groups_are_no_worse_by_chance():
    """One in ten groups of three has a wrong answer: by the chi-square test, some group was worse every other time."""
    rng = np.random.default_rng(0)
    group, false_alarms = np.repeat(np.arange(12), [3] * 11 + [900]), 0
    for _ in range(200):
        label, right = rng.integers(0, 2, len(group)), rng.random(len(group)) < 0.97
        found = [stratified_difference(right, group == own, label) for own in range(12)]
        false_alarms += min(holm([one.p_value for one in found])) < 0.05
    assert false_alarms <= 0.07 * 200


def test_the_test_of_few_wrong_answers_is_fishers():
    stats = pytest.importorskip("scipy.stats")
    happened, inside = bits([0.75, 0.98], [4, 200]), np.arange(204) < 4
    found = stratified_difference(happened, inside, np.zeros(204, np.int64))
    assert found.p_value == pytest.approx(stats.fisher_exact([[3, 1], [196, 4]]).pvalue)
    # A class in which all are right has no say.
    with_another = stratified_difference(
        np.concatenate([happened, np.ones(60, bool)]),
        np.concatenate([inside, np.arange(60) < 20]),
        np.repeat([0, 1], [204, 60]),
    )
    assert with_another.p_value == pytest.approx(found.p_value)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), max_size=60))
def test_the_other_side_sees_the_same_turned_round(rows):
    happened, inside = (np.array([row[i] for row in rows], np.bool_) for i in (0, 1))
    stratum = np.array([row[2] for row in rows], np.int64)
    one, other = (stratified_difference(happened, side, stratum) for side in (inside, ~inside))
    if one is None:
        assert other is None
        return
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval_95 == pytest.approx((-other.interval_95[1], -other.interval_95[0]))
    assert one.p_value == pytest.approx(other.p_value)
    assert -1 <= one.interval_95[0] <= one.difference <= one.interval_95[1] <= 1
    assert 0 <= one.p_value <= 1


def test_two_groups_are_one_test():
    """Both sides of one comparison are not adjusted for two."""
    rng = np.random.default_rng(1)
    label, answers = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
    two = group_scores({"g": np.repeat(["a", "b"], 150)}, label, answers, np.full(300, 0.5), NAMES)["g"]["groups"]
    assert two["a"]["right"]["p_value_holm"] == two["a"]["right"]["p_value"] == two["b"]["right"]["p_value_holm"]
    three = group_scores({"g": np.repeat(["a", "b", "c"], 100)}, label, answers, np.full(300, 0.5), NAMES)["g"][
        "groups"
    ]
    assert max(own["right"]["p_value_holm"] for own in three.values()) >= max(
        own["right"]["p_value"] for own in three.values()
    )


def test_groups_that_share_no_class_are_not_compared():
    label = np.repeat([0, 1], 5)
    found = group_scores({"g": np.repeat(["a", "b"], 5)}, label, label, np.full(10, 0.9), NAMES)["g"]["groups"]
    assert found["a"]["right"] is None
    assert found["a"]["taken_for"] == {"happy": None, "sad": None}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "validation.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "gender", "one", "name"])
        for i, image in enumerate(smooth_faces(28)):
            (tmp_path / f"{i}.png").write_bytes(encode_png(image))
            writer.writerow([f"{i}.png", FER7[i % 7], "" if i == 0 else ("female", "male")[i % 2], "same", f"n{i}"])
    return tmp_path


def test_a_model_is_scored_by_group(table):
    found = evaluate_model("tiny", table, by="Gender", ten_views=False).to_dict()["by"]
    assert found["gender"]["unknown"] == 1
    assert [own["images"] for own in found["gender"]["groups"].values()] == [13, 14]
    assert evaluate_model("tiny", table, ten_views=False).to_dict()["by"] == {}


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("one", r"'one' has only the value same in this split; expected two groups"),
        ("name", r"'name' has 28 values, such as n0; expected at most 12 groups, or numbers"),
        ("skin", r"has no column skin; it has image, label, gender, one, name"),
    ],
)
def test_attributes_that_make_no_groups_are_refused(table, by, said):
    with pytest.raises(UsageError, match=said):
        evaluate_model("tiny", table, by=by, ten_views=False)
