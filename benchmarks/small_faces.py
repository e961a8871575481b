"""How well small faces are read, and which enlargement serves them best.

    python benchmarks/small_faces.py FOLDER

FOLDER holds `fer2013/fer2013-valid.parquet`. Each image of PublicTest is averaged down to a few pixels and enlarged
again, by linear and by cubic interpolation. `mien` enlarges by cubic interpolation for what this program printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from mien.classify import OnnxClassifier
from mien.data.fer2013 import read_fer2013_parquet
from mien.zoo import find_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="base")
    arguments = parser.parse_args()
    split = read_fer2013_parquet(arguments.folder / "fer2013" / "fer2013-valid.parquet")
    classifier = OnnxClassifier(find_model(arguments.model, "expression"), 2)
    print(f"`{arguments.model}` on {len(split.labels)} images of PublicTest\n")
    print("| crop in the photo | linear | cubic |\n| --- | --- | --- |")
    for px in (12, 16, 20, 24, 32, 40):
        small = [cv2.resize(image, (px, px), interpolation=cv2.INTER_AREA) for image in split.images]
        shown = []
        for interpolation in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
            large = np.stack([cv2.resize(image, (48, 48), interpolation=interpolation) for image in small])
            right = classifier.logits(large[:, None])["fer7"].argmax(axis=1) == split.labels
            shown.append(f"{100 * right.mean():.1f} %")
        print(f"| {px} px | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
