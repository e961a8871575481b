"""Crowds put together from heads: boxes and landmarks lie where the heads were drawn, and hidden ones are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.train.detector.crowd import cover_face, draw_crowd
from mien.train.detector.mosaic import make_mosaic
from mien.train.detector.photos import PhotoStore, TrainingPhoto
from mien.train.options.detector import DetectorAugment

NO_POINTS = np.full((1, 5, 2), np.nan, np.float32)


def portraits(*, ignore: bool = False) -> PhotoStore:
    """One portrait: a bright face with dark landmarks on a gray ground, and perhaps something unclear beside it."""
    image = np.full((120, 100), 60, np.uint8)
    image[30:90, 30:70] = 200
    points = np.float32([[40, 50], [60, 50], [50, 62], [42, 75], [58, 75]])
    for x, y in points.astype(int):
        image[y - 3 : y + 4, x - 3 : x + 4] = 0
    # All over the image, so that every head comes with a part of it.
    unclear = np.float32([[0, 0, 100, 120]]) if ignore else np.zeros((0, 4), np.float32)
    photo = TrainingPhoto(np.float32([[30, 30, 70, 90]]), points[None], np.asarray([True]), unclear)
    return PhotoStore([cv2.imencode(".png", image)[1].tobytes()], [photo], np.ones(1))


def test_boxes_and_landmarks_lie_on_the_heads() -> None:
    seen = 0
    for seed in range(10):
        image = np.full((200, 200), 60, np.uint8)
        for face in draw_crowd(image, portraits(), 0.0, (24.0, 30.0), np.random.default_rng(seed)):
            box, points = face.box_xyxy, face.landmarks_xy
            if box.min() < 2 or box.max() > 198 or face.seen_share < 1:
                continue
            seen += 1
            assert face.by_person
            assert points[0, 0] < points[1, 0]
            assert points[3, 0] < points[4, 0]
            left, top, right, bottom = box.round().astype(int)
            # Between the eyes is skin, at the eyes is none.
            middle = (points[0] + points[1]) / 2
            assert image[round(float(middle[1])), round(float(middle[0]))] > 150
            assert max(image[round(float(y)), round(float(x))] for x, y in points) < 120
            assert image[top + 2 : bottom - 2, left + 2].mean() > image[top + 2 : bottom - 2, max(left - 3, 0)].mean()
            assert right > left
    assert seen > 60


def test_heads_behind_others_are_known_to_be_hidden() -> None:
    shares = []
    for seed in range(12):
        image = np.zeros((160, 160), np.uint8)
        faces = draw_crowd(image, portraits(), 0.0, (20.0, 24.0), np.random.default_rng(seed))
        inside = [(face.box_xyxy.min() >= 0 and face.box_xyxy.max() <= 160) for face in faces]
        shares += [face.seen_share for face, whole in zip(faces, inside, strict=True) if whole]
        # Nobody stands in front of the last one.
        assert faces[-1].seen_share > 0.9 or not inside[-1]
    assert min(shares) >= 0
    assert max(shares) <= 1.1
    assert min(shares) < 0.7 < np.median(shares)


def test_what_lies_outside_is_not_seen() -> None:
    outside = []
    for seed in range(10):
        image = np.zeros((100, 100), np.uint8)
        for face in draw_crowd(image, portraits(), 0.0, (20.0, 24.0), np.random.default_rng(seed)):
            left, top, right, bottom = face.box_xyxy
            inside = max(0.0, min(right, 100) - max(left, 0)) * max(0.0, min(bottom, 100) - max(top, 0))
            if inside < 0.5 * (right - left) * (bottom - top):
                outside.append(face.seen_share)
    assert outside
    assert max(outside) < 0.6


def test_a_head_that_brings_an_unlabelled_face_along_is_not_used() -> None:
    image = np.full((128, 128), 9, np.uint8)
    assert draw_crowd(image, portraits(ignore=True), 0.0, (20.0, 24.0), np.random.default_rng(0)) == []
    assert (image == 9).all()


def test_a_crowd_is_a_training_image_and_the_same_each_time() -> None:
    settings = DetectorAugment(crowds=1.0, smallest_face_px=12.0, distractors=0.0, paste=0.0)
    made = [make_mosaic(portraits(), settings, 160, np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(made[0].image, made[1].image)
    assert made[0].image.shape == (160, 160)
    assert len(made[0].box_xyxy) > 5
    sides = made[0].box_xyxy[:, 2:] - made[0].box_xyxy[:, :2]
    assert np.sqrt(sides.prod(axis=1)).min() >= 12
    assert len(made[0].ignore_xyxy) > 0


@pytest.mark.parametrize("seed", range(20))
def test_a_cover_hides_a_part_of_a_face_and_not_all(seed: int) -> None:
    image = np.full((100, 100), 200, np.uint8)
    box = np.float32([30, 20, 70, 80])
    cover_face(image, box, np.zeros((8, 8), np.uint8), np.random.default_rng(seed))
    hidden = float((image[20:80, 30:70] == 0).mean())
    assert 0.0 < hidden < 0.55


def test_a_cover_at_the_edge_stays_in_the_image() -> None:
    image = np.full((40, 40), 200, np.uint8)
    for seed in range(30):
        cover_face(image, np.float32([-20, -20, 6, 6]), np.zeros((4, 4), np.uint8), np.random.default_rng(seed))
    assert image.shape == (40, 40)
    assert image[30:, 30:].min() == 200
