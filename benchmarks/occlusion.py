"""Whether the maps of `Recognizer.explain` show what an answer rests on: it must suffer when that is hidden.

    python benchmarks/occlusion.py DATA [--split validation] [--model base] [--faces 150]

DATA is labelled faces in any layout, such as FER2013 (its PublicTest). Of each face the fifth of the crop is hidden on
which its answer rests most, by each map: that of `explain`; that of Zeiler and Fergus, one patch of a quarter of the
side in 14 x 14 places; the middle of the crop, which knows nothing of the face; and chance. What the answer loses is
the table, in points of its probability, for all faces and for those read with a probability of 90 % and more. It is
hidden once by the crop's mean gray, as in the making of the maps, and once by a blur.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import cv2
import numpy as np

from mien.classify import Classifier, whole_batch
from mien.classify.class_scaling import calibrated
from mien.data.faces import open_faces
from mien.evaluate.models import open_model
from mien.explain.occlusion import occlude
from mien.labels import LabelScheme

SHARE = 0.2
SURE = 0.9
PLACES = 14
PATCH = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--split", default=None)
    parser.add_argument("--model", default="base", help="a name, an .onnx file or a checkpoint; of gray uint8 input")
    parser.add_argument("--faces", type=int, default=150, help="so many, drawn at random")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    _, model = open_model(arguments.model, arguments.threads)
    faces = open_faces(arguments.data, arguments.split)
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(faces), min(arguments.faces, len(faces)), replace=False))
    crops = whole_batch(faces.images(chosen), model.card.input)
    lost: dict[str, list[list[float]]] = {}
    confidence = []
    for crop in crops:
        before = probabilities(model, crop[None])[0]
        answer = int(before.argmax())
        confidence.append(before[answer])
        for name, ranks in maps(model, crop, answer, rng).items():
            hidden = np.stack([without(crop, ranks, blank) for blank in (gray, blurred)])
            lost.setdefault(name, []).append((before[answer] - probabilities(model, hidden)[:, answer]).tolist())
    sure = np.array(confidence) >= SURE
    print(
        f"{arguments.model}, {len(crops)} faces of {faces.source} ({faces.split}), {sure.sum()} of them surely read\n"
    )
    print("| hidden fifth | all faces | surely read | by a blur: all faces | surely read |")
    print("| --- | --- | --- | --- | --- |")
    for name, values in lost.items():
        points = 100 * np.array(values)
        cells = [points[:, 0].mean(), points[sure, 0].mean(), points[:, 1].mean(), points[sure, 1].mean()]
        print(f"| {name} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")


def maps(model: Classifier, crop: np.ndarray, answer: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """By each map the pixels in order, the most important one first."""
    head = model.card.heads[0]
    served = (LabelScheme.of(head.labels), head)
    height, width = crop.shape[-2:]
    y, x = np.mgrid[0:height, 0:width]
    middle = -np.hypot((x + 0.5) / width - 0.5, (y + 0.5) / height - 0.6)
    noise = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), width / 12, borderType=cv2.BORDER_REFLECT)
    _, drop = occlude(model, crop, max(height, width), served, head.labels[answer])
    found = {"`explain`": drop, "one patch": patch_map(model, crop, answer), "the middle": middle, "chance": noise}
    return {
        name: np.argsort(-cv2.resize(one.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC).ravel())
        for name, one in found.items()
    }


def patch_map(model: Classifier, crop: np.ndarray, answer: int) -> np.ndarray:
    height, width = crop.shape[-2:]
    y, x = (np.mgrid[0:height, 0:width] + 0.5) / np.array([height, width])[:, None, None]
    hidden = []
    for row, column in np.ndindex(PLACES, PLACES):
        near = np.maximum(np.abs(y - (row + 0.5) / PLACES), np.abs(x - (column + 0.5) / PLACES)) < PATCH / 2
        hidden.append(np.where(near, gray(crop), crop).astype(np.uint8))
    return -probabilities(model, np.stack(hidden))[:, answer].reshape(PLACES, PLACES)


def without(crop: np.ndarray, ranks: np.ndarray, blank: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    flat, other = crop.reshape(len(crop), -1).copy(), blank(crop).reshape(len(crop), -1)
    first = ranks[: round(SHARE * len(ranks))]
    flat[:, first] = other[:, first]
    return flat.reshape(crop.shape)


def gray(crop: np.ndarray) -> np.ndarray:
    return np.full_like(crop, np.rint(crop.mean()))


def blurred(crop: np.ndarray) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(channel, (0, 0), crop.shape[-1] / 6) for channel in crop])


def probabilities(model: Classifier, batch: np.ndarray) -> np.ndarray:
    head = model.card.heads[0]
    return np.asarray(calibrated(model.logits(batch)[head.output], head), np.float64)


if __name__ == "__main__":
    main()
