"""Faces as MTCNN of `facenet-pytorch` (a choice in `fer`) finds them in the photos that `detectors.py` wrote.

OTHER/bin/python benchmarks/peers/find_mtcnn.py OUT

Runs in an environment with facenet-pytorch, torch and OpenCV, without mien. The package's defaults: faces from 20 px.
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN

torch.set_num_threads(1)
out = Path(sys.argv[1])
mtcnn = MTCNN(keep_all=True, device="cpu")
numbers, boxes, scores, points, taken_s = [], [], [], [], []
for number, path in enumerate(sorted((out / "photos").glob("*.png"))):
    photo = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    start_s = time.perf_counter()
    found, shares, landmarks = mtcnn.detect(photo, landmarks=True)
    taken_s.append(time.perf_counter() - start_s)
    if found is not None:
        numbers += [number] * len(found)
        boxes += list(found)
        scores += list(shares)
        points += list(landmarks)
np.savez(
    out / "mtcnn.npz",
    photo=np.asarray(numbers, np.int64),
    box_xyxy=np.asarray(boxes, np.float32).reshape(-1, 4),
    score=np.asarray(scores, np.float32),
    landmarks_xy=np.asarray(points, np.float32).reshape(-1, 5, 2),
)
print(f"mtcnn: {len(numbers):,} finds, {1000 * np.mean(taken_s):.1f} ms a photo on one thread")
