"""Where the shipped detector sees the five landmarks in FER2013's faces, and what aligning by them costs.

    python benchmarks/framing.py FOLDER

FOLDER holds `fer2013/`. The framing on the cards of the expression models (`FER2013_FRAMING_XY` in
`mien.align`) are the mean places in every fifth Training image and its mirror image, as the detector saw
them with its first weights; today's lie within half a pixel of 48. Then PublicTest is read as it is, and cut out again
by its landmarks, as faces in photos are: to today's mean places, and to the framing on the cards.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from mien.align import align_faces
from mien.classify import OnnxClassifier
from mien.classify.class_scaling import calibrated
from mien.data.fer2013 import read_fer2013_parquet
from mien.detect import Detector, open_detector
from mien.zoo import find_model

ENLARGE, BORDER_PX = 3, 24


def find_landmarks(detector: Detector, image: np.ndarray) -> np.ndarray | None:
    """The landmarks of the most central face, as fractions of the image; None where no face is found."""
    large = cv2.resize(image, None, fx=ENLARGE, fy=ENLARGE, interpolation=cv2.INTER_CUBIC)
    large = cv2.copyMakeBorder(large, *[BORDER_PX] * 4, cv2.BORDER_REPLICATE)
    found = detector.detect(large)
    if not len(found):
        return None
    centres = (found.box_xyxy[:, :2] + found.box_xyxy[:, 2:]) / 2
    nearest = ((centres - large.shape[0] / 2) ** 2).sum(axis=1).argmin()
    return (found.landmarks_xy[nearest] - BORDER_PX) / (ENLARGE * image.shape[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder / "fer2013"
    detector = open_detector("mien", 2)
    images = read_fer2013_parquet(folder / "fer2013-train.parquet").images[::5]
    places = [find_landmarks(detector, image) for image in images]
    known = np.array([place for place in places if place is not None])
    mean = known.mean(axis=0)
    mirrored = np.array([(1 - x, y) for x, y in mean])[[1, 0, 2, 4, 3]]
    mean = (mean + mirrored) / 2
    spread = known.std(axis=0).mean()
    print(f"Training: a face in {len(known):,} of {len(images):,} images; standard deviation {spread:.3f}")
    print("mean places:", tuple((round(float(x), 3), round(float(y), 3)) for x, y in mean))

    split = read_fer2013_parquet(folder / "fer2013-valid.parquet")
    model = find_model("base", "expression")
    classifier = OnnxClassifier(model, 2)
    places = [find_landmarks(detector, image) for image in split.images]
    rows = [row for row, place in enumerate(places) if place is not None]
    labels = split.labels[rows]
    head = model.card.head("fer7")
    whole = calibrated(classifier.logits(split.images[rows][:, None])["fer7"], head).argmax(axis=1)
    print(f"\nPublicTest: a face in {len(rows):,} of {len(places):,} images")
    print(f"read as they are: {(whole == labels).mean():.2%}")
    for name, framing in (("the mean places", mean), ("the framing of the shipped card", model.card.input.framing_xy)):
        crops = [
            align_faces(cv2.copyMakeBorder(split.images[row], *[24] * 4, cv2.BORDER_REFLECT_101),
                        (places[row] * 48 + 24)[None], framing, (48, 48))
            for row in rows
        ]  # fmt: skip
        read = calibrated(classifier.logits(np.concatenate(crops)[:, None])["fer7"], head).argmax(axis=1)
        print(f"aligned to {name}: {(read == labels).mean():.2%}, the same answer {(read == whole).mean():.2%}")


if __name__ == "__main__":
    main()
