from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.data.photos.change import darken
from mien.detect.image import BRIGHT_AT, brighten_dark, resize
from mien.detect.mien import MienDetector


def test_photos_with_light_stay_as_they_are(astronaut_bgr: np.ndarray) -> None:
    gray = cv2.cvtColor(astronaut_bgr, cv2.COLOR_BGR2GRAY)
    assert brighten_dark(gray) is gray
    # A dark room with one lamp is not dark: brightening would only burn what the lamp shows.
    lamp = np.full((100, 100), 20, np.uint8)
    lamp[:20, :20] = 220
    assert brighten_dark(lamp) is lamp


@pytest.mark.parametrize("size", [1, 40, 900])
def test_dark_ones_are_brightened_but_not_without_end(size: int) -> None:
    gray = np.tile(np.linspace(0, 60, size, dtype=np.uint8), (size, 1))
    bright = brighten_dark(gray)
    assert (bright.shape, bright.dtype) == (gray.shape, np.uint8)
    if size > 1:
        assert abs(float(np.percentile(bright, 99)) - BRIGHT_AT) < 8
    black = brighten_dark(np.full((50, 50), 3, np.uint8))
    assert black.max() == 24


def test_a_face_in_the_dark_is_found(detector: MienDetector, astronaut_bgr: np.ndarray) -> None:
    gray = cv2.cvtColor(astronaut_bgr, cv2.COLOR_BGR2GRAY)
    (expected,) = detector.detect(gray).box_xyxy
    dark = darken(gray, np.random.default_rng(0), 0.08)
    found = detector.detect(dark)
    assert len(found) >= 1
    np.testing.assert_allclose(found.box_xyxy[0], expected, atol=12)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_scaled_down_each_pixel_is_the_mean_of_its_block(width: int, height: int, halvings: int, seed: int) -> None:
    block = 2**halvings
    image = np.random.default_rng(seed).integers(0, 256, (height * block, width * block), np.uint8)
    means = image.reshape(height, block, width, block).mean(axis=(1, 3))
    np.testing.assert_allclose(resize(image, (width, height)), means, atol=0.5 * halvings)


SIDES = st.integers(4, 150)


@given(SIDES, SIDES, SIDES, SIDES)
def test_scaled_to_any_size_nothing_moves_by_a_pixel(width: int, height: int, to_width: int, to_height: int) -> None:
    across, down = ((np.arange(side) + 0.5) * 255 / side for side in (width, height))
    image = np.stack([*np.broadcast_arrays(across, down[:, None]), np.zeros((height, width))], axis=-1).astype(np.uint8)
    scaled = resize(image, (to_width, to_height))
    assert scaled.shape == (to_height, to_width, 3)
    for axis, (side, to_side) in enumerate(((width, to_width), (height, to_height))):
        expected = (np.arange(to_side) + 0.5) * 255 / to_side
        expected = expected if axis == 0 else expected[:, None]
        assert np.abs(scaled[..., axis] - expected).max() < 255 / min(side, to_side) + 2
