"""A look at a dataset: what it holds, in numbers and on a page."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mien.data import ferplus
from mien.data.attributes import split_groups
from mien.data.balance import map_labels
from mien.data.dataset import Dataset, as_dataset, count_labels
from mien.data.pixels import fit_square
from mien.labels import EXPRESSIONS, scheme_of
from mien.page import bar_chart, histogram, matrix, picture_strip, picture_uri, render
from mien.progress import Progress

__all__ = ["Report", "report_dataset", "report_page"]

_SIDE_PX = 48
_SAMPLES = 16
_MOST_SIZES = 10


@dataclass
class Report:
    """What a dataset holds.

    Attributes
    ----------
    name, rows, labels, splits, protocol, history
        As the dataset says.
    counts : dict of split to dict of class to int
        How many rows each class has in each split.
    class_totals : dict of class to int
        How many rows each class has in all splits together.
    imbalance : dict of str to float
        The largest class over the smallest, by split and for ``"all"``; infinite where a class is empty.
    medians : dict of class to dict
        ``brightness``, ``contrast`` and ``sharpness`` in gray levels of 255; ``entropy_bits`` of
        the faces that have votes.
    sizes : dict
        Sizes of the faces in pixels.
    attributes : dict of str to dict of str to dict of class to int
        Faces by attribute, group (`mien.data.attributes.split_groups`) and class; the last group, ``"not known"``, has
        the rest. Attributes without groups are left out.
    votes : dict or None
        ``rows`` with votes, ``with_majority``, ``agreement`` of labels and majorities (None without one),
        ``mean_entropy_bits``, ``disagreement``: counts of labels (rows) by majority (columns, the last is "none").
    seed : int
        Of the choice of samples.
    pictures : dict
        ``samples``: some faces of each class; ``means``: the mean face of each; uint8 of 48 x 48 pixels.
    measures : dict of str to float64 array of shape (N,)
        For each row what `medians` sums up by class; NaN where it is not known.
    """

    name: str
    rows: int
    labels: tuple[str, ...]
    splits: dict[str, int]
    protocol: str
    history: tuple[dict[str, Any], ...]
    counts: dict[str, dict[str, int]]
    class_totals: dict[str, int]
    imbalance: dict[str, float]
    seed: int
    medians: dict[str, dict[str, float]] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    votes: dict[str, Any] | None = None
    pictures: dict[str, Any] = field(default_factory=dict, repr=False)
    measures: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pictures; an infinite ratio becomes None."""
        values = {name: value for name, value in vars(self).items() if name not in ("pictures", "measures")}
        values["imbalance"] = {name: ratio if np.isfinite(ratio) else None for name, ratio in self.imbalance.items()}
        if self.votes is not None:
            values["votes"] = {**self.votes, "disagreement": self.votes["disagreement"].tolist()}
        return values


def report_dataset(
    dataset: Dataset | str | os.PathLike[str], *, seed: int = 0, progress: Progress | None = None
) -> Report:
    """Measure a dataset, in one pass over its images.

    Parameters
    ----------
    dataset : Dataset, or path
        Opened, or its file.
    seed : int
        Of the choice of samples: the same seed shows the same faces.
    progress : callable, optional
        Called with what is done, of how many, and what is under way.
    """
    dataset = as_dataset(dataset)
    label, split = dataset.label, dataset.split
    counts = {name: count_labels(label[split == name], dataset.labels) for name in dataset.splits}
    totals = {name: sum(own[name] for own in counts.values()) for name in dataset.labels}
    report = Report(
        name=dataset.info.name or dataset.path.stem,
        rows=len(dataset),
        labels=dataset.labels,
        splits=dataset.splits,
        protocol=dataset.info.protocol,
        history=dataset.info.history,
        counts=counts,
        class_totals=totals,
        imbalance={name: _ratio(own) for name, own in {**counts, "all": totals}.items()},
        seed=seed,
    )
    _look(dataset, report, progress)
    _count_votes(dataset, report)
    _count_attributes(dataset, report)
    for index, name in enumerate(dataset.labels):
        own = label == index
        if own.any():
            known = {key: values[own & np.isfinite(values)] for key, values in report.measures.items()}
            report.medians[name] = {key: float(np.median(values)) for key, values in known.items() if len(values)}
    return report


def report_page(report: Report) -> str:
    """A report as an HTML document that needs nothing else."""
    measures = report.measures
    charts: dict[str, Any] = {
        "brightness": histogram(measures["brightness"], 0, 255, "brightness"),
        "contrast": histogram(measures["contrast"], 0, 110, "contrast"),
        "sharpness": histogram(measures["sharpness"], 0, 120, "sharpness"),
    }
    if report.votes is not None:
        entropy = measures["entropy_bits"]
        charts["entropy"] = histogram(entropy[np.isfinite(entropy)], 0, 3, "entropy of the votes (bits)", 24)
        charts["disagreement"] = matrix(report.votes["disagreement"], report.labels, (*EXPRESSIONS, "none"))
    present = [label for label in report.labels if report.pictures["samples"].get(label)]
    return render(
        "report.html.j2",
        title=f"Dataset report: {report.name}",
        report=report,
        first_split=next(iter(report.splits)),
        class_chart=bar_chart(report.counts, report.labels),
        samples=[(name, picture_uri(picture_strip(report.pictures["samples"][name], _SAMPLES))) for name in present],
        means=[(name, picture_uri(report.pictures["means"][name])) for name in present],
        charts=charts,
    )


def _ratio(counts: dict[str, int]) -> float:
    smallest = min(counts.values())
    return max(counts.values()) / smallest if smallest else float("inf")


def _look(dataset: Dataset, report: Report, progress: Progress | None) -> None:
    """The pass over the images: measures, sizes, sums for the mean faces, the chosen samples."""
    rng = np.random.default_rng(report.seed)
    label = dataset.label
    chosen = {
        int(row): name
        for index, name in enumerate(dataset.labels)
        for row in rng.permutation(np.flatnonzero(label == index))[:_SAMPLES]
    }
    measures = {name: np.zeros(len(dataset)) for name in ("brightness", "contrast", "sharpness")}
    sums = np.zeros((len(dataset.labels), _SIDE_PX, _SIDE_PX))
    sizes: Counter[tuple[int, int]] = Counter()
    samples: dict[str, list[npt.NDArray[np.uint8]]] = {name: [] for name in dataset.labels}
    start = 0
    for batch in dataset.image_batches():
        sizes.update((image.shape[1], image.shape[0]) for image in batch)
        faces = np.stack([fit_square(image, _SIDE_PX) for image in batch])
        rows = slice(start, start + len(batch))
        measures["brightness"][rows] = faces.mean(axis=(1, 2))
        measures["contrast"][rows] = faces.std(axis=(1, 2))
        measures["sharpness"][rows] = [cv2.Laplacian(face, cv2.CV_32F).std() for face in faces]
        for index in np.unique(label[rows]).tolist():  # twenty times as fast as `np.add.at`
            sums[index] += faces[label[rows] == index].sum(axis=0)
        for offset in range(len(batch)):
            if start + offset in chosen:
                samples[chosen[start + offset]].append(faces[offset])
        start += len(batch)
        if progress is not None:
            progress(start, len(dataset), "looking at images")
    report.measures = measures
    totals = np.maximum(np.bincount(label, minlength=len(sums)), 1)
    means = (sums / totals[:, None, None] + 0.5).astype(np.uint8)
    report.pictures = {"samples": samples, "means": dict(zip(dataset.labels, means, strict=True))}
    (width, height), count = sizes.most_common(1)[0]
    report.sizes = {
        "common": f"{width} x {height}",
        "share": count / len(dataset),
        "different": len(sizes),
        "smallest": min(min(size) for size in sizes),
        "largest": max(min(size) for size in sizes),
        "table": {f"{w} x {h}": number for (w, h), number in sizes.most_common(_MOST_SIZES)},
    }


def _count_attributes(dataset: Dataset, report: Report) -> None:
    for name, values in dataset.attributes.items():
        groups = split_groups(values)
        if not groups:
            continue
        unknown = ~np.logical_or.reduce(list(groups.values()))
        if unknown.any():
            groups["not known"] = unknown
        report.attributes[name] = {
            group: count_labels(dataset.label[rows], dataset.labels) for group, rows in groups.items()
        }


def _count_votes(dataset: Dataset, report: Report) -> None:
    votes = ferplus.ferplus_votes(dataset.votes, dataset.info.vote_labels)
    if votes is None or not votes.any():
        return
    entropy = ferplus.vote_entropy_bits(votes)
    majority = ferplus.majority(votes)
    voted = votes.sum(axis=1) > 0
    table = np.zeros((len(dataset.labels), len(EXPRESSIONS) + 1), np.int64)
    np.add.at(table, (dataset.label[voted], majority[voted]), 1)
    clear = voted & (majority >= 0)
    # Classes such as "positive" stand for several of those that were voted on.
    meant = map_labels(majority[clear], EXPRESSIONS, scheme_of(dataset.labels))
    agreement = float((dataset.label[clear] == meant).mean()) if clear.any() else None
    report.measures["entropy_bits"] = np.where(voted, entropy, np.nan)
    report.votes = {
        "rows": int(voted.sum()),
        "mean_votes": float(votes[voted].sum(axis=1).mean()),
        "with_majority": int(clear.sum()),
        "agreement": agreement,
        "mean_entropy_bits": float(entropy[voted].mean()),
        "disagreement": table,
    }
