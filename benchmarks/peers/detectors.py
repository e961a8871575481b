"""Face detectors of other packages beside mien's on the same photos; see README.md in this folder.

python benchmarks/peers/detectors.py photos PHOTOS.parquet OUT [--split validation] [--sources a,b]
python benchmarks/peers/detectors.py score PHOTOS.parquet OUT [--yunet FILE] [--split ...] [--sources ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from mien.data.photos import Photo, PhotoDataset
from mien.detect import Detections, open_detector
from mien.detect.yunet import YuNetDetector
from mien.metrics.detection import pool, share_found, truth_of
from mien.source.image import decode_image

MIN_FACE_PX = 20.0
LARGE_FACE_PX = 50.0


def read(arguments: argparse.Namespace) -> list[Photo]:
    wanted = arguments.sources and set(arguments.sources.split(","))
    photos = PhotoDataset(arguments.photos).photos(arguments.split)
    return [photo for photo in photos if not wanted or photo.source in wanted]


def write_photos(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.out / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    photos = read(arguments)
    for number, photo in enumerate(photos):
        cv2.imwrite(str(folder / f"{number:06d}.png"), np.asarray(decode_image(photo.image, photo.name).bgr))
    print(f"{len(photos):,} photos in {folder}")


def finds_of(path: Path, photos: int) -> list[Detections]:
    with np.load(path, allow_pickle=False) as stored:
        photo, box, score, points = (stored[name] for name in ("photo", "box_xyxy", "score", "landmarks_xy"))
    result = []
    for number in range(photos):
        own = np.flatnonzero(photo == number)
        own = own[np.argsort(-score[own], kind="stable")]
        # Where a detector gives no landmarks they are nowhere, and their error is not told.
        result.append(Detections(box[own], score[own].clip(0, 1), np.nan_to_num(points[own])))
    return result


def tells_landmarks(path: Path) -> bool:
    with np.load(path, allow_pickle=False) as stored:
        return bool(np.isfinite(stored["landmarks_xy"]).any())


def score(arguments: argparse.Namespace) -> None:
    photos = read(arguments)
    images = [decode_image(photo.image, photo.name).bgr for photo in photos]
    truth = [truth_of(photo) for photo in photos]
    silent = {path.stem for path in arguments.out.glob("*.npz") if not tells_landmarks(path)}
    found = {path.stem: finds_of(path, len(photos)) for path in sorted(arguments.out.glob("*.npz"))}
    found["mien"] = [open_detector("mien", 1).detect(image) for image in images]
    if arguments.yunet:
        yunet = YuNetDetector(arguments.yunet)
        found["yunet in mien"] = [yunet.detect(image) for image in images]
    faces = int(pool(found["mien"], truth, iou_threshold=0.3, min_face_px=MIN_FACE_PX).counts.sum())
    print(f"{len(photos):,} photos, {faces:,} faces of 20 px and more; as the packages use them; IoU 0.3\n")
    print("| detector | found | of 50 px and more | false finds a photo | landmark error |\n|" + " --- |" * 5)
    for name, own in found.items():
        finds = pool(own, truth, iou_threshold=0.3, min_face_px=MIN_FACE_PX)
        hits, of = share_found(finds, 0.0, finds.counts)
        large_hits, large = share_found(finds, 0.0, finds.counts & (finds.size_px >= LARGE_FACE_PX))
        false = int((finds.hit == 0).sum()) / len(photos)
        errors = finds.landmark_error[(finds.hit == 1) & np.isfinite(finds.landmark_error)]
        print(
            f"| {name} | {100 * hits / of:.1f} % | {100 * large_hits / large:.1f} % | {false:.3f} "
            f"| {f'{errors.mean():.3f}' if len(errors) and name not in silent else '-'} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("photos", "score"):
        command = commands.add_parser(name)
        command.add_argument("photos", type=Path)
        command.add_argument("out", type=Path)
        command.add_argument("--split", default="validation")
        command.add_argument("--sources")
        if name == "score":
            command.add_argument("--yunet", type=Path)
    arguments = parser.parse_args()
    (write_photos if arguments.command == "photos" else score)(arguments)


if __name__ == "__main__":
    main()
