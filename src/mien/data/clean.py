"""Carrying out a reviewed plan: a new dataset, with a record of what was done. The source is never changed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mien.data.audit.plan import Finding, image_id
from mien.data.dataset import Dataset
from mien.errors import InputError

__all__ = ["CleanSummary", "clean_dataset"]


@dataclass
class CleanSummary:
    """What cleaning did.

    Attributes
    ----------
    rows_before, rows_after : int
    dropped : dict of str to int
        Rows that are gone, by the check that said so (merged copies under the check that found them).
    relabelled : int
        Rows with a new label from the plan.
    merged_labels : int
        Rows whose label changed because copies of them were labelled otherwise.
    leaked : dict of str to int
        Marked rows by split; empty unless asked for.
    """

    rows_before: int
    rows_after: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    relabelled: int = 0
    merged_labels: int = 0
    leaked: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def clean_dataset(
    dataset: Dataset, plan: Sequence[Finding], dest: str | os.PathLike[str], *, leak_free: bool = False
) -> tuple[Dataset, CleanSummary]:
    """Carry out a plan.

    A row that any finding drops is dropped. Of copies that are merged, directly or through others, the first one stays
    that no finding drops; it takes the label that most of them have, and keeps its own where none leads.

    Parameters
    ----------
    dataset : Dataset
        The one that was audited; it is not changed.
    plan : sequence of Finding
        From `read_plan` or `Audit.findings`.
    dest : path
        The new dataset; it appears whole or not at all.
    leak_free : bool
        Add the column ``leaked``: True for the evaluation rows that have a copy in this dataset's training split,
        whether or not the plan drops that copy. (A model that was trained before has seen it.)

    Returns
    -------
    Dataset, CleanSummary

    Raises
    ------
    InputError
        If the plan is of another dataset.
    """
    _require_same(dataset, plan)
    summary = CleanSummary(len(dataset))
    labels = dataset.label.copy()
    reason = {finding.index: finding.check for finding in reversed(plan) if finding.action == "drop"}
    for finding in plan:
        if finding.action == "relabel" and finding.index not in reason:
            new = dataset.labels.index(finding.new_label)
            summary.relabelled += int(new != labels[finding.index])
            labels[finding.index] = new
    for rows, checks in _merge_groups(plan):
        alive = [row for row in rows if row not in reason]
        if not alive:
            continue
        agreed = _agreed_label([int(labels[row]) for row in rows if row not in reason], int(labels[alive[0]]))
        summary.merged_labels += int(agreed != labels[alive[0]])
        labels[alive[0]] = agreed
        reason.update({row: checks.get(row, "exact_copy") for row in alive[1:]})
    kept = np.array([row for row in range(len(dataset)) if row not in reason], np.int64)
    if not len(kept):
        raise InputError(str(dataset.path), "the plan drops every row; nothing was written")
    replace: dict[str, Any] = {"label": labels[kept]}
    info = dataset.info
    if leak_free:
        leaked = np.zeros(len(dataset), np.bool_)
        leaked[[finding.index for finding in plan if finding.check == "leak"]] = True
        replace["leaked"] = leaked[kept].tolist()
        info = info.with_columns("leaked")
        summary.leaked = dict(Counter(dataset.split[kept[leaked[kept]]].tolist()))
    summary.rows_after = len(kept)
    summary.dropped = dict(Counter(reason.values()))
    done = {key: value for key, value in summary.to_dict().items() if value != {}}
    info = info.after("clean", source=dataset.path.name, **done)
    return dataset.write_rows(dest, kept, info, replace=replace), summary


def _require_same(dataset: Dataset, plan: Sequence[Finding]) -> None:
    outside = [finding.index for finding in plan if not 0 <= finding.index < len(dataset)]
    encoded = {} if outside else dataset.encoded([finding.index for finding in plan])
    for finding in plan:
        if outside or image_id(encoded[finding.index]) != finding.image_id:
            name = finding.name or f"row {finding.index}"
            raise InputError(
                str(dataset.path), f"the plan is of another dataset: {name} is not the image that was audited. "
                "Audit this dataset, and use that plan"
            )  # fmt: skip


def _merge_groups(plan: Sequence[Finding]) -> list[tuple[list[int], dict[int, str]]]:
    """The rows that merges bring together, directly or through others, and which check named each."""
    merges = [finding for finding in plan if finding.action == "merge" and finding.partner is not None]
    home: dict[int, set[int]] = {}
    checks: dict[int, str] = {}
    for finding in merges:
        partner = finding.partner or 0
        group = home.get(partner, {partner}) | home.get(finding.index, {finding.index})
        home.update(dict.fromkeys(group, group))
        checks.setdefault(finding.index, finding.check)
    groups = {min(group): group for group in home.values()}
    return [(sorted(group), checks) for _, group in sorted(groups.items())]


def _agreed_label(votes: list[int], own: int) -> int:
    counts = Counter(votes).most_common()
    leads = len(counts) == 1 or counts[0][1] > counts[1][1]
    return counts[0][0] if leads else own
