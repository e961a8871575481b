"""Non-maximum suppression against its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mien.detect.suppression import iou_matrix, suppress

corners = arrays(np.float32, st.tuples(st.integers(0, 25), st.just(4)), elements=st.floats(0, 40, width=32))


def boxes_of(values: np.ndarray) -> np.ndarray:
    return np.concatenate((values[:, :2], values[:, :2] + values[:, 2:] + 1), axis=1)


@given(values=corners, seed=st.integers(0, 1000))
def test_those_that_stay_are_apart_and_those_that_go_have_a_better_one(values: np.ndarray, seed: int) -> None:
    boxes = boxes_of(values)
    rank = np.random.default_rng(seed).permutation(len(boxes)).astype(np.float32)
    keep = suppress(boxes, rank, iou_threshold=0.45)
    assert (np.diff(rank[keep]) < 0).all()
    overlap = iou_matrix(boxes, boxes)
    for i in keep:
        assert all(overlap[i, j] <= 0.4501 for j in keep if j != i)
    for gone in set(range(len(boxes))) - set(keep.tolist()):
        assert any(overlap[gone, j] > 0.4499 and rank[j] > rank[gone] for j in keep)


def test_iou_of_known_boxes() -> None:
    a = np.float32([[0, 0, 10, 10]])
    b = np.float32([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    np.testing.assert_allclose(iou_matrix(a, b), [[1, 1 / 3, 0]], rtol=1e-6)


def test_a_part_of_a_face_goes_and_a_face_beside_it_stays() -> None:
    boxes = np.float32([[0, 0, 100, 100], [20, 20, 50, 50], [90, 0, 190, 100]])
    rank = np.float32([0.9, 0.8, 0.7])
    assert suppress(boxes, rank, iou_threshold=0.45, inside_threshold=0.8).tolist() == [0, 2]
    assert suppress(boxes, rank, iou_threshold=0.45).tolist() == [0, 1, 2]


def test_nothing_in_nothing_out() -> None:
    assert suppress(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), iou_threshold=0.45).tolist() == []
