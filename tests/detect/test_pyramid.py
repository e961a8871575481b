"""Working sizes: what a level must make visible, and that tiles miss nothing."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.detect.base import Detections, ImageArray
from mien.detect.pyramid import Level, PyramidSettings, detect_in_levels, face_size_px, plan_levels

SETTINGS = PyramidSettings()
# Small and large ones alike.
octaves = st.floats(0, 13.5)
sides = octaves.map(lambda value: round(2**value))


@given(width=sides, height=sides, min_face_px=st.none() | octaves.map(lambda value: 2**value))
def test_levels_cover_all_sizes_of_faces(width: int, height: int, min_face_px: float | None) -> None:
    levels = plan_levels((width, height), min_face_px, SETTINGS)
    scales = [max(level.size_wh) / max(width, height) for level in levels]
    assert all(fine > coarse for fine, coarse in itertools.pairwise(scales))
    # No face between two levels: the largest of one is well above the smallest of the next. And no level in vain.
    for fine, coarse in itertools.pairwise(scales):
        assert 1.6 < fine / coarse < 4.7
    if len(levels) > 2:
        assert (scales[0] / scales[-1]) ** (1 / (len(levels) - 2)) > 3.9
    # A face that fills the photo is seen in the size that the detector knows.
    if len(levels) > 1:
        assert min(levels[-1].size_wh) == pytest.approx(SETTINGS.frame_face_px, abs=1)
    else:
        assert min(levels[-1].size_wh) <= SETTINGS.frame_face_px * 1.65
    assert levels[0].keep_px[0] == 0
    assert levels[-1].keep_px[1] == math.inf
    if min_face_px is not None and min_face_px >= SETTINGS.smallest_face_px / SETTINGS.max_upscale:
        # (a level is at least 1 px wide, which distorts what has hardly any pixels)
        wanted = SETTINGS.smallest_face_px / min_face_px
        assert scales[0] * max(width, height) == pytest.approx(max(wanted * max(width, height), 1), abs=1)


@given(width=st.integers(100, 12000), height=st.integers(100, 12000))
def test_the_time_for_looking_grows_more_slowly_than_the_photo(width: int, height: int) -> None:
    finest = plan_levels((width, height), None, SETTINGS)[0].size_wh
    area = width * height
    if area >= 1.5e6:
        assert math.prod(finest) < 0.62 * area
    assert math.prod(finest) < max(1.01 * SETTINGS.auto_max_area_px, 4 * SETTINGS.auto_min_area_px)


@pytest.mark.parametrize(
    ("size_wh", "face_px"), [((1000, 750), 20), ((1155, 866), 24), ((4000, 3000), 44), ((8165, 6124), 80)]
)
def test_the_smallest_face_of_a_photo_is_as_documented(size_wh: tuple[int, int], face_px: int) -> None:
    finest = plan_levels(size_wh, None, SETTINGS)[0].size_wh
    assert round(SETTINGS.smallest_face_px * size_wh[0] / finest[0]) == face_px


def find_squares(image: ImageArray) -> Detections:
    """A stand-in for a detector: one face at each white square, and surer of those that a tile cuts off."""
    assert all(side <= 320 and side % 32 == 0 for side in image.shape)
    _, _, found, _ = cv2.connectedComponentsWithStats((image == 255).astype(np.uint8))
    left, top, width, height, area = found[1:].astype(np.float32).T
    boxes = np.stack((left, top, left + width, top + height), axis=1)
    score = np.where(area < 400, np.float32(1), np.float32(0.5))
    return Detections(boxes, score, np.repeat(boxes[:, None, :2], 5, axis=1))


@settings(max_examples=30, deadline=None)
@given(
    places=st.lists(
        st.tuples(st.integers(0, 21), st.integers(0, 14), st.integers(0, 8)), unique_by=lambda p: p[:2], max_size=20
    )
)
def test_tiles_find_what_a_single_look_would(places: list[tuple[int, int, int]]) -> None:
    small = PyramidSettings(tile_px=320.0, largest_face_px=64.0)
    image: ImageArray = np.zeros((450, 660), np.uint8)
    expected = set()
    for column, row, shift in places:
        x, y = column * 30 + shift, row * 30 + shift
        image[y : y + 20, x : x + 20] = 255
        expected.add((x, y))
    found, seen_px = detect_in_levels(image, [Level((660, 450), (0.0, math.inf))], find_squares, small)
    assert sorted(found.box_xyxy.tolist()) == sorted([x, y, x + 20, y + 20] for x, y in expected)
    np.testing.assert_allclose(seen_px, 20.0)


@pytest.mark.parametrize("shape", [(100, 660), (660, 100), (40, 660)])
def test_a_strip_that_is_long_one_way_only_is_cut_that_way(shape: tuple[int, int]) -> None:
    image: ImageArray = np.zeros(shape, np.uint8)
    places = [(x, y) for x in range(10, shape[1] - 20, 90) for y in range(10, shape[0] - 20, 90)]
    for x, y in places:
        image[y : y + 20, x : x + 20] = 255

    def find(part: ImageArray) -> Detections:
        padded = np.zeros([-(-side // 32) * 32 for side in part.shape], np.uint8)
        padded[: part.shape[0], : part.shape[1]] = part
        return find_squares(padded)

    small = PyramidSettings(tile_px=320.0, largest_face_px=64.0)
    found, _ = detect_in_levels(image, [Level(shape[::-1], (0.0, math.inf))], find, small)
    assert sorted(map(tuple, found.box_xyxy[:, :2].tolist())) == sorted(places)


def test_a_level_is_trusted_with_its_sizes_only() -> None:
    """Each sees three faces in its own places, of which one is too small or too large for it."""

    def find(image: ImageArray) -> Detections:
        left, side = np.float32([5, 40, 110]), np.float32([10, 60, 30])
        top = 10 if len(image) == 400 else 110
        boxes = np.stack((left, np.full(3, top), left + side, top + side), axis=1).astype(np.float32)
        return Detections(boxes, np.full(3, 0.9, np.float32), np.zeros((3, 5, 2), np.float32))

    levels = [Level((400, 400), (0.0, 40.0)), Level((200, 200), (20.0, math.inf))]
    found, seen_px = detect_in_levels(np.zeros((400, 400), np.uint8), levels, find, SETTINGS)
    assert sorted(zip(found.box_xyxy[:, 1].tolist(), seen_px.tolist(), strict=True)) == [
        (10, 10), (10, 30), (220, 30), (220, 60)
    ]  # fmt: skip


@pytest.mark.parametrize(("face_px", "seen_best_px"), [(320, 80), (80, 80)])
def test_the_level_that_sees_a_face_best_wins(face_px: int, seen_best_px: int) -> None:
    def find(image: ImageArray) -> Detections:
        width = image.shape[1]
        side = face_px * width / 400
        return Detections(np.float32([[0, 0, side, side]]), np.float32([0.8]), np.full((1, 5, 2), width, np.float32))

    levels = [Level((400, 400), (0.0, math.inf)), Level((100, 100), (0.0, math.inf))]
    found, seen_px = detect_in_levels(np.zeros((400, 400), np.uint8), levels, find, SETTINGS)
    assert len(found) == 1
    assert seen_px.tolist() == [seen_best_px]
    np.testing.assert_allclose(found.box_xyxy, [[0, 0, face_px, face_px]])
    np.testing.assert_allclose(found.landmarks_xy, 400.0)


def test_face_size_of_a_turned_out_box_is_zero() -> None:
    assert face_size_px(np.float32([[10, 10, 0, 0], [0, 0, 4, 9]])).tolist() == [0.0, 6.0]
