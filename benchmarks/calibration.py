"""What a scale and a bias for each class bring beside a temperature alone: truer probabilities, on faces held out.

    python benchmarks/calibration.py DATA [--split validation] [--model base --model wide]

DATA is labelled faces in any layout, such as FER2013 (its PublicTest). Both are fitted on four fifths of the faces and
measured on the last, five times over, with four shuffles. "FER+" is measured against the class that most of the ten
annotators chose, where they did: other labels than those of the fit. The second table is of fits to few faces, measured
on all others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mien.classify.calibration import expected_calibration_error, fit_temperature
from mien.classify.class_scaling import calibrated
from mien.data.balance import map_labels
from mien.data.faces import Faces, open_faces
from mien.data.ferplus import VOTE_LABELS, ferplus_votes
from mien.evaluate.models import open_model
from mien.evaluate.predict import predict
from mien.labels import LabelScheme
from mien.metrics.calibration import calibrate_head
from mien.zoo.card import Head

_FOLDS, _SHUFFLES, _DRAWS = 5, 4, 20
_FEW = (30, 60, 120, 250, 500, 1000)
_BINS = 15

Fit = Callable[[np.ndarray, np.ndarray], Head]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--split", default=None)
    parser.add_argument("--model", action="append", help="a name, an .onnx file or a checkpoint; several times")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    faces = open_faces(arguments.data, arguments.split)
    print(f"{len(faces):,} faces of {faces.source} ({faces.split})\n")
    few = []
    measures = "answers changed | right | ECE | of each class | NLL | FER+: right | FER+: NLL | too sure, by the answer"
    print(f"| model | calibrated by | {measures} |\n|{' --- |' * 10}")
    for name in arguments.model or ["tiny", "small", "base", "wide"]:
        _, model = open_model(name, arguments.threads)
        head = model.card.heads[0]
        label = map_labels(faces.label, faces.labels, LabelScheme.of(head.labels))
        (outputs,) = predict([model], faces, views=False)
        voted = most_voted(faces, head.labels)[label >= 0]
        values, label = outputs.logits[head.output][label >= 0].astype(np.float64), label[label >= 0]
        plain = Head(head.output, head.labels)
        fits: dict[str, Fit] = {
            "temperature": lambda z, y, plain=plain: replace(plain, temperature=fit_temperature(z, y)),
            "classes": lambda z, y, plain=plain: calibrate_head(plain, z, y),
        }
        for what, fit in fits.items():
            print(f"| `{name}` | {what} | {held_out(fit, values, label, voted, head.labels)} |")
        few.append(f"| `{name}` | {' | '.join(from_few(fits, values, label))} |")
    print(f"\n| NLL, fitted to | {' | '.join(map(str, _FEW))} |\n| --- |{' --- |' * len(_FEW)}")
    print("\n".join(few))


def most_voted(faces: Faces, labels: tuple[str, ...]) -> np.ndarray:
    """The class that most annotators of FER+ chose; -1 without votes, where two share the most, for other classes."""
    votes = ferplus_votes(faces.votes, faces.vote_labels)
    if votes is None:
        return np.full(len(faces), -1)
    alone = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) == 1
    number = np.array([labels.index(name) if name in labels else -1 for name in VOTE_LABELS])
    return np.where(alone, number[votes.argmax(axis=1)], -1)


def held_out(fit: Fit, values: np.ndarray, label: np.ndarray, voted: np.ndarray, labels: tuple[str, ...]) -> str:
    """A row's cells, means over the shuffles."""
    kept = voted >= 0
    random, rows, by_answer = np.random.default_rng(0), [], []
    for _ in range(_SHUFFLES):
        fold = random.permutation(len(label)) % _FOLDS
        found = np.empty_like(values)
        for own in range(_FOLDS):
            found[fold == own] = calibrated(values[fold == own], fit(values[fold != own], label[fold != own]))
        answer, confidence = found.argmax(axis=1), found.max(axis=1)
        right = answer == label
        changed = (answer != values.argmax(axis=1)).mean()
        error = expected_calibration_error(found, label)
        of_votes = ((answer == voted)[kept].mean(), nll(found[kept], voted[kept])) if kept.any() else (np.nan, np.nan)
        rows.append((changed, right.mean(), error, class_error(found, label), nll(found, label), *of_votes))
        by_answer.append([100 * (confidence - right)[answer == number].mean() for number in range(len(labels))])
    changed, share, error, of_classes, likelihood, *of_votes = np.mean(rows, axis=0)
    surplus = ", ".join(f"{name} {gap:+.1f}" for name, gap in zip(labels, np.mean(by_answer, axis=0), strict=True))
    cells = [f"{changed:.1%}", f"{share:.1%}", f"{error:.3f}", f"{of_classes:.4f}", f"{likelihood:.3f}"]
    return " | ".join([*cells, f"{of_votes[0]:.1%}", f"{of_votes[1]:.3f}", surplus])


def from_few(fits: dict[str, Fit], values: np.ndarray, label: np.ndarray) -> list[str]:
    """The likelihood of the other faces, by either way, for fits to more and more faces."""
    random, cells = np.random.default_rng(0), []
    for count in _FEW:
        found = []
        for _ in range(_DRAWS):
            order = random.permutation(len(label))
            own, others = order[:count], order[count:]
            found.append(
                [nll(calibrated(values[others], fit(values[own], label[own])), label[others]) for fit in fits.values()]
            )
        cells.append(" → ".join(f"{value:.3f}" for value in np.mean(found, axis=0)))
    return cells


def nll(probabilities: np.ndarray, label: np.ndarray) -> float:
    return float(-np.log(np.maximum(probabilities[np.arange(len(label)), label], 1e-12)).mean())


def class_error(probabilities: np.ndarray, label: np.ndarray) -> float:
    """Expected calibration error of each class's probability, mean over the classes (Kull et al. 2019)."""
    errors = []
    for number in range(probabilities.shape[1]):
        own = probabilities[:, number]
        bin_of = np.clip(np.ceil(own * _BINS).astype(int) - 1, 0, _BINS - 1)
        gaps = np.bincount(bin_of, weights=own - (label == number), minlength=_BINS)
        errors.append(np.abs(gaps).sum() / len(label))
    return float(np.mean(errors))


if __name__ == "__main__":
    main()
