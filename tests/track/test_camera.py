"""A movement of the picture is told from a cut, and from what moves in it."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.track.camera import Camera, portrait

SIZE_WH = (640, 360)


def texture(seed, size_wh=(1280, 720)):
    """A picture of coarse and fine patterns, as photos have them."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.integers(0, 255, (n * 9, n * 16, 3), np.uint8), size_wh, interpolation=cv2.INTER_CUBIC)
        for n in (1, 3, 8)
    ]
    return np.mean(layers, axis=0).astype(np.uint8)


def window(image, x, y, size_wh=SIZE_WH):
    return np.ascontiguousarray(image[y : y + size_wh[1], x : x + size_wh[0]])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(-190, 190), st.integers(-100, 100), st.booleans())
def test_the_shift_of_the_picture_is_found(seed, x, y, gray):
    image = texture(seed)
    camera = Camera()
    frames = [window(image, 320, 180), window(image, 320 - x, 180 - y)]
    if gray:
        frames = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    assert not camera.update(frames[0]).cut
    motion = camera.update(frames[1])
    assert not motion.cut
    assert motion.shift_xy == pytest.approx((x, y), abs=5)  # a pixel of the small picture


def test_each_frame_is_compared_with_the_one_before():
    image = texture(0)
    camera = Camera()
    camera.update(window(image, 300, 100))
    for _ in range(3):  # a picture that was compared is unchanged for the next comparison
        assert camera.update(window(image, 340, 100)).shift_xy == pytest.approx((-40, 0), abs=5)
        assert camera.update(window(image, 300, 100)).shift_xy == pytest.approx((40, 0), abs=5)


def test_another_picture_is_a_cut_and_the_same_is_none():
    camera = Camera()
    cuts = [camera.update(window(texture(seed), 0, 0)).cut for seed in (0, 0, 1, 1, 2)]
    assert cuts == [False, False, True, False, True]


@pytest.mark.parametrize("seeds", [(0, 1), (4, 5)])
def test_a_banner_that_stays_hides_no_cut(seeds):
    banner = window(texture(77), 0, 0)[:140]
    camera = Camera()
    cuts = [camera.update(np.vstack([window(texture(seed), 0, 0)[140:], banner])).cut for seed in seeds]
    assert cuts == [False, True]


def test_what_moves_before_a_still_background_is_no_movement_of_the_camera():
    behind, head = window(texture(0), 0, 0), cv2.resize(texture(1), (120, 150))
    camera = Camera()
    for x in range(0, 500, 40):
        frame = behind.copy()
        frame[100:250, x : x + 120] = head
        motion = camera.update(frame)
        assert not motion.cut
        assert motion.shift_xy == pytest.approx((0, 0), abs=2.5)


def test_light_that_changes_is_no_cut():
    image = window(texture(0), 0, 0)
    camera = Camera()
    for gain in (1.0, 0.3, 1.8, 0.6):
        motion = camera.update(cv2.convertScaleAbs(image, alpha=gain))
        assert not motion.cut
        assert motion.shift_xy == pytest.approx((0, 0), abs=2.5)


@pytest.mark.parametrize("values", [(0, 0), (0, 255), (90, 91)])
@pytest.mark.filterwarnings("error")
def test_pictures_of_one_colour_have_no_shift(values):
    camera = Camera()
    for value in values:
        motion = camera.update(np.full((90, 160, 3), value, np.uint8))
        assert motion.shift_xy.tolist() == [0, 0]


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 2000), (2000, 3), (7, 5)])
@pytest.mark.filterwarnings("error")
def test_any_size_is_compared(size_wh):
    camera = Camera()
    for seed in (0, 0):
        motion = camera.update(texture(seed, size_wh))
    assert not motion.cut
    assert np.isfinite(motion.shift_xy).all()


def test_a_stream_that_changes_its_size_goes_on():
    camera = Camera()
    camera.update(texture(0, (640, 360)))
    motion = camera.update(texture(0, (640, 480)))
    assert not motion.cut
    assert motion.shift_xy.tolist() == [0, 0]


def test_a_portrait_does_not_depend_on_light():
    image = texture(0)
    assert float(portrait(image) @ portrait(cv2.convertScaleAbs(image, alpha=0.5, beta=40))) > 0.99
    assert float(portrait(image) @ portrait(texture(1))) < 0.6
    grain = np.random.default_rng(0).normal(0, 60, image.shape)
    assert float(portrait(image) @ portrait(np.clip(image + grain, 0, 255).astype(np.uint8))) > 0.98
    assert np.linalg.norm(portrait(np.zeros((5, 5), np.uint8))) == pytest.approx(1, abs=1e-5)
