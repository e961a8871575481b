"""How steadily models read the same faces moved a little, and how well they read small ones.

    python benchmarks/robustness.py DATA [--split validation] [--model base --model run/best.safetensors] [--rows N]

DATA is labelled faces in any layout, such as FER2013 (its PublicTest). Each face is shifted, scaled, turned and
mirrored; and averaged down to a few pixels and enlarged again by the preprocessing. With --linear, small faces are also
enlarged linearly: `mien` does it by cubic interpolation for what this program printed.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from mien.data.balance import map_labels
from mien.data.faces import open_faces
from mien.evaluate.models import open_model
from mien.evaluate.robustness import SMALL_SIDES_PX, measure_robustness, small
from mien.labels import LabelScheme


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
