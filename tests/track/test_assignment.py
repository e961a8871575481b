"""The pairing is the best one there is."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.track.assignment import assign


def best_sum(affinity):
    """By trying everything."""
    rows, columns = affinity.shape
    if rows > columns:
        return best_sum(affinity.T)
    return max(
        sum(affinity[r, c] for r, c in enumerate(order)) for order in itertools.permutations(range(columns), rows)
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1), st.floats(0, 0.9))
def test_the_sum_is_the_largest(rows, columns, seed, empty):
    rng = np.random.default_rng(seed)
    affinity = rng.random((rows, columns)) * (rng.random((rows, columns)) >= empty)
    pairs = assign(affinity)
    assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
    assert all(affinity[pair] > 0 for pair in pairs)
    assert sum(affinity[pair] for pair in pairs) == pytest.approx(best_sum(affinity))


def test_nothing_to_pair():
    assert assign(np.zeros((0, 3))) == []
    assert assign(np.zeros((2, 0))) == []
    assert assign(np.zeros((2, 2))) == []


def test_a_crowd_is_paired_quickly():
    import time

    affinity = np.random.default_rng(0).random((100, 100))
    start_s = time.process_time()
    assert len(assign(affinity)) == 100
    assert time.process_time() - start_s < 1.0
