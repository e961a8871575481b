"""Face detectors side by side on the photos that choose, in one run.

    python benchmarks/detector.py PHOTOS.parquet [--model mien MINE.onnx ...] [--yunet FILE] [--sources a,b]

PHOTOS.parquet comes from `mien data photos`; its split `validation` is measured. FILE is YuNet's
face_detection_yunet_2023mar.onnx, which is not part of mien. Each detector looks at the photos in several working sizes
and is told at its best one: recall at one false find every ten photos, with the difference to the first one by a paired
bootstrap over the photos; landmark error; tilted, dark and large faces at the same score; milliseconds for a picture of
640 x 480 with one and two threads, taken in turns.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien.data.photos import PhotoDataset
from mien.detect import Detector, open_detector
from mien.detect.mien import MienDetector
from mien.detect.yunet import YuNetDetector
from mien.evaluate.detection import look_at
from mien.evaluate.detection_conditions import CONDITIONS
from mien.metrics.detection import (
    Finds,
    average_precision,
    bootstrap_weights,
    pool,
    recall_at_false_finds,
    share_found,
    truth_of,
)
from mien.source.image import decode_image
from mien.zoo.store import find_model

LOWEST_SCORE = 0.1
WORKING_SIZES: tuple[float | None, ...] = (None, 20.0, 10.0)
SAMPLES = 1000


@dataclass
class Measured:
    """One detector at its best working size."""

    name: str
    min_face_px: float | None
    finds: Finds
    loose: Finds
    recall: float
    threshold: float
    conditions: dict[str, tuple[float, float, float]]


def open_low(name: str, yunet: bool, min_face_px: float | None) -> Detector:
    """A detector that gives its whole curve."""
    if yunet:
        return YuNetDetector(Path(name), min_face_px=min_face_px, score_threshold=LOWEST_SCORE)
    if name.endswith(".safetensors"):
        import torch

        from mien.train.detector.network import load_detector
        from mien.train.detector.validate import detector_of

        return detector_of(load_detector(Path(name)).eval(), torch.device("cpu"), LOWEST_SCORE)
    model = find_model(name, "detector")
    return MienDetector(model, threads=1, min_face_px=min_face_px, score_threshold=LOWEST_SCORE)


def error_of(finds: Finds, threshold: float) -> float:
    """Mean landmark error of what is found at a score."""
    own = finds.landmark_error[(finds.hit == 1) & (finds.score >= threshold)]
    own = own[np.isfinite(own)]
    return float(own.mean()) if len(own) else float("nan")


def measure(name: str, yunet: bool, images: list[Any], truth: list[Any]) -> Measured:
    best: Measured | None = None
    for min_face_px in WORKING_SIZES:
        seen = look_at(open_low(name, yunet, min_face_px), images, truth)
        finds = pool(seen.found, truth, iou_threshold=0.5, min_face_px=20)
        (recall,), (threshold,) = recall_at_false_finds(finds)
        print(f"  {Path(name).name}, smallest face {min_face_px or 'auto'}: recall {recall:.4f}", flush=True)
        if best is None or recall > best.recall:
            loose = pool(seen.found, truth, iou_threshold=0.3, min_face_px=20)
            best = Measured(Path(name).name, min_face_px, finds, loose, float(recall), float(threshold), {})
        if name.endswith(".safetensors"):
            break
    assert best is not None
    detector = open_low(name, yunet, best.min_face_px)
    for condition, change in CONDITIONS.items():
        changed = [change(image, faces, n) for n, (image, faces) in enumerate(zip(images, truth, strict=True))]
        kept = [pair for pair in changed if pair is not None]
        seen = look_at(detector, [image for image, _ in kept], [faces for _, faces in kept])
        finds = pool(seen.found, seen.truth, iou_threshold=0.5, min_face_px=20)
        hits, faces = share_found(finds, best.threshold, finds.counts)
        false = int(((finds.hit == 0) & (finds.score >= best.threshold)).sum())
        best.conditions[condition] = (hits / max(faces, 1), false / len(kept), error_of(finds, best.threshold))
    return best


def differences(first: Measured, other: Measured) -> tuple[float, float, float]:
    """Recall of `other` less that of `first`, with its 95 % interval, over the same samples of photos."""
    weights = bootstrap_weights(first.finds.photos, SAMPLES)
    a, _ = recall_at_false_finds(first.finds, weights=weights)
    b, _ = recall_at_false_finds(other.finds, weights=weights)
    low, high = np.quantile(b - a, (0.025, 0.975))
    return other.recall - first.recall, float(low), float(high)


def times_ms(names: list[tuple[str, bool]], image: np.ndarray, rounds: int = 60) -> dict[tuple[str, int], float]:
    """Median time of looking at one picture; the detectors take turns."""
    result = {}
    for threads in (1, 2):
        detectors = [
            (name, YuNetDetector(Path(name)) if yunet else open_detector(name, threads))
            for name, yunet in names
            if not name.endswith(".safetensors")
        ]
        cv2.setNumThreads(threads)
        taken: dict[str, list[float]] = {name: [] for name, _ in detectors}
        for _ in range(rounds + 5):
            for name, detector in detectors:
                start_s = time.perf_counter()
                detector.detect(image)
                taken[name].append(1000 * (time.perf_counter() - start_s))
        result |= {(name, threads): float(np.median(own[5:])) for name, own in taken.items()}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", nargs="+", default=["mien"])
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--sources")
    parser.add_argument("--split", default="validation")
    arguments = parser.parse_args()
    wanted = arguments.sources and set(arguments.sources.split(","))
    photos = [p for p in PhotoDataset(arguments.photos).photos(arguments.split) if not wanted or p.source in wanted]
    images = [decode_image(photo.image, photo.name).bgr for photo in photos]
    truth = [truth_of(photo) for photo in photos]
    names = [(name, False) for name in arguments.model]
    if arguments.yunet is not None:
        names.append((str(arguments.yunet), True))
    measured = [measure(name, yunet, images, truth) for name, yunet in names]
    largest = max(images, key=lambda image: min(image.shape[:2]))
    times = times_ms(names, np.asarray(cv2.resize(largest, (640, 480)), np.uint8))

    faces = int(measured[0].finds.counts.sum())
    print(f"\n{len(photos):,} photos, {faces:,} faces of 20 px and more; recall at 0.1 false finds a photo\n")
    titles = ["", "smallest face", "recall, IoU 0.5", "difference", "IoU 0.3", "AP", "landmarks",
              *CONDITIONS, "640x480: 1 thread", "2 threads"]  # fmt: skip
    print("| " + " | ".join(titles) + " |")
    print("|" + " --- |" * len(titles))
    for (name, _), own in zip(names, measured, strict=True):
        change, low, high = differences(measured[0], own)
        (loose,), _ = recall_at_false_finds(own.loose)
        cells = [
            own.name, f"{own.min_face_px or 'auto'}", f"{100 * own.recall:.1f}",
            f"{100 * change:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})", f"{100 * loose:.1f}",
            f"{average_precision(own.finds):.3f}", f"{error_of(own.finds, own.threshold):.3f}",
            *(f"{100 * recall:.1f} / {false:.2f} / {error:.3f}" for recall, false, error in own.conditions.values()),
            *(f"{times[name, threads]:.1f} ms" if (name, threads) in times else "-" for threads in (1, 2)),
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |")
    print("\nconditions: recall in % / false finds a photo / landmark error, at the score of the photos as they are")


if __name__ == "__main__":
    main()
