"""How steadily models read the same faces moved a little, and how well they read small ones.

    python benchmarks/robustness.py DATA [--split validation] [--model base --model run/best.safetensors] [--rows N]

A face in a photo is never cropped twice alike, and is often small. A reading that changes when the crop moves by two
pixels is no reading; how often that happens is measured here, beside what it costs in accuracy.

DATA is labelled faces in any layout, such as FER2013 (its PublicTest). Each face is shifted, scaled, turned and
mirrored; and averaged down to a few pixels and enlarged again by the preprocessing. With --linear, small faces are also
enlarged linearly: `mien` does it by cubic interpolation for what this program printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mien.classify import Classifier, whole_batch
from mien.classify.class_scaling import calibrated
from mien.data.balance import map_labels
from mien.data.faces import open_faces
from mien.evaluate.models import open_model
from mien.labels import LabelScheme
from mien.metrics.classification import rounded

Image = npt.NDArray[np.uint8]
SMALL_SIDES_PX = (12, 16, 20, 24, 32, 40, 48)
_CHUNK = 256


@dataclass(frozen=True)
class Move:
    """How a crop differs from another one of the same face.

    Attributes
    ----------
    name : str
    right, down : float
        Shift as a share of the side.
    scale : float
        Factor.
    turn_deg : float
        Degrees, counter-clockwise.
    mirrored : bool
    """

    name: str
    right: float = 0.0
    down: float = 0.0
    scale: float = 1.0
    turn_deg: float = 0.0
    mirrored: bool = False


_SHIFT = 2 / 48
MOVES = (
    Move("2 of 48 px to the right", right=_SHIFT),
    Move("2 of 48 px to the left", right=-_SHIFT),
    Move("2 of 48 px down", down=_SHIFT),
    Move("2 of 48 px up", down=-_SHIFT),
    Move("10 % larger", scale=1.1),
    Move("10 % smaller", scale=1 / 1.1),
    Move("10 degrees to the left", turn_deg=10.0),
    Move("10 degrees to the right", turn_deg=-10.0),
    Move("mirrored", mirrored=True),
)
"""The moves by which answers are compared."""


def moved(image: Image, move: Move) -> Image:
    """A face moved within its crop; what comes in from outside is the mirror image of the border.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3)
    move : Move

    Returns
    -------
    uint8 array of the same shape
    """
    height, width = image.shape[:2]
    centre = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, move.turn_deg, move.scale)
    matrix[:, 2] += (move.right * width, move.down * height)
    start = image[:, ::-1] if move.mirrored else image
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpAffine(start, matrix, (width, height), flags=flags, borderMode=border), np.uint8)


def small(image: Image, side_px: int) -> Image:
    """A face as it is where it spans fewer pixels: averaged down to a longer side of `side_px`."""
    height, width = image.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1.0:
        return image
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def measure_robustness(
    classifier: Classifier,
    images: Sequence[Image],
    label: npt.NDArray[np.int64] | None = None,
    *,
    moves: Sequence[Move] = MOVES,
    sides_px: Sequence[int] = SMALL_SIDES_PX,
) -> dict[str, Any]:
    """Compare a model's answers to faces with its answers to the same faces moved, and made small.

    Parameters
    ----------
    classifier : Classifier
    images : sequence of uint8 arrays of shape (H, W) or (H, W, 3)
        Gray or BGR; at least one.
    label : int64 array of shape (N,), optional
        The truth, as an index into the labels of the model's first head, which answers.
    moves : sequence of Move
    sides_px : sequence of int
        Faces are averaged down to these, and enlarged again by the preprocessing.

    Returns
    -------
    dict
        ``moves`` and ``sides_px``: for each the ``agreement`` (share of faces with the same answer as unmoved), the
        mean ``distance`` of the probabilities (total variation, in [0, 1]) and, with labels, the ``accuracy``;
        ``steady``: the share of faces whose answer no move changes; ``accuracy`` of the faces as they are.
    """
    head = classifier.card.heads[0]

    def answers(change: Callable[[Image], Image]) -> npt.NDArray[np.float64]:
        parts = []
        for start in range(0, len(images), _CHUNK):
            batch = whole_batch([change(image) for image in images[start : start + _CHUNK]], classifier.card.input)
            parts.append(calibrated(classifier.logits(batch)[head.output], head))
        return np.concatenate(parts).astype(np.float64)

    still = answers(lambda image: image)
    steady = np.ones(len(images), np.bool_)

    def compared(change: Callable[[Image], Image], counts: bool) -> dict[str, float]:
        nonlocal steady
        other = answers(change)
        same = other.argmax(axis=1) == still.argmax(axis=1)
        if counts:
            steady &= same
        values = {
            "agreement": rounded(same.mean()),
            "distance": rounded(0.5 * np.abs(other - still).sum(axis=1).mean()),
        }
        return values if label is None else {"accuracy": _accuracy(other, label), **values}

    by_move = {move.name: compared(lambda image, move=move: moved(image, move), True) for move in moves}
    by_side = {str(px): compared(lambda image, px=px: small(image, px), False) for px in sides_px}
    result: dict[str, Any] = {"images": len(images)}
    if label is not None:
        result["accuracy"] = _accuracy(still, label)
    return {**result, "steady": rounded(steady.mean()), "moves": by_move, "sides_px": by_side}


def _accuracy(probabilities: npt.NDArray[np.float64], label: npt.NDArray[np.int64]) -> float:
    return rounded((probabilities.argmax(axis=1) == label).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--split", default=None)
    parser.add_argument("--model", action="append", help="a name, an .onnx file or a checkpoint; several times")
    parser.add_argument("--rows", type=int, default=None, help="only this many faces, drawn evenly")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--linear", action="store_true")
    arguments = parser.parse_args()
    faces = open_faces(arguments.data, arguments.split)
    names = arguments.model or ["base", "small"]
    models = {name: open_model(name, arguments.threads)[1] for name in names}
    chosen = np.arange(len(faces))
    if arguments.rows:
        chosen = np.unique(np.linspace(0, len(faces) - 1, arguments.rows).round().astype(int))
    results = {}
    for name, model in models.items():
        labels = LabelScheme.of(model.card.heads[0].labels)
        label = map_labels(faces.label[chosen], faces.labels, labels)
        color = model.card.input.channels == "rgb"
        images = faces.images(chosen[label >= 0], color=color)
        results[name] = measure_robustness(model, images, label[label >= 0])
        if arguments.linear:
            width, height = model.card.input.size_wh or (48, 48)
            for px in (px for px in SMALL_SIDES_PX if px < min(width, height)):
                large = [
                    cv2.resize(small(image, px), (width, height), interpolation=cv2.INTER_LINEAR) for image in images
                ]
                linear = measure_robustness(model, large, label[label >= 0], moves=(), sides_px=())
                results[name]["sides_px"][str(px)]["linear"] = linear["accuracy"]
    print(f"{results[names[0]]['images']:,} faces of {faces.source} ({faces.split})\n")
    table("accuracy", names, [("as they are", [results[name]["accuracy"] for name in names])])
    for kind, title in (("moves", "agreement"), ("sides_px", "accuracy"), ("sides_px", "agreement")):
        rows = [(key, [results[name][kind][key][title] for name in names]) for key in results[names[0]][kind]]
        if kind == "moves":
            rows.append(("no move changes the answer", [results[name]["steady"] for name in names]))
        else:
            rows = [(f"{key} px", values) for key, values in rows]
        table(title, names, rows)
    if arguments.linear:
        sides = [key for key, values in results[names[0]]["sides_px"].items() if "linear" in values]
        rows = [(f"{px} px", [results[name]["sides_px"][px]["linear"] for name in names]) for px in sides]
        table("accuracy, enlarged linearly", names, rows)


def table(title: str, names: list[str], rows: list[tuple[str, list[float]]]) -> None:
    print(f"| {title} | {' | '.join(f'`{name}`' for name in names)} |\n|{' --- |' * (len(names) + 1)}")
    for name, values in rows:
        print(f"| {name} | {' | '.join(f'{100 * value:.1f} %' for value in values)} |")
    print(flush=True)


if __name__ == "__main__":
    main()
