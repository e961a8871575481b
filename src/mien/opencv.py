"""Keeping OpenCV quiet."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import cv2

__all__ = ["quiet_opencv"]

_lock = threading.Lock()
_users = 0
_level_before = 0


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's own remarks off stderr: what is wrong is said once, by the error.

    The level is one for the whole process: the last thread that leaves sets it back.
    """
    global _users, _level_before
    logging = cv2.utils.logging
    with _lock:
        if _users == 0:
            _level_before = logging.getLogLevel()
            logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                logging.setLogLevel(_level_before)
