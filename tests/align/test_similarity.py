"""Alignment puts landmarks where the framing says, whatever the face's size, tilt and place."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.align import align_faces, crop_corners_xy, crop_sides_px, similarity_transform
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


def test_landmarks_that_coincide_are_taken_for_some_a_pixel_apart():
    (matrix,) = similarity_transform(np.full((1, 5, 2), 7.0), TARGET)
    scale = np.linalg.norm(TARGET - TARGET.mean(axis=0))
    np.testing.assert_allclose(matrix[:, :2], [[scale, 0], [0, scale]])
    np.testing.assert_allclose(matrix @ (7, 7, 1), TARGET.mean(axis=0))


def sampled(image, matrix, size_wh, fine=4):
    """The crop by its definition, each pixel the mean of many points; and which pixels lie well inside the photo."""
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    x, y = np.meshgrid(*((np.arange(side * fine) + 0.5) / fine for side in size_wh))
    at = (np.stack([x, y, np.ones_like(x)], axis=-1) @ back.T).astype(np.float32)
    points = cv2.remap(image, at - 0.5, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    margin = 0.02 * min(image.shape[:2]) + 5
    inside = ((at > margin) & (at < np.array(image.shape[1::-1]) - margin)).all(axis=-1)
    return [cv2.resize(part.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA) for part in (points, inside)]


@settings(max_examples=60)
@given(
    st.tuples(st.integers(60, 600), st.integers(60, 600)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.floats(0.3, 1),
    st.floats(-180, 180),
    st.booleans(),
)
def test_crops_show_the_right_place(photo_wh, place, span, angle_deg, colour):
    """A soft picture, a face somewhere in it, up to as large as the photo, however it is turned."""
    coarse = np.random.default_rng(photo_wh).integers(60, 200, (5, 5, 3) if colour else (5, 5), np.uint8)
    image = cv2.resize(coarse, photo_wh, interpolation=cv2.INTER_CUBIC)
    size_wh = (48, 40)
    target = np.array(FRAMING) * size_wh
    middle = np.array(photo_wh) * place
    landmarks = turned(target - (24, 20), angle_deg, span * min(photo_wh) / 48, middle)
    (crop,) = align_faces(image, landmarks[None], FRAMING, size_wh)
    (matrix,) = similarity_transform(landmarks[None], target)
    np.testing.assert_allclose(crop_sides_px(landmarks[None], FRAMING, size_wh), span * min(photo_wh))
    wanted, inside = sampled(image, matrix, size_wh)
    apart = np.abs(crop - wanted)
    assert apart[inside == 1].max(initial=0) < 4
    # Where the photo is reflected, its border may lie a pixel of the crop further in.
    assert apart.mean() < 12


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
    image = np.tile(np.linspace(0, 255, 100).astype(np.uint8), (100, 1))
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


@given(st.floats(-180, 180), st.floats(0.1, 20), st.floats(-200, 200))
def test_the_corners_of_a_crop_are_those_of_the_photo(angle_deg, scale, shift):
    points = turned(TARGET, angle_deg, scale, (shift, 50))
    wanted = turned(np.array([(0, 0), (48, 0), (48, 48), (0, 48)]), angle_deg, scale, (shift, 50))
    (corners_xy,) = crop_corners_xy(points[None], FRAMING, (48, 48))
    np.testing.assert_allclose(corners_xy, wanted, atol=1e-5)
