from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.train.expression.order import epoch_order, steps_in_epoch


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 64), st.integers(1, 3), st.booleans())
def test_every_row_comes_as_often_as_whole_batches_allow(rows: int, batch: int, world: int, grouped: bool) -> None:
    groups = np.arange(rows) // 7 if grouped else None
    order = epoch_order(rows, batch, seed=1, epoch=0, world_size=world, groups=groups)
    assert order.shape == (steps_in_epoch(rows, batch, world), world, batch)
    counts = np.bincount(order.ravel(), minlength=rows)
    assert counts.max() - counts.min() <= 1
    assert len(counts) == rows


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first = epoch_order(500, 32, seed=1, epoch=0)
    np.testing.assert_array_equal(first, epoch_order(500, 32, seed=1, epoch=0))
    assert not np.array_equal(first, epoch_order(500, 32, seed=1, epoch=1))
    assert not np.array_equal(first, epoch_order(500, 32, seed=2, epoch=0))


def test_processes_share_the_steps_of_one() -> None:
    alone = epoch_order(640, 64, seed=0, epoch=3)
    shared = epoch_order(640, 32, seed=0, epoch=3, world_size=2)
    np.testing.assert_array_equal(shared.reshape(alone.shape), alone)


def test_steps_are_the_nearest_whole_number() -> None:
    assert [steps_in_epoch(rows, 10) for rows in (1, 14, 16, 25, 96)] == [1, 1, 2, 2, 10]


def test_weights_draw_rows_in_proportion() -> None:
    weights = np.repeat([0.0, 1.0, 3.0], 100)
    drawn = epoch_order(300, 300, seed=0, epoch=0, weights=np.tile(weights, 1)).ravel()
    many = np.concatenate([epoch_order(300, 300, seed=0, epoch=e, weights=weights).ravel() for e in range(30)])
    counts = Counter((many // 100).tolist())
    assert counts[0] == 0
    assert 2.7 < counts[2] / counts[1] < 3.3
    assert len(np.unique(drawn)) < 300


def test_groups_that_are_stored_together_are_read_together() -> None:
    groups = np.arange(64_000) // 500
    for weights in (None, np.ones(64_000)):
        order = epoch_order(64_000, 256, seed=0, epoch=0, groups=groups, weights=weights)
        per_batch = [len(np.unique(groups[batch])) for batch in order[:, 0]]
        assert max(per_batch) <= 32
        assert np.mean(per_batch) > 12
        assert not np.array_equal(np.sort(order[0, 0]), order[0, 0])
