from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.detect import Detections
from mien.metrics.detection import (
    Truth,
    average_precision,
    bootstrap_weights,
    landmark_errors,
    match,
    pool,
    recall_at_false_finds,
    share_found,
)

POINTS = np.asarray([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.asarray(rows, np.float32).reshape(-1, 4)


def finds(*rows: tuple[float, float, float, float, float]) -> Detections:
    values = np.asarray(rows, np.float32).reshape(-1, 5)
    return Detections(values[:, 1:], values[:, 0], np.zeros((len(values), 5, 2), np.float32))


def truth(*rows: tuple[float, float, float, float], ignore: np.ndarray | None = None) -> Truth:
    return Truth(boxes(*rows), np.full((len(rows), 5, 2), np.nan, np.float32), boxes() if ignore is None else ignore)


def test_the_surest_find_takes_the_face_and_a_second_one_is_false() -> None:
    hit, face = match(finds((0.6, 0, 0, 40, 40), (0.9, 2, 0, 42, 40)), truth((0, 0, 40, 40)), 0.5, np.asarray([True]))
    assert hit.tolist() == [0, 1]
    assert face.tolist() == [-1, 0]


def test_small_faces_and_places_to_ignore_are_neutral() -> None:
    faces = truth((0, 0, 12, 12), (100, 100, 140, 140), ignore=boxes((200, 0, 260, 60)))
    found = finds((0.9, 0, 0, 12, 12), (0.8, 210, 10, 230, 30), (0.7, 300, 300, 340, 340), (0.6, 100, 100, 140, 140),
                  (0.5, 245, 0, 305, 60), (0.4, 160, 0, 260, 100))  # fmt: skip
    hit, _ = match(found, faces, 0.5, faces.size_px >= 20)
    # Of the last two, which lie around the place, one only touches it, and the other overlaps it by more than 0.3.
    assert hit.tolist() == [-1, -1, 0, 1, 0, -1]


def test_a_face_that_counts_goes_before_a_small_one() -> None:
    # The find overlaps the small face more, and both enough.
    faces = truth((0, 0, 19, 19), (0, 0, 22, 22))
    hit, face = match(finds((0.9, 0, 0, 19, 19)), faces, 0.5, faces.size_px >= 20)
    assert (hit.tolist(), face.tolist()) == ([1], [1])


def test_average_precision_and_recall_by_hand() -> None:
    # Four faces in two photos; finds in the order of their scores: hit, false, hit, hit.
    photos = [truth((0, 0, 40, 40), (100, 0, 140, 40)), truth((0, 0, 40, 40), (100, 0, 140, 40))]
    found = [
        finds((0.9, 0, 0, 40, 40), (0.7, 100, 0, 140, 40)),
        finds((0.8, 300, 0, 340, 40), (0.6, 0, 0, 40, 40)),
    ]
    pooled = pool(found, photos, iou_threshold=0.5, min_face_px=20)
    assert pooled.hit.tolist() == [1, 0, 1, 1]
    # Precisions 1, then 3/4 at the best from there on: (1 + 0.75 + 0.75) / 4.
    assert average_precision(pooled) == pytest.approx(0.625)
    recall, threshold = recall_at_false_finds(pooled, 0.0)
    assert (recall[0], threshold[0]) == (0.25, pytest.approx(0.9))
    recall, threshold = recall_at_false_finds(pooled, 0.5)
    assert (recall[0], threshold[0]) == (0.75, pytest.approx(0.6))
    assert share_found(pooled, 0.7, pooled.size_px > 0) == (2, 4)
    # Of the first photo alone, and of the second one alone, where the false find is the surest.
    recall, _ = recall_at_false_finds(pooled, 0.5, weights=np.asarray([[2.0, 0.0], [0.0, 2.0]]))
    assert recall.tolist() == [1.0, 0.0]


def test_equal_scores_are_cut_together() -> None:
    pooled = pool([finds((0.9, 0, 0, 40, 40), (0.9, 300, 0, 340, 40))], [truth((0, 0, 40, 40))], iou_threshold=0.5,
                  min_face_px=20)  # fmt: skip
    recall, threshold = recall_at_false_finds(pooled, 0.5)
    assert (recall[0], threshold[0]) == (0.0, 1.0)


def test_finds_of_equal_score_have_one_precision_whichever_photo_comes_first() -> None:
    hit, false = (0, 0, 40, 40), (300, 0, 340, 40)
    photos = [finds((0.9, *hit)), finds((0.8, *false)), finds((0.8, *hit))]
    for order in ((0, 1, 2), (0, 2, 1)):
        pooled = pool([photos[i] for i in order], [truth(hit)] * 3, iou_threshold=0.5, min_face_px=20)
        # Two of three finds are right from 0.8 on.
        assert average_precision(pooled) == pytest.approx((1 + 2 / 3) / 3)


def test_no_face_and_no_find() -> None:
    pooled = pool([Detections.empty()], [truth()], iou_threshold=0.5, min_face_px=20)
    assert average_precision(pooled) is None
    assert math.isnan(recall_at_false_finds(pooled)[0][0])
    missed = pool([Detections.empty()], [truth((0, 0, 40, 40))], iou_threshold=0.5, min_face_px=20)
    assert average_precision(missed) == 0.0
    assert recall_at_false_finds(missed)[0][0] == 0.0


@given(st.integers(0, 2**31))
def test_the_order_of_finds_and_photos_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photos, found = [], []
    for _ in range(3):
        corner = rng.uniform(0, 200, (4, 2))
        photos.append(truth(*np.concatenate((corner, corner + rng.uniform(15, 60, (4, 1))), axis=1).tolist()))
        moved = photos[-1].box_xyxy + rng.normal(0, 6, (4, 1))
        found.append(finds(*np.concatenate((rng.random((4, 1)), moved), axis=1).tolist()))
    first = pool(found, photos, iou_threshold=0.4, min_face_px=20)
    shuffled = [own.select(rng.permutation(4)) for own in found]
    second = pool(shuffled[::-1], photos[::-1], iou_threshold=0.4, min_face_px=20)
    assert average_precision(first) == pytest.approx(average_precision(second), nan_ok=True)
    ap = average_precision(first)
    assert ap is None or 0 <= ap <= 1
    recall, _ = recall_at_false_finds(first, weights=bootstrap_weights(3, 5))
    assert ((recall >= 0) & (recall <= 1) | np.isnan(recall)).all()


def test_landmark_errors_are_in_eye_distances() -> None:
    known = Truth(boxes((0, 0, 100, 100), (0, 0, 100, 100)), np.stack((POINTS, POINTS * np.nan)), boxes())
    given_points = np.stack((POINTS + np.float32((4, 0)), POINTS, POINTS)).astype(np.float32)
    errors = landmark_errors(given_points, known, np.asarray([0, 1, -1]))
    assert errors[0] == pytest.approx(0.1)
    assert np.isnan(errors[1:]).all()
    # The eyes of a profile lie on each other: nothing to measure by.
    profile = POINTS.copy()
    profile[1] = profile[0] + [3, 0]
    side = Truth(boxes((0, 0, 100, 100)), profile[None], boxes())
    assert np.isnan(landmark_errors(given_points[:1], side, np.asarray([0])))
