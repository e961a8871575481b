"""Labels from votes, held against a plain reading of the paper's rule, one row at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.ferplus import (
    VOTE_LABELS,
    ferplus_votes,
    majority,
    read_votes_csv,
    scheme_shares,
    vote_distribution,
    vote_entropy_bits,
    vote_shares,
)
from mien.errors import InputError
from mien.labels import EXPRESSIONS, SCHEMES

votes = st.lists(st.integers(0, 9), min_size=10, max_size=10).flatmap(
    # Ten annotators: each votes for one of ten.
    lambda choices: st.just([choices.count(i) for i in range(10)])
)


def plain_majority(row):
    counts = [0 if n == 1 else n for n in row]
    best = max(range(10), key=lambda i: (counts[i], -i))
    return VOTE_LABELS[best] if 2 * counts[best] > sum(counts) and best < 8 else None


def plain_distribution(row):
    left = [0 if n == 1 else n for n in row]
    total, taken = sum(left), dict.fromkeys(range(8), 0)
    while sum(taken.values()) < 0.75 * total and sum(n > 0 for n in taken.values()) < 3:
        most = max(left)
        if most == 0:
            break
        drawn = [i for i in range(10) if left[i] == most]
        for i in drawn:
            if i < 8:
                taken[i] = most
            left[i] = 0
        if any(i >= 8 for i in drawn):
            break
    kept = sum(taken.values()) > 0.5 * total and sum(n > 0 for n in taken.values()) <= 3
    if not kept:
        return None
    return {VOTE_LABELS[i]: n / sum(taken.values()) for i, n in taken.items()}


@settings(max_examples=300, deadline=None)
@given(votes)
def test_majority_follows_the_rule(row):
    found = majority(np.array([row]))[0]
    assert (EXPRESSIONS[found] if found >= 0 else None) == plain_majority(row)


@settings(max_examples=300, deadline=None)
@given(votes)
def test_distribution_follows_the_rule(row):
    distribution, kept = vote_distribution(np.array([row]))
    expected = plain_distribution(row)
    assert bool(kept[0]) == (expected is not None)
    if expected is not None:
        assert distribution[0] == pytest.approx([expected[name] for name in EXPRESSIONS])


@settings(max_examples=100, deadline=None)
@given(votes)
def test_entropy_is_within_its_bounds(row):
    (entropy,) = vote_entropy_bits(np.array([row]))
    assert 0 <= entropy <= np.log2(10) + 1e-9
    assert (entropy == 0) == (max(row) == sum(row))


def test_votes_file_names_its_damage(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("a,b\n")
    with pytest.raises(InputError, match="columns are a, b; expected usage, image name, neutral"):
        read_votes_csv(path)
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    path.write_text(header + "Training,,1,2,3\n")
    with pytest.raises(InputError, match=r"row 0 \(line 2\): votes \['1', '2', '3'\]; expected ten"):
        read_votes_csv(path)


def test_votes_go_by_name():
    votes = np.array([[3, 1, 0, 6], [0, 0, 0, 0], [0, 0, 0, 10]])
    shares, known = vote_shares(votes, ("happy", "sad", "fear", "not_face"), ("sad", "happy", "angry"))
    np.testing.assert_allclose(shares, [[0.25, 0.75, 0], [0, 0, 0], [0, 0, 0]])
    assert known.tolist() == [True, False, False]
    assert vote_shares(np.array([[1, 0]]), ("happy", "sad"), ("happy",))[1].tolist() == [True], "one vote is a vote"


def test_votes_of_several_classes_add_up():
    votes = np.array([[2, 1, 3, 4]])
    shares, known = scheme_shares(votes, ("happy", "angry", "sad", "surprise"), SCHEMES["valence3"])
    np.testing.assert_allclose(shares, [[2 / 6, 0, 4 / 6]])
    assert known.tolist() == [True]


def test_the_order_of_the_choices_is_by_name():
    order = np.random.default_rng(0).permutation(10)
    votes = np.arange(20, dtype=np.uint8).reshape(2, 10)
    names = [VOTE_LABELS[i] for i in order]
    np.testing.assert_array_equal(ferplus_votes(votes[:, order], names), votes)
    assert ferplus_votes(None, VOTE_LABELS) is None
    assert ferplus_votes(votes[:, :7], EXPRESSIONS[:7]) is None
