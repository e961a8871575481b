"""The audit: every check over one dataset."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.audit.checks import copy_findings, face_findings, flat_findings, label_findings
from mien.data.audit.labels import find_label_issues
from mien.data.audit.plan import CHECKS, Finding, image_ids
from mien.data.audit.predict import (
    face_scores,
    knowing_head,
    label_probabilities,
    model_outputs,
    read_probabilities,
)
from mien.data.copies import CopyPairs, find_copies
from mien.data.dataset import Dataset, as_dataset
from mien.data.info import TRAIN
from mien.data.options import AuditOptions
from mien.detect import open_detector
from mien.errors import ModelError, UsageError, warn
from mien.labels import NOT_FACE
from mien.options import given_options
from mien.parallel import usable_cores
from mien.progress import Progress
from mien.zoo import find_model

__all__ = ["Audit", "audit_dataset", "identify"]

_SIDE_PX = 48


@dataclass
class Audit:
    """What an audit found.

    Attributes
    ----------
    findings : list of Finding
        By check in the order of `CHECKS`, the surest first: the plan.
    pairs : CopyPairs
        All pairs of copies.
    judged_rows : int
        Rows whose label was judged.
    in_sample_rows : int
        Those of them that were judged by a model that had been trained on them.
    own_probabilities : bool
        Whether labels were judged by out-of-fold probabilities of a file, and not by the model.
    not_face : dict
        Against the votes, where there are any: how many of the rows that all annotators call no face were found
        without looking at the votes, and at what precision.
    seconds : dict of str to float
        Time of each part.
    """

    findings: list[Finding]
    pairs: CopyPairs
    judged_rows: int = 0
    in_sample_rows: int = 0
    own_probabilities: bool = False
    not_face: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        # There may be thousands.
        found = ", ".join(f"{check} {count:,}" for check, count in self.counts().items() if count)
        return f"Audit({found or 'no findings'})"

    def of(self, check: str) -> list[Finding]:
        """The findings of one check, by its name in `CHECKS`."""
        return [finding for finding in self.findings if finding.check == check]

    def counts(self) -> dict[str, int]:
        """Findings by check."""
        return {check: len(self.of(check)) for check in CHECKS}

    def to_dict(self) -> dict[str, Any]:
        """The essentials as plain values for JSON."""
        leaks = self.of("leak")
        return {
            "findings": self.counts(),
            "leaks": {kind: sum(leak.kind == kind for leak in leaks) for kind in ("exact", "near", "mirror")},
            "not_face": self.not_face,
            "labels": {
                "judged_rows": self.judged_rows,
                "in_sample_rows": self.in_sample_rows,
                "out_of_fold_file": self.own_probabilities,
            },
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }


def audit_dataset(
    dataset: Dataset | str | os.PathLike[str],
    options: AuditOptions | None = None,
    *,
    progress: Progress | None = None,
    **kwargs: Any,
) -> Audit:
    """Look for copies, leaks, flat images, images without a face, and wrong labels.

    Parameters
    ----------
    dataset : Dataset, or path
        Faces are looked at in 48 x 48 pixels, gray.
    options : AuditOptions, optional
        Or its fields as keywords.
    progress : callable, optional
        Called with what is done, of how many, and what is under way.

    Returns
    -------
    Audit
        Labels of classes that the model does not know are not judged; that is warned of.
    """
    dataset, options = as_dataset(dataset), given_options(AuditOptions, options, kwargs)
    threads = options.threads or usable_cores()
    trained = _trained_splits(options.trained_on, dataset)
    # What is missing or wrong is said now, not after minutes of work.
    given = _given_probabilities(dataset, options)
    if options.detector != "none":
        open_detector(options.detector, 1)
    seconds: dict[str, float] = {}

    def told(part: str) -> Progress:
        def tell(done: int, total: int | None, _: str) -> None:
            if progress is not None:
                progress(done, total, part)

        return tell

    with _timed(seconds, "decode"):
        images = dataset.images(_SIDE_PX, told("decode"))
    with _timed(seconds, "copies"):
        pairs = find_copies(images, threshold=options.copy_correlation, threads=threads)
        copies = copy_findings(dataset, pairs)
    flat = flat_findings(dataset, images)
    with _timed(seconds, "model"):
        outputs = model_outputs(images, options.model, threads, told("model"))
    with _timed(seconds, "detector"):
        detected = (
            None if options.detector == "none" else face_scores(images, options.detector, threads, told("detector"))
        )
    head = next((labels for labels in outputs if NOT_FACE in labels), None)
    doubt = None if head is None else outputs[head][:, head.index(NOT_FACE)]
    faceless, not_face = face_findings(dataset, doubt, detected, {finding.index for finding in flat})
    with _timed(seconds, "labels"):
        probabilities = label_probabilities(outputs, dataset.labels) if given is None else given
        in_sample = np.isin(dataset.split, list(trained)) if given is None else np.zeros(len(dataset), np.bool_)
        issues = find_label_issues(dataset.label, probabilities, in_sample)
        dropped = {finding.index for finding in (*flat, *faceless) if finding.action == "drop"}
        wrong = label_findings(dataset, issues, probabilities, in_sample, dropped)
    findings = [*copies, *flat, *faceless, *wrong]
    _settle_actions(findings, options.evaluation)
    identify(dataset, findings)
    return Audit(
        findings,
        pairs,
        judged_rows=int(issues.judged.sum()),
        in_sample_rows=int((issues.judged & in_sample).sum()),
        own_probabilities=options.probabilities is not None,
        not_face=not_face,
        seconds=seconds,
    )


def _given_probabilities(dataset: Dataset, options: AuditOptions) -> npt.NDArray[np.float64] | None:
    """The probabilities of the file that was given; None where the model is to judge the labels.

    NaN where it cannot, since it does not know their classes: such rows are not judged, which is warned of.
    """
    card = find_model(options.model, "expression").card
    if options.probabilities is not None:
        return read_probabilities(options.probabilities, len(dataset), dataset.labels)
    try:
        knowing_head([head.labels for head in card.heads], dataset.labels)
    except ModelError as error:
        warn(f"{dataset.path}: wrong labels are not looked for: {error}")
        return np.full((len(dataset), len(dataset.labels)), np.nan)
    return None


def _settle_actions(findings: list[Finding], evaluation: str) -> None:
    """Make one plan of what the checks propose, in place."""
    if evaluation == "keep":
        for finding in findings:
            if finding.split != TRAIN:
                finding.action = "keep"
    # What is dropped needs no label; a plan that says both contradicts itself.
    dropped = {finding.index for finding in findings if finding.action == "drop"}
    for finding in findings:
        if finding.action == "relabel" and finding.index in dropped:
            finding.action = "keep"
            finding.note += "; dropped by another check"


def _trained_splits(text: str, dataset: Dataset) -> set[str]:
    names = {name.strip() for name in text.split(",")} - {"", "none"}
    unknown = names - set(dataset.splits) - {TRAIN}
    if unknown:
        raise UsageError(f"trained_on names {', '.join(sorted(unknown))}; the splits are {', '.join(dataset.splits)}")
    return names


def identify(dataset: Dataset, findings: list[Finding]) -> None:
    """Rank the findings within their checks, and give each its row's name and image digest, in place."""
    ids = image_ids(dataset, [finding.index for finding in findings])
    names = dataset.names()
    rank: dict[str, int] = {}
    for finding in findings:
        rank[finding.check] = rank.get(finding.check, 0) + 1
        finding.rank = rank[finding.check]
        finding.name = names[finding.index]
        finding.partner_name = "" if finding.partner is None else names[finding.partner]
        finding.image_id = ids[finding.index]


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start_s = time.monotonic()
    yield
    seconds[name] = time.monotonic() - start_s
