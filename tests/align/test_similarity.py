"""Alignment puts landmarks where the framing says, whatever the face's size, tilt and place."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.align import align_faces, similarity_transform
from tests.fakes import FRAMING

TARGET = np.array(FRAMING) * 48


def turned(points, angle_deg, scale, shift):
    angle = np.deg2rad(angle_deg)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ rotation.T * scale + shift


@given(st.floats(-180, 180), st.floats(0.05, 50), st.floats(-500, 500), st.floats(-500, 500))
def test_a_similarity_is_recovered_exactly(angle_deg, scale, x, y):
    source = turned(TARGET, angle_deg, scale, (x, y))
    (matrix,) = similarity_transform(source[None], TARGET)
    np.testing.assert_allclose(source @ matrix[:, :2].T + matrix[:, 2], TARGET, atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_it_is_the_least_squares_solution(seed):
    rng = np.random.default_rng(seed)
    source = TARGET + rng.normal(0, 5, TARGET.shape)
    (matrix,) = similarity_transform(source[None], TARGET)
    assert matrix[0, 0] == matrix[1, 1]
    assert matrix[0, 1] == -matrix[1, 0]

    def cost(m):
        return ((source @ m[:, :2].T + m[:, 2] - TARGET) ** 2).sum()

    for nudge in (1e-3, -1e-3):
        for change in ([[nudge, 0, 0], [0, nudge, 0]], [[0, -nudge, 0], [nudge, 0, 0]], [[0, 0, nudge], [0, 0, 0]]):
            assert cost(matrix + change) >= cost(matrix)


def test_landmarks_that_coincide_give_something_finite():
    assert np.isfinite(similarity_transform(np.full((1, 5, 2), 7.0), TARGET)).all()


def smooth_picture(size):
    """A picture whose value tells the place: easy to check after any transform."""
    y, x = np.mgrid[0:size, 0:size]
    return (x + 0.5) * 255 / size, (y + 0.5) * 255 / size


@pytest.mark.parametrize("size", [60, 300, 2000])
@pytest.mark.parametrize("angle_deg", [0, 25, -40])
def test_crops_show_the_right_place(size, angle_deg):
    across, down = smooth_picture(size)
    image = np.stack([across, down, across], axis=-1).astype(np.uint8)
    landmarks = turned(TARGET - 24, angle_deg, size * 0.4 / 48, (size / 2, size / 2))
    (crop,) = align_faces(image, landmarks[None], FRAMING, (48, 48))
    centre = np.array([[24.0, 24.0], [10.0, 30.0], [40.0, 12.0]])
    expected = turned(centre - 24, angle_deg, size * 0.4 / 48, (size / 2, size / 2)) * 255 / size
    for (x, y), (value_x, value_y) in zip(centre.astype(int), expected, strict=True):
        patch = crop[y - 1 : y + 1, x - 1 : x + 1].reshape(-1, 3).mean(axis=0)
        assert abs(patch[0] - value_x) < 255 / min(size, 255) + 2
        assert abs(patch[1] - value_y) < 255 / min(size, 255) + 2


def test_a_large_face_is_averaged_not_sampled():
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600), np.uint8)
    landmarks = np.array(FRAMING) * 1600
    (crop,) = align_faces(noise, landmarks[None], FRAMING, (48, 48))
    assert crop.std() < 10  # single samples would keep the noise's own 74


def test_an_upright_face_that_fills_the_image_is_the_area_average():
    image = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (192, 192), np.uint8), (0, 0), 6)
    (crop,) = align_faces(image, (np.array(FRAMING) * 192)[None], FRAMING, (48, 48))
    expected = cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(crop.astype(int) - expected).max() <= 1


def test_past_the_border_the_photo_is_reflected():
    across, _ = smooth_picture(100)
    image = across.astype(np.uint8)
    landmarks = np.array(FRAMING) * 80 + (-40, 10)  # half of the crop lies left of the photo
    (crop,) = align_faces(image, landmarks[None], FRAMING, (48, 48))
    left, right = crop[:, :24][:, ::-1].astype(int), crop[:, 24:].astype(int)
    assert np.abs(left - right).max() <= 6
    assert crop.min() < 10


@given(st.integers(1, 12), st.integers(1, 12), st.floats(-30, 30), st.floats(-30, 30), st.floats(0.5, 400))
def test_never_fails_however_far_outside(width, height, x, y, face_px):
    image = np.full((height, width), 77, np.uint8)
    landmarks = np.array(FRAMING) * face_px + (x, y)
    crops = align_faces(image, landmarks[None], FRAMING, (48, 48))
    assert crops.shape == (1, 48, 48)
    assert (crops == 77).all()


def test_no_faces_and_colour():
    assert align_faces(np.zeros((9, 9, 3), np.uint8), np.zeros((0, 5, 2)), FRAMING, (48, 40)).shape == (0, 40, 48, 3)
