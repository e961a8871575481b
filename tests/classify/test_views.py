from __future__ import annotations

import numpy as np
import pytest

from mien.classify import mean_probabilities, take_views
from mien.labels import FER7
from mien.zoo import Head


def test_ten_views_shift_by_a_twenty_fourth_and_mirror() -> None:
    image = np.arange(40 * 48, dtype=np.uint16).reshape(1, 40, 48)
    views = take_views(image)
    assert len(views) == 10
    rows, columns = np.arange(40), np.arange(48)
    for number, (right, down) in enumerate(((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2))):
        moved = image[:, np.clip(rows + down, 0, 39)][:, :, np.clip(columns + right, 0, 47)]
        np.testing.assert_array_equal(views[2 * number], moved)
        np.testing.assert_array_equal(views[2 * number + 1], moved[:, :, ::-1])
    color = np.stack([image[0]] * 3)[None]
    for gray, planes in zip(views, take_views(color), strict=True):
        np.testing.assert_array_equal(planes[0], np.stack([gray[0]] * 3))


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_views_are_the_first_of_ten(count: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 1, 20, 20)).astype(np.uint8)
    views = take_views(image, count)
    assert len(views) == count
    for view, other in zip(views, take_views(image), strict=False):
        np.testing.assert_array_equal(view, other)


def test_views_are_averaged_as_probabilities_each_face_with_its_calibration() -> None:
    heads = (
        Head("two", ("happy", "sad"), 1.0, ((10.0, 2.0), (48.0, 1.0))),
        Head("three", FER7[:3], 0.5),
        Head("uneven", ("happy", "sad"), 1.0, (), (1.0, 1.0), (0.0, float(np.log(3)))),
    )
    answers = [
        {"two": np.log([[9.0, 1.0], [9.0, 1.0]]), "three": np.log([[1.0, 1.0, 2.0]] * 2), "uneven": np.zeros((2, 2))},
        {"two": np.zeros((2, 2)), "three": np.log([[1.0, 1.0, 2.0]] * 2), "uneven": np.zeros((2, 2))},
    ]
    means = mean_probabilities(heads, answers, np.array([100.0, 10.0]))
    np.testing.assert_allclose(means["two"], [[0.7, 0.3], [0.625, 0.375]])
    np.testing.assert_allclose(means["three"], [[1 / 6, 1 / 6, 2 / 3]] * 2)
    np.testing.assert_allclose(means["uneven"], [[0.25, 0.75]] * 2)
