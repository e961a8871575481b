"""Read facial expressions from photos and videos: on a CPU, offline, from a small install.

>>> import mien
>>> reading = mien.recognize("examples/astronaut.jpg")
>>> reading.faces[0].expression
'happy'

`recognize` reads one image or a list; a `Recognizer` has options, its `stream` reads videos and cameras, and its
`explain` finds what an answer rests on. A `Reading` holds one `Face` for each face. Every error is a `MienError`.
`mien.data`, `mien.train` and `mien.evaluate` are for datasets and models. The guide is docs/guide.md in the repository.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mien.lazy import lazy_names

__version__ = "0.1.0"

# ONNX Runtime's official builds keep a number of the device and send events to their maker, unless this is set before
# they are imported. mien sends nothing.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from mien.errors import (
        DownloadError,
        InputError,
        MienError,
        MienWarning,
        MissingExtraError,
        ModelError,
        OutputError,
        TrainingError,
        UsageError,
    )
    from mien.explain.draw import draw_explanations
    from mien.explain.explanation import Explanation
    from mien.kept_recognizer import recognize
    from mien.labels import LabelScheme, find_scheme
    from mien.recognizer import Recognizer
    from mien.recognizer_options import RecognizerOptions
    from mien.result import Face, Reading, to_pandas
    from mien.sink.draw import draw_reading
    from mien.video import VideoReadings
    from mien.video_options import VideoOptions
    from mien.zoo import list_models

__all__ = [
    "DownloadError",
    "Explanation",
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
    "TrainingError",
    "UsageError",
    "VideoOptions",
    "VideoReadings",
    "draw_explanations",
    "draw_reading",
    "find_scheme",
    "list_models",
    "recognize",
    "to_pandas",
]

if not TYPE_CHECKING:
    # So that `mien --help` does not wait for OpenCV and ONNX Runtime.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "errors": [
                "DownloadError",
                "InputError",
                "MienError",
                "MienWarning",
                "MissingExtraError",
                "ModelError",
                "OutputError",
                "TrainingError",
                "UsageError",
            ],
            "explain.draw": ["draw_explanations"],
            "explain.explanation": ["Explanation"],
            "kept_recognizer": ["recognize"],
            "labels": ["LabelScheme", "find_scheme"],
            "recognizer": ["Recognizer"],
            "recognizer_options": ["RecognizerOptions"],
            "result": ["Face", "Reading", "to_pandas"],
            "sink.draw": ["draw_reading"],
            "video": ["VideoReadings"],
            "video_options": ["VideoOptions"],
            "zoo": ["list_models"],
        },
    )
