"""Photos that lie on their side or stand on their head: how often that is seen, and what it costs the upright ones.

    python benchmarks/turned_photos.py PHOTOS.parquet [--detector mien]

PHOTOS.parquet is a dataset of photos with faces (`mien data photos`). Each photo of its validation split is
searched as it stands, and turned by 90, 180 and 270 degrees: `mien.detect.any_way_up`. Then pictures of noise, in which
there is no face, are decoded and searched once, and turned, too: processor time on one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mien.detect import detect_any_way_up, open_detector
from mien.evaluate.detection_options import DetectionOptions
from mien.evaluate.detection_run import MeasuredPhotos
from mien.opencv import as_gray, turned

SIZES_WH = ((500, 375), (1000, 750), (2000, 1500), (4000, 3000))


def noise(size_wh: tuple[int, int]) -> np.ndarray:
    """A gray picture with coarse and fine structures, and without a face."""
    width, height = size_wh
    draw = np.random.default_rng(0)
    picture = np.zeros((height, width))
    for cell_px in (8, 32, 128, 512):
        layer = draw.normal(size=(max(2, height // cell_px), max(2, width // cell_px)))
        picture += np.sqrt(cell_px) * cv2.resize(layer, size_wh, interpolation=cv2.INTER_CUBIC)
    return np.interp(picture, (picture.min(), picture.max()), (0, 255)).astype(np.uint8)


def least_ms(what: Callable[[], object], times: int = 7) -> float:
    """Processor time of the quickest of several calls."""
    taken = []
    for _ in range(times):
        start_s = time.process_time()
        what()
        taken.append(time.process_time() - start_s)
    return 1000 * min(taken)


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
    print("\n| a picture without a face | decoded and searched once, ms | turned, too | ratio |")
    print("| --- | --- | --- | --- |")
    cv2.setNumThreads(1)
    for size_wh in SIZES_WH:
        picture = noise(size_wh) if detector.wants_gray else cv2.cvtColor(noise(size_wh), cv2.COLOR_GRAY2BGR)
        encoded = cv2.imencode(".jpg", cv2.cvtColor(noise(size_wh), cv2.COLOR_GRAY2BGR))[1]
        decoding = least_ms(lambda: cv2.imdecode(encoded, cv2.IMREAD_COLOR))
        once = decoding + least_ms(lambda: detector.detect(picture))
        turned_too = decoding + least_ms(lambda: detect_any_way_up(detector, picture))
        print(f"| {size_wh[0]} x {size_wh[1]} | {once:.0f} | {turned_too:.0f} | {turned_too / once:.1f} |")


if __name__ == "__main__":
    main()
