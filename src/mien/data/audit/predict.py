"""Probabilities for the audit: from the shipped models, or from a file with out-of-fold predictions."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.classify import OnnxClassifier, whole_batch
from mien.classify.class_scaling import calibrated
from mien.data.parquet_file import ParquetFile
from mien.data.pixels import enlarged
from mien.detect import open_detector
from mien.errors import InputError, ModelError, UsageError
from mien.labels import NOT_FACE, PROBABILITY_PREFIX, UNKNOWN, canonical_name, scheme_of
from mien.opencv import opencv_threads
from mien.progress import Progress
from mien.zoo import find_model

__all__ = ["face_scores", "knowing_head", "label_probabilities", "model_outputs", "read_probabilities"]

Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]
_CHUNK = 256


def model_outputs(
    images: Images, model: str, threads: int, progress: Progress | None = None
) -> dict[tuple[str, ...], Floats]:
    """Run an expression model on faces that are cropped already.

    Returns
    -------
    dict
        For each of the model's heads, by its labels, the probabilities of shape (N, K).
    """
    classifier = OnnxClassifier(find_model(model, "expression"), 1)

    def run(block: Images) -> dict[str, npt.NDArray[np.float32]]:
        return classifier.logits(whole_batch(list(block), classifier.card.input))

    parts = _over_chunks(run, images, threads, progress)
    return {
        head.labels: calibrated(np.concatenate([part[head.output] for part in parts]), head).astype(np.float64)
        for head in classifier.card.heads
    }


def label_probabilities(outputs: dict[tuple[str, ...], Floats], labels: Sequence[str]) -> Floats:
    """The probabilities of a dataset's classes, from the first head that knows them all (ModelError if none does)."""
    head = knowing_head(list(outputs), labels)
    return scheme_of(labels).project(outputs[head], head)[0]


def knowing_head(heads: Sequence[tuple[str, ...]], labels: Sequence[str]) -> tuple[str, ...]:
    """The first of a model's heads, each given by its labels, that knows all classes of a dataset.

    Raises
    ------
    ModelError
        If there is none.
    """
    for head in heads:
        if scheme_of(labels).classes <= set(head):
            return head
    known = list(dict.fromkeys(name for head in heads for name in head if name not in (NOT_FACE, UNKNOWN)))
    members = scheme_of(labels).members
    # Should each be known, but by another head, it is all of them together that none knows.
    unknown = [label for label in labels if not set(members[label]) <= set(known)] or labels
    raise ModelError(
        f"the model does not know the classes {', '.join(unknown)}; it knows {', '.join(known)}; give a model that was "
        "trained on these classes (--model FILE.onnx), or out-of-fold --probabilities FILE"
    )


def face_scores(
    images: Images, detector: str, threads: int, progress: Progress | None = None
) -> npt.NDArray[np.float64]:
    """The detector's best score in each image, 0 where it finds no face; float64 of shape (N,).

    Small images are enlarged first.
    """
    opened = open_detector(detector, 1)

    def run(block: Images) -> list[float]:
        scores = []
        for image in block:
            found = opened.detect(enlarged(image)[0])
            scores.append(float(found.score[0]) if len(found) else 0.0)
        return scores

    return np.concatenate([np.asarray(part, np.float64) for part in _over_chunks(run, images, threads, progress)])


def _over_chunks(run: Callable[[Images], Any], images: Images, threads: int, progress: Progress | None) -> list[Any]:
    blocks = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    results, done = [], 0
    # OpenCV's own threads would fight with these over the cores.
    with opencv_threads(1), ThreadPoolExecutor(threads) as pool:
        for block, result in zip(blocks, pool.map(run, blocks), strict=True):
            results.append(result)
            done += len(block)
            if progress is not None:
                progress(done, len(images), "looking at images")
    return results


def read_probabilities(path: str | os.PathLike[str], rows: int, labels: Sequence[str]) -> Floats:
    """Read out-of-fold probabilities.

    Parameters
    ----------
    path : path
        ``.npy``: an array of shape (N, K), classes in the dataset's order. ``.csv`` or ``.parquet``: one column a
        class, by its name in any spelling (``happy`` or ``p_happy``), or a table of `mien evaluate --faces`; with a
        column ``index`` the rows may be some of the dataset's in any order, without it they are all of them in order.
        In Parquet also one list column ``probabilities``.
    rows : int
        Rows of the dataset.
    labels : sequence of str
        Its classes.

    Returns
    -------
    float64 array of shape (rows, len(labels))
        Rows that the file does not name are NaN.

    Raises
    ------
    InputError
        If the file does not fit the dataset.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".csv", ".parquet"):
        raise UsageError(f"{path}: expected probabilities in .npy, .csv or .parquet")
    try:
        if suffix == ".npy":
            index, values = None, np.load(path, allow_pickle=False)
        elif suffix == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as file:
                table = list(csv.DictReader(file))
            index, values = _from_columns(
                {key: [row[key] for row in table] for key in (table[0] if table else {})}, labels
            )
        else:
            index, values = _from_columns(ParquetFile(path).read().to_pydict(), labels)
        values = np.asarray(values, np.float64)
    except FileNotFoundError:
        raise InputError(str(path), "no such file; expected out-of-fold probabilities") from None
    except (OSError, ValueError, TypeError, UsageError) as error:
        raise InputError(str(path), f"cannot be read as probabilities of {', '.join(labels)} ({error})") from error
    return _placed(path, rows, len(labels), index, values)


def _from_columns(columns: dict[str, list[Any]], labels: Sequence[str]) -> tuple[list[int] | None, Any]:
    # Without a name are cells beyond the header, and the numbers that data frames write beside their rows.
    columns = {name: column for name, column in columns.items() if name}
    index = [int(value) for value in columns.pop("index")] if "index" in columns else None
    if "probabilities" in columns:
        return index, columns["probabilities"]
    # `mien evaluate --faces` writes them among labels, names and attributes.
    if own := {name: column for name, column in columns.items() if name.startswith(PROBABILITY_PREFIX)}:
        columns = {name.removeprefix(PROBABILITY_PREFIX): column for name, column in own.items()}
    named = {}
    for name, column in columns.items():
        plain = name.strip().lower().removeprefix("p_")
        named[plain if plain in labels else canonical_name(plain)] = column
    if missing := [label for label in labels if label not in named]:
        raise ValueError(f"there is no column {', '.join(missing)}")
    return index, np.asarray([named[label] for label in labels], np.float64).T


def _placed(path: Path, rows: int, classes: int, index: list[int] | None, values: Floats) -> Floats:
    if values.ndim != 2 or values.shape[1] != classes or (index is None and len(values) != rows):
        raise InputError(str(path), f"holds an array of shape {values.shape}; expected ({rows}, {classes})")
    sums = values.sum(axis=1)
    if len(values) and not (values.min() >= 0 and np.abs(sums - 1).max() < 1e-2):
        raise InputError(
            str(path), f"rows sum to {sums.min():.3g} to {sums.max():.3g}; expected probabilities that sum to 1"
        )
    if index is None:
        return values
    if len(index) and not 0 <= min(index) <= max(index) < rows:
        raise InputError(str(path), f"index from {min(index)} to {max(index)}; expected 0 to {rows - 1}")
    named, times = np.unique(index, return_counts=True)
    if (times > 1).any():
        raise InputError(
            str(path),
            f"names row {named[times > 1][0]} more than once; expected it once, by the model that has not seen it: of "
            "the models of folds, 'mien evaluate --split train' gives the rows that each held out",
        )
    placed = np.full((rows, classes), np.nan)
    placed[index] = values
    return placed
