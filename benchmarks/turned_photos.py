"""Photos that lie on their side or stand on their head: how often that is seen, and what it costs the upright ones.

    python benchmarks/turned_photos.py PHOTOS.parquet [--detector mien]

PHOTOS.parquet is a dataset of photos with faces (`mien data photos`). Each photo of its validation split is
searched as it stands, and turned by 90, 180 and 270 degrees: `mien.detect.any_way_up`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mien.detect import detect_any_way_up, open_detector
from mien.detect.image import as_gray
from mien.evaluate.detection_options import DetectionOptions
from mien.evaluate.detection_run import MeasuredPhotos
from mien.opencv import turned


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--detector", default="mien")
    arguments = parser.parse_args()
    detector = open_detector(arguments.detector)
    measured = MeasuredPhotos.open(arguments.photos, None, DetectionOptions())
    photos = [photo.image for photo in measured.photos if len(photo.truth.size_px)]
    print(f"{len(photos)} photos with faces")
    print(f"sure: a score of {detector.sure_score:g}; upright beyond doubt: {detector.upright_score:g}\n")
    print(
        "| turned by | a face is sure as it is | upright beyond doubt | taken for upright | turned upright | wrongly |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for clockwise_deg in (0, 90, 180, 270):
        sure, beyond_doubt, upright, right = 0, 0, 0, 0
        for image in photos:
            given = turned(as_gray(image) if detector.wants_gray else image, clockwise_deg)
            best = detector.detect(given).score.max(initial=np.float32(0))
            sure += bool(best >= detector.sure_score)
            beyond_doubt += bool(best >= detector.upright_score)
            _, upright_deg = detect_any_way_up(detector, given)
            upright += upright_deg == 0
            right += upright_deg != 0 and (clockwise_deg + upright_deg) % 360 == 0
        counts = (sure, beyond_doubt, upright, right, len(photos) - upright - right)
        shares = " | ".join(f"{100 * count / len(photos):.1f} %" for count in counts)
        print(f"| {clockwise_deg}° | {shares} |")


if __name__ == "__main__":
    main()
