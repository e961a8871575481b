"""One preprocessing, steered by the card."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.classify import face_batch, face_corners_xy, whole_batch, whole_corners_xy
from mien.zoo import InputSpec
from tests.fakes import FRAMING

GRAY = InputSpec("image", (48, 48), "gray", "uint8", 0.5, 0.25, FRAMING)
RGB = InputSpec("image", (32, 24), "rgb", "float32", 0.5, 0.25, FRAMING)


def test_an_image_of_the_models_size_passes_unchanged():
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)
    np.testing.assert_array_equal(whole_batch(list(images), GRAY)[:, 0], images)


@given(st.integers(1, 200), st.integers(1, 200), st.booleans())
def test_any_size_becomes_a_batch(width, height, colour):
    image = np.full((height, width, 3) if colour else (height, width), 100, np.uint8)
    batch = whole_batch([image, image], GRAY)
    assert (batch.shape, batch.dtype) == ((2, 1, 48, 48), np.uint8)
    assert (batch == 100).all()


def test_a_face_is_not_stretched():
    image = np.zeros((40, 80), np.uint8)
    image[10:30, 30:50] = 255  # a square in the middle stays a square
    (crop,) = whole_batch([image], GRAY)[:, 0]
    rows, columns = np.nonzero(crop[12:36] > 128)
    assert np.ptp(rows) == np.ptp(columns)


@pytest.mark.parametrize("shape", [(24, 48), (25, 48), (48, 31), (47, 48)])
def test_what_lacks_to_the_models_proportions_is_reflected_on_both_sides(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    lacks = [((48 - side) // 2, (49 - side) // 2) for side in shape]
    np.testing.assert_array_equal(whole_batch([image], GRAY)[0, 0], np.pad(image, lacks, mode="reflect"))


def test_a_larger_image_is_averaged():
    image = np.random.default_rng(0).integers(0, 256, (144, 144), np.uint8)
    means = image.reshape(48, 3, 48, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(whole_batch([image], GRAY)[0, 0], means, atol=0.51)


@pytest.mark.parametrize("shape", [(3, 30_000), (30_000, 3), (40, 20_000, 3)])
def test_a_strip_takes_no_more_memory_than_it_has(shape):
    """A banner of 3 x 30,000 pixels was completed to a square of 900 megapixels."""
    strip = np.full(shape, 80, np.uint8)
    tracemalloc.start()
    try:
        batch = whole_batch([strip], GRAY)
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(batch, 80)


def test_colour_order_and_normalisation():
    blue = np.zeros((24, 32, 3), np.uint8)
    blue[:, :, 0] = 255  # BGR
    batch = whole_batch([blue], RGB)
    assert (batch.shape, batch.dtype) == ((1, 3, 24, 32), np.float32)
    np.testing.assert_allclose(batch[0, :, 0, 0], [-2.0, -2.0, 2.0])


def test_gray_photo_for_a_colour_model_and_back():
    gray = np.full((24, 32), 51, np.uint8)
    np.testing.assert_allclose(whole_batch([gray], RGB), (0.2 - 0.5) / 0.25, rtol=1e-5)
    green = np.zeros((48, 48, 3), np.uint8)
    green[:, :, 1] = 200
    assert whole_batch([green], GRAY)[0, 0, 0, 0] == round(200 * 0.587)


def test_each_channel_may_have_its_own_normalisation():
    spec = dataclasses.replace(RGB, mean=(0.1, 0.2, 0.3), std=(0.1, 0.2, 0.4))
    blue = np.full((24, 32, 3), (255, 0, 51), np.uint8)
    np.testing.assert_allclose(whole_batch([blue], spec)[0, :, 0, 0], [1.0, -1.0, 1.75], rtol=1e-5)


def test_aligned_and_whole_agree_on_a_face_in_the_models_framing():
    image = np.random.default_rng(2).integers(0, 256, (48, 48), np.uint8)
    aligned = face_batch(image, (np.array(FRAMING) * 48)[None], GRAY)
    np.testing.assert_array_equal(aligned, whole_batch([image], GRAY))


def test_no_faces_is_an_empty_batch():
    assert face_batch(np.zeros((9, 9), np.uint8), np.zeros((0, 5, 2)), GRAY).shape == (0, 1, 48, 48)


def test_a_card_without_a_size_is_refused():
    with pytest.raises(ValueError, match="no input size"):
        whole_batch([np.zeros((4, 4), np.uint8)], InputSpec("image", None, "gray", "uint8", 0.5, 0.25))


def test_the_corners_of_crops():
    spec = InputSpec("image", (48, 24), "gray", "uint8", 0.5, 0.25, FRAMING)
    landmarks_xy = np.array([FRAMING]) * (96, 48) + (10, 20)
    wanted = [(10, 20), (106, 20), (106, 68), (10, 68)]
    np.testing.assert_allclose(face_corners_xy(landmarks_xy, spec)[0], wanted, atol=1e-6)
    assert whole_corners_xy((96, 48), spec).tolist() == [[0, 0], [96, 0], [96, 48], [0, 48]]
    assert whole_corners_xy((50, 51), spec).tolist() == [[-26, 0], [76, 0], [76, 51], [-26, 51]]
    assert whole_corners_xy((100, 20), spec).tolist() == [[0, -15], [100, -15], [100, 35], [0, 35]]
