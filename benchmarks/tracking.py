"""How often a person's number changes while the camera moves, shakes, zooms and cuts.

    python benchmarks/tracking.py PHOTO... [--size 640x360]

Each clip is made from one photo, or two, so that it is known who is where: a face of the photo is the same person
in all frames. The frames are read once, and the same faces are given to each tracker: mien's, mien's without the
movement of the camera, and, where the package `trackers` is installed, ByteTrack and BoT-SORT with its defaults and all
faces taken for certain. Choose photos with faces of at least 40 pixels, some of one person and some of many.

A change: a person has another number than where last seen. Shared: a number that a second person gets. Faces to which a
tracker gives no number count for nothing.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import mien
from mien.detect.suppression import iou_matrix
from mien.source.image import load_image
from mien.track import Tracker
from mien.track.camera import Motion

Truth = list[tuple[int, np.ndarray]]
"""The number and the box of each person in a frame."""
Shot = tuple[np.ndarray, Truth]
Track = Callable[[mien.Reading, np.ndarray, float], list[int | None]]

VISIBLE = 0.5
SAME_FACE_IOU = 0.3


class Photo:
    """A photo that a camera looks at."""

    def __init__(self, image: np.ndarray, boxes: np.ndarray, first_person: int, size_wh: tuple[int, int]) -> None:
        self.image, self.boxes, self.first_person, self.size_wh = image, boxes, first_person, size_wh
        left, top = boxes[:, :2].min(axis=0)
        right, bottom = boxes[:, 2:].max(axis=0)
        self.face_px = float(np.median(boxes[:, 2] - boxes[:, 0]))
        self.centre_xy = np.array([(left + right) / 2, (top + bottom) / 2])
        aspect = size_wh[0] / size_wh[1]
        self.width_px = max(1.3 * (right - left), 1.3 * (bottom - top) * aspect, 5 * self.face_px)

    def shoot(
        self, move: Sequence[float] = (0, 0), zoom: float = 1.0, roll_deg: float = 0.0, gain: float = 1.0
    ) -> Shot:
        """A frame; `move` in widths of the frame."""
        width, height = self.size_wh
        scale = zoom * width / self.width_px
        turn = math.radians(roll_deg)
        matrix = scale * np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0]])
        centre = self.centre_xy + np.array(move) * self.width_px
        matrix[:, 2] = np.array([width / 2, height / 2]) - matrix[:, :2] @ centre
        frame = cv2.warpAffine(self.image, matrix, self.size_wh, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        truth = []
        for number, box in enumerate(self.boxes):
            middle = matrix[:, :2] @ ((box[:2] + box[2:]) / 2) + matrix[:, 2]
            half = scale * (box[2:] - box[:2]) / 2
            seen = np.concatenate([middle - half, middle + half])
            inside = np.clip(np.minimum(seen[2:], self.size_wh) - np.maximum(seen[:2], 0), 0, None).prod()
            if inside >= VISIBLE * (2 * half).prod():
                truth.append((self.first_person + number, seen))
        return cv2.convertScaleAbs(frame, alpha=gain), truth


def to_and_fro(speed: float, time_s: float) -> tuple[float, float]:
    """A camera that pans over a quarter of the frame to each side and turns back at once."""
    phase = (speed * time_s + 0.25) % 1
    return 0.25 * (4 * abs(phase - 0.5) - 1), 0.0


def movements(photo: Photo) -> Iterator[tuple[str, float, list[Shot]]]:
    """Name, frames a second, and frames of the clips of one photo."""
    for speed in (0.5, 1, 2):
        for rate in (30, 10):
            shots = [photo.shoot(to_and_fro(speed, n / rate)) for n in range(2 * rate)]
            yield f"pan of {speed:g} frame widths a second, at {rate} frames a second", rate, shots
    for sigma in (0.01, 0.03):
        steps = np.random.default_rng(1).normal(0, sigma, (60, 2))
        yield f"shake of {100 * sigma:g} % of the width", 30, [photo.shoot(step) for step in steps]
    for rate in (2, 1):
        shots = [photo.shoot((0.06 * (-1) ** n, 0)) for n in range(12)]
        yield f"12 % of the width from frame to frame, at {rate} a second", rate, shots
    yield "zoom by 2 in a second", 30, [photo.shoot(zoom=2 ** (n / 30)) for n in range(31)]
    yield "roll of 20 degrees", 30, [photo.shoot(roll_deg=20 * math.sin(math.pi * n / 15)) for n in range(60)]
    yield "flashlight", 30, [photo.shoot(gain=2.5 if n in (20, 21) else 1.0) for n in range(45)]


def cuts(first: Photo, second: Photo) -> Iterator[tuple[str, float, list[Shot]]]:
    """The same of two photos."""
    yield "cuts to another scene and back", 30, [(second if n // 20 % 2 else first).shoot() for n in range(80)]


@dataclass
class Score:
    """What happened in the clips of one name."""

    clips: int = 0
    persons: int = 0
    faces: int = 0
    changes: dict[str, int] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)
    frames: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)


def trackers(rate: float) -> dict[str, Track]:
    made: dict[str, Track] = {}
    for name in ("mien", "without the camera"):
        tracker = Tracker()
        if name != "mien":
            still = Motion(np.zeros(2, np.float32), cut=False)
            camera = tracker._camera
            # Cuts are seen as before; only the movement is kept from it.
            tracker._camera = type(
                "Still",
                (),
                {"update": lambda _, image, camera=camera: Motion(still.shift_xy, camera.update(image).cut)},
            )()
        made[name] = lambda reading, image, time_s, tracker=tracker: tracker.update(reading.faces, image, time_s)
    try:
        import trackers as others
    except ImportError:
        return made
    made["ByteTrack"] = other(others.ByteTrackTracker(frame_rate=rate), looks=False)
    made["BoT-SORT"] = other(others.BoTSORTTracker(frame_rate=rate), looks=True)
    return made


def other(tracker: Any, *, looks: bool) -> Track:
    """A tracker of supervision's detections, with the frame if it looks at it."""

    def track(reading: mien.Reading, image: np.ndarray, time_s: float) -> list[int | None]:
        detections = reading.to_supervision()
        detections.confidence = None
        detections.data = {"number": np.arange(len(detections))}
        known = tracker.update(detections, frame=image if looks else None, timestamp=time_s)
        ids: list[int | None] = [None] * len(reading.faces)
        for number, track_id in zip(known.data.get("number", ()), known.tracker_id, strict=True):
            ids[int(number)] = None if track_id < 0 else int(track_id)
        return ids

    return track


def count(score: Score, shots: list[Shot], readings: list[mien.Reading], rate: float) -> None:
    """Give the same faces to each tracker."""
    score.clips += 1
    for name, track in trackers(rate).items():
        last: dict[int, int] = {}
        owner: dict[int, int] = {}
        seen: set[int] = set()
        changes = shared = faces = 0
        cpu_s = 0.0
        for number, ((frame, truth), reading) in enumerate(zip(shots, readings, strict=True)):
            start_s = time.process_time()
            ids = track(reading, frame, number / rate)
            cpu_s += time.process_time() - start_s
            found = np.array([face.box_xyxy for face in reading.faces], np.float32).reshape(-1, 4)
            for person, box in truth:
                overlap = iou_matrix(np.float32([box]), found)[0]
                if not len(overlap) or overlap.max() < SAME_FACE_IOU:
                    continue
                faces += 1
                seen.add(person)
                track_id = ids[int(overlap.argmax())]
                if track_id is None:
                    continue
                changes += last.get(person, track_id) != track_id
                shared += owner.setdefault(track_id, person) != person and last.get(person) != track_id
                last[person] = track_id
        score.changes[name] = score.changes.get(name, 0) + changes
        score.shared[name] = score.shared.get(name, 0) + shared
        score.cpu_s[name] = score.cpu_s.get(name, 0.0) + cpu_s
    score.frames += len(shots)
    score.faces += faces
    score.persons += len(seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", nargs="+", type=Path)
    parser.add_argument("--size", default="640x360")
    arguments = parser.parse_args()
    width, height = (int(value) for value in arguments.size.split("x"))
    recognizer = mien.Recognizer(model="tiny", threads=2)
    photos: list[Photo] = []
    for path in arguments.photo:
        reading = recognizer.recognize(path)
        boxes = np.array([face.box_xyxy for face in reading.faces if face.box_xyxy[2] - face.box_xyxy[0] >= 40])
        if not len(boxes):
            raise SystemExit(f"{path}: no face of 40 pixels and more")
        photos.append(Photo(load_image(path).image, boxes, 1000 * len(photos), (width, height)))
    scores: dict[str, Score] = {}
    rng = np.random.default_rng(0)
    for number, photo in enumerate(photos):
        following = photos[(number + 1) % len(photos)]
        for name, rate, clean in chain(movements(photo), cuts(photo, following)):
            shots = [
                (np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8), truth)
                for frame, truth in clean
            ]
            readings = recognizer.recognize([frame for frame, _ in shots])
            count(scores.setdefault(name, Score()), shots, readings, rate)
    names = list(next(iter(scores.values())).changes)
    print(f"{len(photos)} photos, frames of {width} x {height}; changes of number, in brackets shared numbers\n")
    print(f"| clips | persons | faces | {' | '.join(names)} |\n|{' --- |' * (3 + len(names))}")
    for name, score in scores.items():
        values = [f"{score.changes[tracker]:,} ({score.shared[tracker]:,})" for tracker in names]
        print(f"| {name} | {score.persons} | {score.faces:,} | {' | '.join(values)} |")
    frames = sum(score.frames for score in scores.values())
    costs = [1000 * sum(score.cpu_s[tracker] for score in scores.values()) / frames for tracker in names]
    print(f"| CPU ms a frame | | | {' | '.join(f'{cost:.2f}' for cost in costs)} |")


if __name__ == "__main__":
    main()
