"""Score the shipped models on an evaluation split with and without the faces that have a copy in training.

mien data audit fer2013.parquet --plan plan.parquet
python benchmarks/leaked_scores.py fer2013.parquet plan.parquet [--split validation]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mien.data import Dataset, read_plan
from mien.data.audit.predict import label_probabilities, model_outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--split", default="validation")
    arguments = parser.parse_args()
    dataset = Dataset(arguments.dataset)
    leaked, exact = np.zeros(len(dataset), bool), np.zeros(len(dataset), bool)
    for finding in read_plan(arguments.plan, dataset.labels):
        if finding.check == "leak":
            leaked[finding.index] = True
            exact[finding.index] = finding.kind == "exact"
    own = np.flatnonzero(dataset.split == arguments.split)
    images, label, leaked, exact = dataset.images()[own], dataset.label[own], leaked[own], exact[own]
    print("| model | all | without exact copies | without any copy | copies only |\n| --- | --- | --- | --- | --- |")
    for model in ("base", "small"):
        right = label_probabilities(model_outputs(images, model, 2), dataset.labels).argmax(axis=1) == label
        parts = [np.ones(len(own), bool), ~exact, ~leaked, leaked]
        print(f"| `{model}` |", " | ".join(f"{right[part].mean():.1%} of {part.sum():,}" for part in parts), "|")


if __name__ == "__main__":
    main()
