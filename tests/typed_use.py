"""A program as users write it, for type checkers: mypy checks it with the rest, and nothing runs it."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
from typing_extensions import assert_type

import mien
from mien.classify import Classifier
from mien.detect import Detections, Detector
from mien.source import Frame, ImageLike
from mien.track import Persons
from mien.video import VideoReadings
from mien.zoo import ModelCard


class OwnDetector:
    wants_gray = False

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        return Detections.empty()


class OwnClassifier:
    def __init__(self, card: ModelCard) -> None:
        self.card = card

    def logits(self, batch: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        return {head.output: np.zeros((len(batch), len(head.labels)), np.float32) for head in self.card.heads}


def stages(card: ModelCard) -> tuple[Detector, Classifier]:
    recognizer = mien.Recognizer(detector=OwnDetector(), model=OwnClassifier(card))
    assert_type(recognizer.replace(labels=["happy", "sad"]), mien.Recognizer)
    recognizer.replace(label="basic3")  # type: ignore[call-arg]
    return OwnDetector(), OwnClassifier(card)


def one(image: ImageLike, photo: bytes, path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    assert_type(mien.recognize(image), mien.Reading)
    assert_type(mien.recognize(photo, model="small", labels=("happy", "sad"), threads=2), mien.Reading)
    assert_type(mien.recognize(path, detector=OwnDetector()), mien.Reading)
    assert_type(mien.recognize(pixels[::2, ::2], detector="none", on_error="record"), mien.Reading)
    mien.recognize(path, label="fer7")  # type: ignore[call-overload]
    mien.recognize(path, threads="two")  # type: ignore[call-overload]
    mien.recognize(path, on_error="ignore")  # type: ignore[call-overload]
    mien.recognize(None)  # type: ignore[call-overload]


def explained(image: ImageLike) -> None:
    recognizer = mien.Recognizer()
    found = recognizer.explain(image, recognizer.recognize(image), expression="sad")
    assert_type(found, list[mien.Explanation])
    assert_type(mien.draw_explanations(image, found), npt.NDArray[np.uint8])
    recognizer.explain([image])  # type: ignore[arg-type]


def several(paths: list[Path], either: Path | list[Path]) -> None:
    assert_type(mien.recognize(paths), list[mien.Reading])
    assert_type(mien.Recognizer(views=2).recognize(tuple(paths), on_error="raise"), list[mien.Reading])
    assert_type(mien.recognize(either), mien.Reading | list[mien.Reading])
    with ThreadPoolExecutor() as pool:
        assert_type(list(pool.map(mien.Recognizer().recognize, paths)), list[mien.Reading])
        assert_type(list(pool.map(mien.recognize, paths)), list[mien.Reading])


def of_pillow(picture: PIL.Image.Image) -> None:
    assert_type(mien.recognize(picture), mien.Reading)
    assert_type(mien.recognize([picture]), list[mien.Reading])


def streams(recognizer: mien.Recognizer, paths: Iterator[Path], frames: Iterator[npt.NDArray[np.uint8]]) -> None:
    with contextlib.closing(recognizer.stream(paths, threads=2)) as readings:
        for reading in readings:
            assert_type(reading, mien.Reading)
    with recognizer.stream("clip.mp4", fps=5) as stream:
        assert_type(stream, VideoReadings)
        for frame, _ in stream.frames():
            assert_type(frame, Frame)
    assert_type(recognizer.stream(frames, frame_rate=30, smooth_s=0), VideoReadings)
    assert_type(recognizer.stream(frames, frame_rate=30, name="left"), VideoReadings)
    recognizer.stream("clip.mp4", smoothing=0)  # type: ignore[call-overload]
    recognizer.stream(paths, fps=5)  # type: ignore[call-overload]


def own_loop(recognizer: mien.Recognizer, capture: cv2.VideoCapture) -> None:
    persons = Persons(max_gap_s=1.0, smooth_s=0.2)
    there, image = capture.read()
    if there:
        assert_type(persons.update(recognizer.recognize(image), image, time.monotonic()), mien.Reading)


def faces(reading: mien.Reading) -> None:
    for face in reading.faces:
        assert_type(face.probabilities[face.expression], float)
        assert_type(face.score, float | None)
        left, top, right, bottom = face.box_xyxy
        assert_type((right - left) * (bottom - top), float)
    try:
        assert_type(mien.draw_reading(reading.source, reading), npt.NDArray[np.uint8])
    except mien.InputError as error:
        assert_type((error.source, error.problem), tuple[str, str])
