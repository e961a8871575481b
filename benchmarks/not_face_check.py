"""What the check "is it a face at all?" costs and brings.

    python benchmarks/not_face_check.py FOLDER

FOLDER holds `faces/faces-train.parquet` (photographs with boxes). Every find of the detector is compared with the
labels; printed is which share of the true faces, and of the false finds, the second head takes for no face with more
than one half, by the size of the crop in the photo. `mien.prepared` applies the check from the size where it stops to
cost faces.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet

from mien.recognizer import Recognizer

SOURCES = ("afw", "helen_test", "jolignier", "kaggle853")
BANDS_PX = ((0, 24), (24, 32), (32, 40), (40, 64), (64, 10_000))


def overlap(a: tuple[float, ...], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=1200, help="how many photos, drawn at random")
    arguments = parser.parse_args()
    table = pyarrow.parquet.read_table(
        arguments.folder / "faces" / "faces-train.parquet", columns=["source", "image", "boxes", "ignore"]
    )
    rows = [index for index, source in enumerate(table.column("source").to_pylist()) if source in SOURCES]
    rows = random.Random(0).sample(rows, min(arguments.photos, len(rows)))
    photos = [table.slice(index, 1).to_pylist()[0] for index in rows]
    recognizer = Recognizer(max_not_face=1.0)
    finds: list[tuple[bool, float, float]] = []
    prepared = (recognizer.prepare(photo["image"]["bytes"]) for photo in photos)
    for photo, item in zip(photos, prepared, strict=True):
        (reading,) = recognizer.classify([item])
        for face, side_px in zip(reading.faces, item.sides_px, strict=True):
            true = max((overlap(face.box_xyxy, box) for box in photo["boxes"]), default=0.0) > 0.3
            if true or max((overlap(face.box_xyxy, box) for box in photo["ignore"]), default=0.0) <= 0.3:
                finds.append((true, face.not_face, side_px))
    print(f"{len(photos)} photos\n")
    print("| crop in the photo | true faces | of them taken for none | false finds | of them taken for none |")
    print("| --- | --- | --- | --- | --- |")
    true, not_face, sides_px = (np.array(column) for column in zip(*finds, strict=True))
    for low, high in BANDS_PX:
        band = (sides_px >= low) & (sides_px < high)
        cells = [f"{low} px and more" if high == BANDS_PX[-1][1] else f"{low} to {high} px"]
        for kind in (true, ~true):
            chosen = not_face[band & kind.astype(bool)]
            cells += [str(len(chosen)), f"{(chosen > 0.5).mean():.1%}" if len(chosen) else ""]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
