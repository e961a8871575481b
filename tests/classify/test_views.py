from __future__ import annotations

import numpy as np
import pytest

from mien.classify import take_views


def test_ten_views_shift_by_a_twenty_fourth_and_mirror() -> None:
    image = np.arange(48 * 48, dtype=np.uint16).reshape(1, 48, 48)
    views = take_views(image)
    assert len(views) == 10
    assert len({view.tobytes() for view in views}) == 10
    np.testing.assert_array_equal(views[0], image)
    np.testing.assert_array_equal(views[1], image[:, :, ::-1])
    np.testing.assert_array_equal(views[2][0, 0], [*range(2, 48), 47, 47])
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
