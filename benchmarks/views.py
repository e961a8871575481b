"""What the mean over several views of each face brings (`mien recognize --views`): accuracy, and truer confidence.

    python benchmarks/views.py DATA [--split validation] [--model base --model wide]

DATA is labelled faces in any layout, such as FER2013 (its PublicTest). Views cost as many passes through the network as
there are: the time for reading a face grows with them, that for finding it does not.
"""

from __future__ import annotations

import argparse

import numpy as np

from mien.classify import mean_probabilities, take_views, whole_batch
from mien.classify.calibration import expected_calibration_error
from mien.data.balance import map_labels
from mien.data.faces import open_faces
from mien.evaluate.models import open_model
from mien.labels import LabelScheme

_CHUNK = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--split", default=None)
    parser.add_argument("--model", action="append", help="a name, an .onnx file or a checkpoint; several times")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    faces = open_faces(arguments.data, arguments.split)
    print(f"{len(faces):,} faces of {faces.source} ({faces.split})\n")
    print("| model | views | accuracy | calibration error |\n| --- | --- | --- | --- |")
    for name in arguments.model or ["tiny", "small", "base", "wide"]:
        _, model = open_model(name, arguments.threads)
        head = model.card.heads[0]
        label = map_labels(faces.label, faces.labels, LabelScheme.of(head.labels))
        answers: list[list[np.ndarray]] = []
        sides_px: list[int] = []
        for start in range(0, len(faces), _CHUNK):
            chosen = np.arange(start, min(start + _CHUNK, len(faces)))
            images = faces.images(chosen, color=model.card.input.channels == "rgb")
            sides_px += [max(image.shape[:2]) for image in images]
            batch = whole_batch(images, model.card.input)
            answers.append([model.logits(view)[head.output] for view in take_views(batch)])
        views = [{head.output: np.concatenate(parts)} for parts in zip(*answers, strict=True)]
        for count in (1, 2, 10):
            mean = mean_probabilities([head], views[:count], np.array(sides_px, np.float64))[head.output][label >= 0]
            accuracy = (mean.argmax(axis=1) == label[label >= 0]).mean()
            error = expected_calibration_error(mean, label[label >= 0])
            print(f"| `{name}` | {count} | {accuracy:.1%} | {error:.3f} |")


if __name__ == "__main__":
    main()
