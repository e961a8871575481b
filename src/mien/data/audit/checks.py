"""From measurements to findings, one function a check."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data import ferplus
from mien.data.audit.labels import LabelIssues
from mien.data.audit.plan import Finding
from mien.data.balance import map_labels
from mien.data.copies import COPY_KINDS, CopyPairs, copy_groups
from mien.data.dataset import Dataset
from mien.data.info import TRAIN
from mien.labels import EXPRESSIONS, scheme_of

__all__ = ["copy_findings", "face_findings", "flat_findings", "label_findings"]

Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]

FLAT_STD = 6.0
"""Below this standard deviation (gray levels of 255) nothing can be seen."""
BLACK_LEVEL = 8.0

NOT_FACE_LISTED, NOT_FACE_DROPPED = 0.15, 0.4
"""Scores from which an image is listed, and from which the plan says to drop it; chosen on FER2013's Training split."""


class _Links:
    """How the rows within groups of copies resemble each other."""

    def __init__(self, pairs: CopyPairs) -> None:
        # Near copies were only looked for among originals, the first of each set of exact copies.
        self._original: dict[int, int] = {}
        self._twins: dict[int, list[int]] = {}
        self._near: dict[int, dict[int, tuple[int, float]]] = defaultdict(dict)
        self._surest: dict[int, float] = {}
        columns = (pairs.first, pairs.second, pairs.kind, pairs.correlation)
        for first, second, kind, score in zip(*(column.tolist() for column in columns), strict=True):
            if kind == COPY_KINDS.index("exact"):
                self._original[second] = first
                self._twins.setdefault(first, [first]).append(second)
            elif score > self._near[first].get(second, (0, -1.0))[1]:
                self._near[first][second] = self._near[second][first] = (kind, score)
                for row in (first, second):
                    self._surest[row] = max(score, self._surest.get(row, -1.0))

    def surest(self, row: int, others: set[int]) -> tuple[int, float, int]:
        """Kind, correlation and row of the one of `others`, all of the same group, that most surely is a copy of `row`.

        Not compared one by one: of one picture there may be thousands.
        """
        own = self._original.get(row, row)
        twin = self._first(own, others)
        if twin is not None:
            return COPY_KINDS.index("exact"), 1.0, twin
        near = [(kind, -score, self._first(other, others)) for other, (kind, score) in self._near[own].items()]
        direct = [(kind, score, other) for kind, score, other in near if other is not None]
        if direct:
            kind, score, other = min(direct)
            return kind, -score, other
        # Connected by a third picture.
        limit = self._surest[own]
        score, other = min((-min(limit, self._surest[self._original.get(other, other)]), other) for other in others)
        return COPY_KINDS.index("near"), -score, other

    def _first(self, original: int, others: set[int]) -> int | None:
        """The first of `others` with the pixels of this row."""
        return next((row for row in self._twins.get(original, (original,)) if row in others), None)


def copy_findings(dataset: Dataset, pairs: CopyPairs) -> list[Finding]:
    """Leaks into evaluation splits first, then copies within a split."""
    groups = copy_groups(len(dataset), pairs)
    links = _Links(pairs)
    members: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(np.isin(groups, groups[pairs.second])).tolist():
        members[int(groups[row])].append(row)
    leaks, sources, copies = [], [], []
    for rows in members.values():
        by_split: dict[str, set[int]] = defaultdict(set)
        for row in rows:
            before = by_split[str(dataset.split[row])]
            if before:
                copies.append(_copy(dataset, "", row, before, links, "merge"))
            before.add(row)
        train = by_split.pop(TRAIN, set())
        evaluation = set().union(*by_split.values())
        if train and evaluation:
            leaks += [_copy(dataset, "leak", row, train, links, "keep") for row in evaluation]
            sources += [_copy(dataset, "leak_source", row, evaluation, links, "drop") for row in train]
    for finding in copies:
        finding.check = f"{finding.kind}_copy"
        other = dataset.labels[dataset.label[finding.partner or 0]]
        finding.note = "" if finding.label == other else f"its copy is labelled {other}"
    order = {kind: rank for rank, kind in enumerate(COPY_KINDS)}

    def surest(finding: Finding) -> tuple[int, float, int]:
        return order[finding.kind], -finding.score, finding.index

    return [*sorted(leaks, key=surest), *sorted(sources, key=surest), *sorted(copies, key=surest)]


def _copy(dataset: Dataset, check: str, row: int, others: set[int], links: _Links, action: str) -> Finding:
    """A finding for `row`, with the one of `others` that it resembles most as its partner."""
    kind, score, partner = links.surest(row, others)
    finding = _finding(dataset, check, row, action, score, "")
    finding.kind, finding.partner = COPY_KINDS[kind], partner
    return finding


def flat_findings(dataset: Dataset, images: Images) -> list[Finding]:
    """Images in which nothing can be seen."""
    spread = images.reshape(len(images), -1).std(axis=1)
    mean = images.reshape(len(images), -1).mean(axis=1)
    found = np.flatnonzero((spread < FLAT_STD) | (mean < BLACK_LEVEL))
    findings = []
    for row in found[np.argsort(spread[found], kind="stable")].tolist():
        note = f"mean {mean[row]:.0f}, spread {spread[row]:.1f}"
        score = 1.0 - min(float(spread[row]) / 255.0, 1.0)
        findings.append(_finding(dataset, "flat", row, "drop", score, note))
    return findings


def face_findings(
    dataset: Dataset, doubt: Floats | None, detected: Floats | None, known: set[int]
) -> tuple[list[Finding], dict[str, Any]]:
    """Images without a face: the model's "not a face" and the detector together, and the votes where there are any.

    The score is the model's probability, its log-odds lowered by the detector's score: a face that is found speaks
    against the model. Without such a model, the detector alone is a hint that only a person should act on.

    Parameters
    ----------
    doubt : float64 array of shape (N,) or None
        The model's probability of "not a face".
    detected : float64 array of shape (N,) or None
        The detector's best score.
    known : set of int
        Rows to leave out, because another check has them.

    Returns
    -------
    findings : list of Finding
    against_votes : dict
        See `Audit.not_face`; empty without votes.
    """
    count = len(dataset)
    seen = np.zeros(count) if detected is None else detected
    if doubt is not None:
        odds = np.log(np.clip(doubt, 1e-9, 1.0)) - np.log(np.clip(1.0 - doubt, 1e-9, 1.0)) - seen
        score, listed, dropped = 1.0 / (1.0 + np.exp(-odds)), NOT_FACE_LISTED, NOT_FACE_DROPPED
    elif detected is not None:
        # Half at most: never enough for the plan to say "drop".
        score, listed, dropped = np.where(seen > 0, 0.0, 0.5), 0.5, 1.1
    else:
        score, listed, dropped = np.zeros(count), 1.1, 1.1
    voted = ferplus.not_face_share(dataset.votes, dataset.info.vote_labels)
    majority = np.zeros(count, np.bool_) if voted is None else voted > 0.5
    found = np.flatnonzero((score >= listed) | majority)
    findings = []
    for row in found[np.lexsort((found, -score[found]))].tolist():
        if row in known:
            continue
        note = "" if doubt is None else f"model {doubt[row]:.2f}"
        note += "" if detected is None else f", detector {seen[row]:.2f}" if seen[row] else ", no face detected"
        note += f", votes {voted[row]:.0%}" if voted is not None and voted[row] else ""
        action = "drop" if score[row] >= dropped or majority[row] else "keep"
        finding = _finding(dataset, "not_face", row, action, float(score[row]), note.removeprefix(", "))
        finding.kind = "votes" if score[row] < listed else "model and votes" if majority[row] else "model"
        findings.append(finding)
    return findings, {} if voted is None else _against_votes(dataset, score, voted, listed, dropped)


def _against_votes(dataset: Dataset, score: Floats, voted: Floats, listed: float, dropped: float) -> dict[str, Any]:
    """Recall on the images that all annotators call no face, and precision, by split."""
    result: dict[str, Any] = {}
    for split in dataset.splits:
        own = dataset.split == split
        result[split] = {"all_votes": int((own & (voted >= 1.0)).sum())}
        for name, threshold in (("listed", listed), ("dropped", dropped)):
            found = own & (score >= threshold)
            result[split][name] = {
                "rows": int(found.sum()),
                "of_all_votes": int((found & (voted >= 1.0)).sum()),
                "precision": round(float((voted[found] > 0.5).mean()), 4) if found.any() else None,
            }
    return result


def label_findings(
    dataset: Dataset, issues: LabelIssues, probabilities: Floats, in_sample: npt.NDArray[np.bool_], known: set[int]
) -> list[Finding]:
    """Labels that contradict the probabilities; relabelled in the plan only where the votes' majority agrees."""
    voted, votes = None, ferplus.ferplus_votes(dataset.votes, dataset.info.vote_labels)
    if votes is not None:
        voted = ferplus.majority(votes)
        # Classes such as "positive" stand for several of those that were voted on.
        meant = map_labels(voted, EXPRESSIONS, scheme_of(dataset.labels))
    findings = []
    for row, suggested, quality in zip(
        issues.rows.tolist(), issues.suggested.tolist(), issues.quality.tolist(), strict=True
    ):
        if row in known or suggested == dataset.label[row]:
            continue
        given, other = int(dataset.label[row]), dataset.labels[suggested]
        note = f"{dataset.labels[given]} {probabilities[row, given]:.2f}, {other} {probabilities[row, suggested]:.2f}"
        agrees = voted is not None and voted[row] >= 0 and meant[row] == suggested
        if voted is not None:
            said = "no majority" if voted[row] < 0 else EXPRESSIONS[voted[row]]
            note += f"; votes: {said}"
        action = "relabel" if agrees else "keep"
        finding = _finding(dataset, "wrong_label", row, action, 1.0 - quality, note)
        finding.new_label, finding.in_sample = other, bool(in_sample[row])
        findings.append(finding)
    return findings


def _finding(dataset: Dataset, check: str, row: int, action: str, score: float, note: str) -> Finding:
    return Finding(
        check=check,
        rank=0,
        index=row,
        name="",
        split=str(dataset.split[row]),
        label=dataset.labels[dataset.label[row]],
        action=action,
        score=score,
        note=note,
    )
