"""OpenCV is quiet only while it should be, whatever the threads do."""

from concurrent.futures import ThreadPoolExecutor

import cv2

from mien.opencv import quiet_opencv


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
