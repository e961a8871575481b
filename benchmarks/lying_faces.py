"""Faces that lie on their sides among upright ones: how many are found, what else is, and how long that takes.

    python benchmarks/lying_faces.py PHOTOS.parquet

PHOTOS.parquet is a dataset of photos with faces (`mien data photos`). Into each photo of its validation split that has
a face upright beyond doubt, and room beside it, the head of a face of another photo is pasted, turned by 60 to 120
degrees to either side and of 0.6 to 1.2 times the size of the faces there, but of 24 px at least. In use only large
photos are looked at for such faces (`mien.detect.any_way_up`), here all. Then the same photos are looked at with
nothing pasted in, and photos of several sizes are decoded and searched: processor time on one thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from turned_photos import SIZES_WH, least_ms

from mien.detect import Detections, open_detector
from mien.detect.pyramid import face_size_px
from mien.detect.second_look import tilt_rad
from mien.detect.suppression import iou_matrix
from mien.evaluate.detection_options import DetectionOptions
from mien.evaluate.detection_run import MeasuredPhotos
from mien.opencv import as_gray

SEEDS = 3


def paste(draw, gray, taken_xyxy, size_px, head) -> tuple[np.ndarray, np.ndarray, float] | None:
    """The photo with a head in it, the head's middle, and its tilt in degrees; None where there is no room."""
    source, box, own_px = head
    height, width = gray.shape
    for _ in range(60):
        x, y = draw.uniform(0.8 * size_px, [width - 0.8 * size_px, height - 0.8 * size_px])
        place = np.float32([[x - 0.8 * size_px, y - 0.8 * size_px, x + 0.8 * size_px, y + 0.8 * size_px]])
        if not iou_matrix(place, taken_xyxy).any():
            break
    else:
        return None
    tilt_deg = draw.uniform(60, 120) * draw.choice([-1, 1])
    scale = size_px / own_px
    if scale < 0.8:
        source, box = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), box * scale
        scale = 1.0
    middle = (box[:2] + box[2:]) / 2
    matrix = cv2.getRotationMatrix2D(tuple(map(float, middle)), -tilt_deg, scale)
    matrix[:, 2] += (x, y) - middle
    turned = cv2.warpAffine(source, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (int(x), int(y)), (int(0.78 * size_px), int(0.9 * size_px)), tilt_deg, 0, 360, 255, -1)
    share = cv2.GaussianBlur(mask, (0, 0), max(1.0, size_px / 20)).astype(np.float32) / 255
    return (gray * (1 - share) + turned * share + 0.5).astype(np.uint8), np.array([x, y]), tilt_deg


def seen(found: Detections, middle: np.ndarray, size_px: float, tilt_deg: float) -> tuple[bool, bool]:
    """Whether the face is found, and whether it is found with its tilt, within 30 degrees."""
    sizes = face_size_px(found.box_xyxy) / size_px
    off = np.linalg.norm((found.box_xyxy[:, :2] + found.box_xyxy[:, 2:]) / 2 - middle, axis=1) / size_px
    hit = (off < 0.4) & (sizes > 0.5) & (sizes < 2)
    wrong_deg = (np.degrees(tilt_rad(found.landmarks_xy[hit])) - tilt_deg + 180) % 360 - 180
    return bool(hit.any()), bool((np.abs(wrong_deg) < 30).any())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    detector = open_detector("mien")
    measured = MeasuredPhotos.open(arguments.photos, None, DetectionOptions())
    photos, heads = [], []
    for photo in measured.photos:
        gray = as_gray(photo.image)
        found = detector.detect(gray)
        if found.score.max(initial=0) >= detector.upright_score:
            labelled = np.concatenate((photo.truth.box_xyxy, photo.truth.ignore_xyxy)).reshape(-1, 4)
            photos.append((gray, found, np.concatenate((found.box_xyxy, labelled.astype(np.float32)))))
        sure_xyxy = found.box_xyxy[found.score >= 0.8]
        for box, size_px in zip(sure_xyxy, face_size_px(sure_xyxy), strict=True):
            room = np.array([box[0], box[1], gray.shape[1] - box[2], gray.shape[0] - box[3]]) / size_px
            if size_px >= 48 and (room > (0.35, 0.45, 0.35, 0.35)).all():
                heads.append((gray, box, float(size_px)))
    draw = np.random.default_rng(0)
    as_is, looked = [], []
    for gray, found, taken_xyxy in photos * SEEDS:
        upright = found.box_xyxy[found.score >= detector.upright_score]
        size_px = float(np.median(face_size_px(upright)) * draw.uniform(0.6, 1.2))
        size_px = min(max(size_px, 24.0), 0.45 * min(gray.shape))
        pasted = paste(draw, gray, taken_xyxy, size_px, heads[draw.integers(len(heads))])
        if pasted is not None:
            image, middle, tilt_deg = pasted
            once = detector.detect(image)
            as_is.append(seen(once, middle, size_px, tilt_deg))
            looked.append(seen(detector.with_lying(image, once), middle, size_px, tilt_deg))
    print(f"{len(looked)} faces pasted into {len(photos)} photos, {SEEDS} times where there is room\n")
    print("| | found | its tilt right, too |\n| --- | --- | --- |")
    for name, rows in (("as an upright photo", as_is), ("looked at for lying ones", looked)):
        print(f"| {name} | " + " | ".join(f"{100 * share:.1f} %" for share in np.mean(rows, axis=0)) + " |")
    print(f"\nnothing pasted in: in {len(photos)} photos there are, beside what was found before,")
    for number, (gray, found, _) in enumerate(photos):
        lying = detector.with_lying(gray, found)
        for box, score in zip(lying.box_xyxy.tolist(), lying.score.tolist(), strict=True):
            if box not in found.box_xyxy.tolist():
                print(f"in photo {number} of {score:.2f}: {[round(value) for value in box]}")
    print("\n| a photo | decoded and searched once, ms | the look for lying faces |\n| --- | --- | --- |")
    for size_wh in SIZES_WH:
        once = further = 0.0
        chosen = photos[:: len(photos) // 8]
        for gray, _, _ in chosen:
            large = cv2.resize(gray, size_wh, interpolation=cv2.INTER_CUBIC)
            encoded, found = cv2.imencode(".jpg", cv2.cvtColor(large, cv2.COLOR_GRAY2BGR))[1], detector.detect(large)
            once += least_ms(lambda e=encoded: cv2.imdecode(e, cv2.IMREAD_COLOR)) + least_ms(
                lambda g=large: detector.detect(g)
            )
            further += least_ms(lambda g=large, f=found: detector.with_lying(g, f))
        print(f"| {size_wh[0]} x {size_wh[1]} | {once / len(chosen):.0f} | + {100 * further / once:.0f} % |")


if __name__ == "__main__":
    main()
