"""OpenCV is quiet only while it should be, whatever the threads do; and pictures move with the points in them."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from mien.opencv import quiet_opencv, warped
from tests.blobs import blob, blob_middle_xy


def test_the_level_comes_back_after_many_threads():
    before = cv2.utils.logging.getLogLevel()

    def work(_):
        with quiet_opencv():
            return cv2.utils.logging.getLogLevel()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(200))) == {cv2.utils.logging.LOG_LEVEL_SILENT}
    assert cv2.utils.logging.getLogLevel() == before


def test_the_level_comes_back_after_an_error():
    before = cv2.utils.logging.getLogLevel()
    try:
        with quiet_opencv():
            raise ValueError
    except ValueError:
        pass
    assert cv2.utils.logging.getLogLevel() == before


@pytest.mark.parametrize("shape", [(90, 120), (90, 120, 3)])
@pytest.mark.parametrize("turn", [np.eye(2), [[-1, 0], [0, 1]], [[0, -1], [1, 0]], [[1.2, -0.9], [0.9, 1.2]]])
def test_a_picture_moves_as_the_points_in_it_do(shape, turn):
    """Mirrored, it came to lie a pixel beside them."""
    image = blob(shape[1::-1], (70.3, 41.8), 4.0)
    matrix = np.column_stack((turn, 60 - np.asarray(turn) @ (70.3, 41.8)))
    moved = warped(image if len(shape) == 2 else cv2.merge([image] * 3), matrix, (130, 125))
    assert (moved.shape, moved.dtype) == ((125, 130, *shape[2:]), np.uint8)
    np.testing.assert_allclose(blob_middle_xy(moved if len(shape) == 2 else moved[..., 2]), (60, 60), atol=0.05)


def test_outside_the_picture_all_channels_have_the_value_asked_for():
    image = np.zeros((4, 4, 3), np.uint8)
    matrix = np.float64([[1, 0, 2], [0, 1, 3]])
    assert (warped(image, matrix, (8, 9), fill=127) == 127).sum() == 3 * (8 * 9 - 4 * 4)
