from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.data.photos.change import darken
from mien.detect.image import BRIGHT_AT, brighten_dark
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
