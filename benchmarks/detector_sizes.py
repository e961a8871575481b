"""How small a face may be: detectors on photos that are scaled down step by step.

    python benchmarks/detector_sizes.py PHOTO_OR_FOLDER... --yunet FILE [--model mien MINE.onnx ...]

For photos without labels. What counts as a face: what YuNet finds in the photo as it is, at its finest working size,
from a score of 0.6 on, and what the shipped detector finds there from 0.6 on. So YuNet is judged by its own answers,
and nobody misses what both miss. The photos are then scaled down to 70, 50, 35 and 25 %, and each detector is told by
the share of the faces of each size that it finds (overlap of 0.4 or more), at the score at which it has one false
find in ten pictures.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from mien.detect import Detections, Detector
from mien.detect.image import resize
from mien.detect.pyramid import face_size_px
from mien.detect.suppression import iou_matrix
from mien.evaluate.detection_models import LOWEST_SCORE, open_measured_detector
from mien.metrics.detection import FALSE_FINDS_A_PHOTO
from mien.source.image import decode_image

SCALES = (1.0, 0.7, 0.5, 0.35, 0.25)
SIZES_PX = (10.0, 14.0, 20.0, 28.0, 40.0, 80.0, 160.0, np.inf)
SMALLEST_SIDE_PX = 100
SURE_SCORE = 0.6
OVERLAP, APART = 0.4, 0.2


def open_low(name: str, min_face_px: float | None) -> Detector:
    """A detector that gives its whole curve."""
    return open_measured_detector(name, 1, min_face_px).detector


def sure(found: Detections) -> np.ndarray:
    return found.box_xyxy[found.score >= SURE_SCORE]


def overlaps(found: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return iou_matrix(found, faces) if len(found) and len(faces) else np.zeros((len(found), len(faces)), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--yunet", required=True)
    parser.add_argument("--model", nargs="+", default=["mien"])
    arguments = parser.parse_args()
    files = [file for path in arguments.photos for file in (sorted(path.glob("*.jp*g")) if path.is_dir() else [path])]
    yunet, shipped = open_low(arguments.yunet, SIZES_PX[0]), open_low("mien", None)
    pictures, truth = [], []
    for file in files:
        image = decode_image(file.read_bytes(), file.name).bgr
        faces, own = sure(yunet.detect(image)), sure(shipped.detect(image))
        faces = np.concatenate((faces, own[overlaps(own, faces).max(axis=1, initial=0) < 0.3]))
        for scale in SCALES:
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            if min(size) >= SMALLEST_SIDE_PX:
                pictures.append(resize(np.asarray(image, np.uint8), size))
                truth.append(faces * scale)
    sizes = np.digitize(np.concatenate([face_size_px(faces) for faces in truth]), SIZES_PX) - 1
    counts = np.bincount(sizes[sizes >= 0], minlength=len(SIZES_PX) - 1)
    print(f"{len(files)} photos, {len(pictures)} pictures\n")
    columns = [f"{low:g} to {high:g} px" for low, high in pairwise(SIZES_PX)]
    print("| detector | smallest face | false | " + " | ".join(columns) + " |\n|" + " --- |" * (len(columns) + 3))
    print("| faces | | | " + " | ".join(f"{count:,}" for count in counts) + " |")
    cv2.setNumThreads(1)
    for name in (arguments.yunet, *arguments.model):
        for min_face_px in (None, SIZES_PX[0]):
            detector = open_low(name, min_face_px)
            scores, false = [], []
            for picture, faces in zip(pictures, truth, strict=True):
                found = detector.detect(picture)
                pairs = overlaps(found.box_xyxy, faces)
                scores += [found.score[column >= OVERLAP].max(initial=0) for column in pairs.T]
                false += found.score[pairs.max(axis=1, initial=0) < APART].tolist()
            allowed = int(FALSE_FINDS_A_PHOTO * len(pictures))
            cut = sorted(false, reverse=True)[allowed] + 1e-6 if len(false) > allowed else LOWEST_SCORE
            hits = np.asarray(scores) >= cut
            of_size = [hits[sizes == number] for number in range(len(columns))]
            shares = [f"{100 * own.mean():.1f}" if len(own) else "-" for own in of_size]
            sure_false = sum(score >= 0.5 for score in false)
            print(
                f"| {Path(name).name} | {min_face_px or 'auto'} | {sure_false} | " + " | ".join(shares) + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
