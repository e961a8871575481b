"""Read facial expressions from photos and videos: on a CPU, offline, in a small install.

>>> import mien
>>> reading = mien.recognize("examples/astronaut.jpg")
>>> reading.faces[0].expression
'happy'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mien.errors import (
        DownloadError,
        InputError,
        MienError,
        MienWarning,
        MissingExtraError,
        ModelError,
        OutputError,
        UsageError,
    )
    from mien.labels import LabelScheme, find_scheme
    from mien.recognizer import Recognizer, recognize
    from mien.recognizer_options import RecognizerOptions
    from mien.result import Face, Reading, to_pandas
    from mien.sink.draw import draw_reading
    from mien.video import VideoReadings
    from mien.video_options import VideoOptions
    from mien.zoo import list_models

__all__ = [
    "DownloadError",
    "Face",
    "InputError",
    "LabelScheme",
    "MienError",
    "MienWarning",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "Reading",
    "Recognizer",
    "RecognizerOptions",
    "UsageError",
    "VideoOptions",
    "VideoReadings",
    "draw_reading",
    "find_scheme",
    "list_models",
    "recognize",
    "to_pandas",
]

_HOMES = {
    "mien.errors": [
        "DownloadError",
        "InputError",
        "MienError",
        "MienWarning",
        "MissingExtraError",
        "ModelError",
        "OutputError",
        "UsageError",
    ],
    "mien.labels": ["LabelScheme", "find_scheme"],
    "mien.recognizer": ["Recognizer", "recognize"],
    "mien.recognizer_options": ["RecognizerOptions"],
    "mien.result": ["Face", "Reading", "to_pandas"],
    "mien.sink.draw": ["draw_reading"],
    "mien.video": ["VideoReadings"],
    "mien.video_options": ["VideoOptions"],
    "mien.zoo": ["list_models"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Loaded at first use (PEP 562), so that `mien --help` does not wait for OpenCV and ONNX Runtime.
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'mien' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
