"""Pictures of explanations: looked at by their pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import mien
from mien.errors import UsageError
from mien.explain.draw import draw_explanations, heat_bgr, largest_change
from mien.explain.explanation import Explanation
from tests.fakes import make_face

CORNERS = ((20.0, 10.0), (120.0, 10.0), (120.0, 110.0), (20.0, 110.0))


def explained(drop: npt.NDArray[np.float64], expression: str = "happy", **face: object) -> Explanation:
    made = make_face("happy", 0.7, **face)
    return Explanation(made, expression, made.probabilities[expression], drop, CORNERS)


def one_sided() -> npt.NDArray[np.float64]:
    """Speaks for it at the upper left, against it at the lower right."""
    drop = np.zeros((8, 8))
    drop[:3, :3], drop[5:, 5:] = 0.3, -0.3
    return drop


def test_orange_is_where_the_probability_falls_and_blue_where_it_rises() -> None:
    gray = np.full((48, 48), 100, np.uint8)
    picture = heat_bgr(gray, one_sided(), 0.3, 80).astype(int)
    blue, _, red = picture[8, 8]
    assert red > blue + 80
    blue, _, red = picture[72, 72]
    assert blue > red + 80
    still = picture[8, 72]
    assert still.max() - still.min() <= 2
    # Whoever sees no colours sees which is which by its lightness against the other, and none by a dark photo.
    assert cv2.cvtColor(picture.astype(np.uint8), cv2.COLOR_BGR2GRAY)[8, 8] > 110


def test_small_changes_are_pale() -> None:
    gray = np.full((48, 48), 128, np.uint8)
    small = one_sided() / 100
    picture = heat_bgr(gray, small, largest_change(small), 48).astype(int)
    assert np.abs(picture - 128).max() < 12
    assert largest_change(small) == 0.05
    assert largest_change(one_sided()) == 0.3


def test_a_picture_holds_the_crop_and_the_map() -> None:
    photo = np.full((200, 300, 3), 30, np.uint8)
    photo[10:110, 20:120] = (60, 120, 180)
    picture = draw_explanations(photo, [explained(one_sided())])
    assert picture.shape[0] < picture.shape[1]
    middle = picture[38 + 128, 16 + 128]
    np.testing.assert_allclose(middle, (60, 120, 180), atol=2)
    heat = picture[38 : 38 + 256, 16 + 256 + 8 :][:, :256].astype(int)
    assert heat[20, 20, 2] > heat[20, 20, 0] + 80
    assert heat[230, 230, 0] > heat[230, 230, 2] + 80
    assert (picture[:10] == 255).all()
    assert (picture[16:38] < 128).any()  # the titles
    gray_photo = draw_explanations(photo[:, :, 0], [explained(one_sided())])
    assert gray_photo.shape == picture.shape


@pytest.mark.parametrize(("faces", "columns"), [(1, 1), (2, 1), (3, 1), (4, 2), (9, 2), (30, 4)])
def test_many_faces_are_laid_out_in_rows(faces: int, columns: int) -> None:
    photo = np.full((200, 300, 3), 128, np.uint8)
    one = draw_explanations(photo, [explained(one_sided())])
    every = draw_explanations(photo, [explained(one_sided())] * faces)
    assert every.shape[1] == columns * one.shape[1]
    assert 0.6 < every.shape[0] / every.shape[1] < 2.2


def test_faces_have_the_numbers_that_are_given() -> None:
    photo = np.full((200, 300, 3), 30, np.uint8)
    two = [explained(one_sided())] * 2
    counted = draw_explanations(photo, two)
    np.testing.assert_array_equal(draw_explanations(photo, two, [1, 2]), counted)
    assert (draw_explanations(photo, two, [2, 5]) != counted).any()
    alone = draw_explanations(photo, two[:1])
    assert (draw_explanations(photo, two[:1], [1]) != alone).any()


def test_a_long_label_stays_in_its_panel() -> None:
    label = "something that takes a very long name to be said"
    scheme = {label: 0.9, "b": 0.1}
    photo = np.zeros((200, 300, 3), np.uint8)
    found = Explanation(make_face(probabilities=scheme), label, 0.9, np.zeros((8, 8)), CORNERS)
    title = draw_explanations(photo, [found])[:36]
    assert (title[:, 16 + 256 : 16 + 256 + 8] == 255).all()
    assert (title[:, -14:] == 255).all()


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(UsageError, match="no explanation to draw"):
        mien.draw_explanations(np.zeros((20, 20), np.uint8), [])
