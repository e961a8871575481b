"""What a face's answer owes to its landmarks: other crops of the same faces.

    python benchmarks/crops.py PHOTOS [--model base]

PHOTOS is a folder of photos. Each face is read as mien reads it, and again as programs do that have only its box: with
landmarks guessed from the box, as a square around the box's centre, and as the box itself. What is counted is how often
the label stays.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from mien import Recognizer
from mien.detect import Detections
from mien.errors import InputError
from mien.source import load_image

FACTORS = (1.0, 1.1, 1.15, 1.2, 1.3)
"""Side of the square around a box, over the mean of the box's sides."""
LARGE_PX = 40


class GivenBoxes:
    """A detector of boxes that are known, with landmarks guessed from them."""

    wants_gray = False

    def __init__(self, framing_xy: np.ndarray) -> None:
        self._places_xy = framing_xy - 0.5
        self.factor = 1.0
        self.box_xyxy = np.zeros((0, 4), np.float32)

    def detect(self, image: np.ndarray) -> Detections:  # noqa: ARG002 - its boxes are known
        """The boxes that were set, whatever the image."""
        centre_xy = (self.box_xyxy[:, :2] + self.box_xyxy[:, 2:]) / 2
        side = self.factor * (self.box_xyxy[:, 2:] - self.box_xyxy[:, :2]).mean(axis=1)
        landmarks_xy = centre_xy[:, None] + side[:, None, None] * self._places_xy
        return Detections(self.box_xyxy, np.ones(len(side), np.float32), landmarks_xy.astype(np.float32))


def cut(image: np.ndarray, box_xyxy: np.ndarray, factor: float, square: bool) -> np.ndarray:
    """The image inside the box, or inside a square around its centre, as far as there is one."""
    sides = box_xyxy[2:] - box_xyxy[:2]
    half = factor * (np.full(2, sides.mean()) if square else sides) / 2
    centre = (box_xyxy[:2] + box_xyxy[2:]) / 2
    left, top = np.maximum(np.round(centre - half), 0).astype(int)
    right, bottom = np.round(centre + half).astype(int)
    return image[top:bottom, left:right]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="base")
    arguments = parser.parse_args()
    usual = Recognizer(model=arguments.model)
    boxes = GivenBoxes(np.array(usual.card.input.framing_xy, np.float32))
    guessing = Recognizer(model=arguments.model, detector=boxes, max_not_face=1.0)
    cropped = Recognizer(model=arguments.model, detector="none")
    same: Counter[tuple[str, float, bool]] = Counter()
    faces_of: Counter[bool] = Counter()
    photos = 0
    for path in sorted(arguments.photos.iterdir()):
        try:
            image = load_image(path).bgr
        except InputError:
            continue
        photos += 1
        faces = usual.recognize(image).faces
        boxes.box_xyxy = np.array([face.box_xyxy for face in faces], np.float32).reshape(-1, 4)
        large = [bool((box[2:] - box[:2]).min() >= LARGE_PX) for box in boxes.box_xyxy]
        faces_of.update(large)
        if not faces:
            continue
        for factor in FACTORS:
            boxes.factor = factor
            crops = [cut(image, box, factor, square=True) for box in boxes.box_xyxy]
            plain = [cut(image, box, factor, square=False) for box in boxes.box_xyxy]
            for way, answers in (
                ("guessed landmarks", guessing.recognize(image).faces),
                ("squares", [reading.faces[0] for reading in cropped.recognize(crops)]),
                ("boxes", [reading.faces[0] for reading in cropped.recognize(plain)]),
            ):
                for face, answer, is_large in zip(faces, answers, large, strict=True):
                    same[way, factor, is_large] += face.expression == answer.expression
    print(f"{photos} photos; faces with the same label as by mien's landmarks:\n")
    print(f"| side | of {faces_of[True]} faces of {LARGE_PX} px and more | of {faces_of[False]} smaller ones |")
    print("| --- | --- | --- |")
    for way in ("guessed landmarks", "squares", "boxes"):
        for factor in FACTORS:
            print(f"| {way}, {factor:g} | {same[way, factor, True]} | {same[way, factor, False]} |")


if __name__ == "__main__":
    main()
