"""What the shipped models read together, and with both of their heads.

    python benchmarks/ensembles.py DATA [--split validation] [--threads 2]

DATA is FER2013 in any layout. Averages of several models: of the logarithms of the probabilities in one pass, of the
probabilities over ten views. Both heads of one model: the logarithms of the FER+ head's probabilities for the seven
expressions, times a weight, are added to those of the FER2013 head.
"""

from __future__ import annotations

import argparse
from itertools import combinations

import numpy as np

from mien.classify.calibration import softmax
from mien.data.balance import map_labels
from mien.data.faces import open_faces
from mien.evaluate.models import open_model
from mien.evaluate.predict import Outputs, predict
from mien.labels import FER7, find_scheme

MODELS = ("tiny", "small", "base", "wide")
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)


def logarithms(outputs: Outputs, head: str) -> np.ndarray:
    return np.log(softmax(outputs.logits[head].astype(float)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    faces = open_faces(arguments.data, arguments.split)
    labels = map_labels(faces.label, faces.labels, find_scheme("fer7"))
    opened = [open_model(name, arguments.threads)[1] for name in MODELS]
    outputs = dict(zip(MODELS, predict(opened, faces, views=True), strict=True))
    votes = next(head.labels for head in opened[0].card.heads if head.output == "ferplus")
    seven = [votes.index(label) for label in FER7]

    def accuracy(scores: np.ndarray) -> str:
        return f"{100 * (scores.argmax(axis=1) == labels).mean():.1f} %"

    print(f"{len(labels):,} faces of {faces.source} ({faces.split})\n")
    print("| models | one pass | ten views |\n| --- | --- | --- |")
    for count in range(1, len(MODELS) + 1):
        for names in combinations(MODELS, count):
            one = sum(logarithms(outputs[name], "fer7") for name in names)
            ten = sum((outputs[name].views or {})["fer7"] for name in names)
            print(f"| {' + '.join(names)} | {accuracy(one)} | {accuracy(ten)} |")
    print(f"\n| weight of the FER+ head | {' | '.join(map(str, WEIGHTS))} |\n|{' --- |' * (len(WEIGHTS) + 1)}")
    for name, said in outputs.items():
        first, second = logarithms(said, "fer7"), logarithms(said, "ferplus")[:, seven]
        print(f"| {name} | {' | '.join(accuracy(first + weight * second) for weight in WEIGHTS)} |")


if __name__ == "__main__":
    main()
