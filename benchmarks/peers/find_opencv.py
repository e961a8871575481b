"""Faces as the packages `fer` and `deepface` find them by default, in the photos that `detectors.py` wrote.

OTHER/bin/python benchmarks/peers/find_opencv.py OUT [--ssd DEPLOY.prototxt RES10.caffemodel]

Runs in an environment with opencv-python-headless below 5 (later ones have no cascades), without mien. Writes
`haar-fer` (fer 25.10.3: scale 1.1, 5 neighbours, 50 px), `haar-deepface` (deepface 0.0.103: scale 1.1, 10 neighbours)
and, if its files are given, `ssd-deepface` (300 x 300, from a score of 0.9).
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

FILE = "haarcascade_frontalface_default.xml"


def write(out: Path, name: str, photos: list[np.ndarray], find) -> None:
    numbers, boxes, scores, taken_s = [], [], [], []
    for number, photo in enumerate(photos):
        start_s = time.perf_counter()
        found = find(photo)
        taken_s.append(time.perf_counter() - start_s)
        for box, score in found:
            numbers.append(number)
            boxes.append(box)
            scores.append(score)
    np.savez(
        out / f"{name}.npz",
        photo=np.asarray(numbers, np.int64),
        box_xyxy=np.asarray(boxes, np.float32).reshape(-1, 4),
        score=np.asarray(scores, np.float32),
        landmarks_xy=np.full((len(numbers), 5, 2), np.nan, np.float32),
    )
    print(f"{name}: {len(numbers):,} finds, {1000 * np.mean(taken_s):.1f} ms a photo")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--ssd", nargs=2)
    arguments = parser.parse_args()
    photos = [cv2.imread(str(path)) for path in sorted((arguments.out / "photos").glob("*.png"))]
    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / FILE))

    def haar(image: np.ndarray, **settings) -> list:
        boxes, _, scores = cascade.detectMultiScale3(image, scaleFactor=1.1, outputRejectLevels=True, **settings)
        if not len(boxes):
            return []
        # The cascade's sums have no upper bound; only their order counts here.
        shares = 1 / (1 + np.exp(-np.asarray(scores, np.float64).ravel() / 4))
        return [((x, y, x + w, y + h), score) for (x, y, w, h), score in zip(boxes, shares, strict=True)]

    def as_fer(photo: np.ndarray) -> list:
        return haar(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), minNeighbors=5, minSize=(50, 50))

    write(arguments.out, "haar-fer", photos, as_fer)
    write(arguments.out, "haar-deepface", photos, lambda photo: haar(photo, minNeighbors=10))
    if arguments.ssd:
        network = cv2.dnn.readNetFromCaffe(*arguments.ssd)

        def ssd(photo: np.ndarray) -> list:
            network.setInput(cv2.dnn.blobFromImage(cv2.resize(photo, (300, 300))))
            rows = network.forward()[0, 0]
            size = np.tile(photo.shape[1::-1], 2)
            return [(row[3:7] * size, row[2]) for row in rows if row[1] == 1 and row[2] >= 0.9]

        write(arguments.out, "ssd-deepface", photos, ssd)


if __name__ == "__main__":
    main()
