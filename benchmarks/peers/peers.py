"""Other systems beside mien on the same faces; see README.md in this folder.

python benchmarks/peers/peers.py faces DATA OUT [--split validation]
python benchmarks/peers/peers.py score OUT [--threads 2]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mien.classify import OnnxClassifier, whole_batch
from mien.classify.class_scaling import calibrated
from mien.data.balance import map_labels
from mien.data.faces import open_faces
from mien.labels import FER7, find_scheme
from mien.metrics.classification import share_interval
from mien.metrics.paired import holm, paired_test
from mien.zoo import find_model

SIDE_PX = 48
MODELS = ("tiny", "small", "base", "wide")
BESIDE = "base"


def write_faces(data: str, split: str, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    faces = open_faces(data, split)
    images = np.stack(faces.images(np.arange(len(faces))))
    if images.shape[1:] != (SIDE_PX, SIDE_PX):
        raise SystemExit(f"{data}: faces of {images.shape[1:]}; expected gray ones of {SIDE_PX} x {SIDE_PX} pixels")
    images.tofile(out / "faces.u8")
    np.save(out / "labels.npy", map_labels(faces.label, faces.labels, find_scheme("fer7")))
    print(f"{len(images):,} faces of {faces.source} ({faces.split}) in {out}")


def score(out: Path, threads: int) -> None:
    labels = np.load(out / "labels.npy")
    images = list(np.fromfile(out / "faces.u8", np.uint8).reshape(-1, SIDE_PX, SIDE_PX))
    right: dict[str, np.ndarray] = {}
    for path in sorted(out.glob("*.f32")):
        answers = np.fromfile(path, np.float32).reshape(-1, len(FER7))
        if len(answers) != len(labels):
            raise SystemExit(f"{path}: {len(answers):,} answers for {len(labels):,} faces")
        right[path.stem] = answers.argmax(axis=1) == labels
    peers = list(right)
    for name in MODELS:
        model = OnnxClassifier(find_model(name, "expression"), threads)
        batches = [images[start : start + 256] for start in range(0, len(images), 256)]
        logits = [model.logits(whole_batch(batch, model.card.input))["fer7"] for batch in batches]
        answers = calibrated(np.concatenate(logits), model.card.head("fer7"))
        right[f"mien {name}"] = answers.argmax(axis=1) == labels
    beside = right[f"mien {BESIDE}"]
    tests = [paired_test(beside, right[name]) for name in peers]
    values = holm([test.p_value for test in tests])
    notes = {}
    for name, test, value in zip(peers, tests, values, strict=True):
        low, high = test.interval_95
        notes[name] = f"{100 * test.difference:.1f} ({100 * low:.1f} to {100 * high:.1f}), p = {value:.0e}"
    print(f"{len(labels):,} faces, one pass\n")
    print(f"| system | accuracy (95 %) | `{BESIDE}` is better by, in points |\n| --- | --- | --- |")
    for name, answers in sorted(right.items(), key=lambda item: item[1].mean()):
        low, high = share_interval(answers)
        print(
            f"| {name} | {100 * answers.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f}) | {notes.get(name, '')} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    faces = commands.add_parser("faces")
    faces.add_argument("data")
    faces.add_argument("out", type=Path)
    faces.add_argument("--split", default="validation")
    scores = commands.add_parser("score")
    scores.add_argument("out", type=Path)
    scores.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.command == "faces":
        write_faces(arguments.data, arguments.split, arguments.out)
    else:
        score(arguments.out, arguments.threads)


if __name__ == "__main__":
    main()
