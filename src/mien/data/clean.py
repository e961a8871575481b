"""Carrying out a reviewed plan: a new dataset, with a record of what was done. The source is never changed."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.audit.plan import Finding, image_ids
from mien.data.copies import RowGroups
from mien.data.dataset import Dataset, as_dataset, check_new
from mien.errors import InputError

__all__ = ["CleanSummary", "clean_dataset"]


@dataclass
class CleanSummary:
    """What cleaning did.

    Attributes
    ----------
    rows_before, rows_after : int
        Rows of the dataset that was cleaned, and of the new one.
    dropped : dict of str to int
        Rows that are gone, by the check that said so (merged copies under the check that found them).
    relabelled : int
        Rows with a new label from the plan.
    merged_labels : int
        Rows whose label changed because copies of them were labelled otherwise.
    tied_labels : int
        Rows that kept their label although as many copies of them were labelled otherwise.
    leaked : dict of str to int
        Marked rows by split; empty unless asked for.
    """

    rows_before: int
    rows_after: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    relabelled: int = 0
    merged_labels: int = 0
    tied_labels: int = 0
    leaked: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def clean_dataset(
    dataset: Dataset | str | os.PathLike[str],
    plan: Sequence[Finding],
    dest: str | os.PathLike[str],
    *,
    leak_free: bool = False,
    plan_name: str = "plan",
) -> tuple[Dataset, CleanSummary]:
    """Carry out a plan.

    A row that any finding drops is dropped; findings that contradict each other are refused. Of copies that are merged,
    directly or through others, the first one stays that no finding drops; it takes the label that most of them have,
    and keeps its own where none leads.

    Parameters
    ----------
    dataset : Dataset, or path
        The one that was audited; it is not changed.
    plan : sequence of Finding
        From `read_plan` or `Audit.findings`.
    dest : path
        The new dataset; it appears whole or not at all.
    leak_free : bool
        Add the column ``leaked``: True for the evaluation rows that have a copy in this dataset's training split,
        whether or not the plan drops that copy. (A model that was trained before has seen it.)
    plan_name : str
        What errors call the plan, such as its file; its rows count from 0.

    Raises
    ------
    InputError
        If the plan is of another dataset, or a row of it names a row or a partner that makes no sense,
        or two of its rows relabel one face differently, or one relabels and the other drops it.
    UsageError
        If nothing can be written at `dest`.
    """
    dataset = as_dataset(dataset)
    check_new(dest, dataset)
    _require_same(dataset, plan, plan_name)
    _require_partners(dataset, plan, plan_name)
    _require_agreement(plan, plan_name)
    summary = CleanSummary(len(dataset))
    labels = dataset.label.copy()
    dropped_by = {finding.index: finding.check for finding in reversed(plan) if finding.action == "drop"}
    _relabel(dataset, plan, dropped_by, labels, summary)
    _merge(plan, dropped_by, labels, summary)
    kept = np.array([row for row in range(len(dataset)) if row not in dropped_by], np.int64)
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
    summary.dropped = dict(Counter(dropped_by.values()))
    done = {key: value for key, value in summary.to_dict().items() if value != {}}
    info = info.after("clean", source=dataset.path.name, **done)
    return dataset.write_rows(dest, kept, info, replace=replace), summary


def _require_same(dataset: Dataset, plan: Sequence[Finding], plan_name: str) -> None:
    for number, finding in enumerate(plan):
        if not 0 <= finding.index < len(dataset):
            raise InputError(
                f"{plan_name} row {number}", f"index {finding.index}; expected 0 to {len(dataset) - 1}, a row of "
                f"{dataset.path}. Correct it, or audit this dataset and use that plan"
            )  # fmt: skip
    ids = image_ids(dataset, [finding.index for finding in plan])
    for number, finding in enumerate(plan):
        if ids[finding.index] != finding.image_id:
            name = finding.name or f"row {finding.index}"
            raise InputError(
                str(dataset.path), f"the plan is of another dataset: {name} ({plan_name} row {number}) is not the "
                "image that was audited. Audit this dataset, and use that plan"
            )  # fmt: skip


def _require_partners(dataset: Dataset, plan: Sequence[Finding], plan_name: str) -> None:
    """A merge needs a partner that is in the dataset, is another row, and is the one that the plan names."""
    names = dataset.names()
    for number, finding in enumerate(plan):
        where, partner = f"{plan_name} row {number}", finding.partner
        if partner is None:
            if finding.action == "merge":
                raise InputError(where, "merge without a partner; expected the row of which it is a copy")
            continue
        if not 0 <= partner < len(dataset):
            raise InputError(where, f"partner {partner}; expected 0 to {len(dataset) - 1}, a row of {dataset.path}")
        if finding.action != "merge":
            continue
        if partner == finding.index:
            raise InputError(where, f"partner {partner} is the row itself; expected the row of which it is a copy")
        if finding.partner_name.strip() not in ("", names[partner].strip()):
            raise InputError(
                where,
                f"partner {partner} is {names[partner]}, but partner_name is {finding.partner_name}; correct the "
                "wrong one (an empty partner_name is not compared)",
            )


def _require_agreement(plan: Sequence[Finding], plan_name: str) -> None:
    """One face is dropped or gets a label; the plan does not say both, nor two labels."""
    said: dict[int, tuple[int, str]] = {}
    for number, finding in enumerate(plan):
        if finding.action not in ("drop", "relabel"):
            continue
        what = "drop" if finding.action == "drop" else f"relabel to {finding.new_label}"
        first, before = said.setdefault(finding.index, (number, what))
        if before != what:
            name = finding.name or f"row {finding.index}"
            raise InputError(
                f"{plan_name} rows {first} and {number}",
                f"contradict each other on {name}: '{before}' and '{what}'; make one of them 'keep'",
            )


def _relabel(
    dataset: Dataset,
    plan: Sequence[Finding],
    dropped_by: Mapping[int, str],
    labels: npt.NDArray[np.int64],
    summary: CleanSummary,
) -> None:
    """Give rows the labels that the plan says, in place."""
    for finding in plan:
        if finding.action == "relabel" and finding.index not in dropped_by:
            new = dataset.labels.index(finding.new_label)
            summary.relabelled += int(new != labels[finding.index])
            labels[finding.index] = new


def _merge(
    plan: Sequence[Finding], dropped_by: dict[int, str], labels: npt.NDArray[np.int64], summary: CleanSummary
) -> None:
    """Leave one row of each group of copies, with the label of most of them; the others are added to `dropped_by`."""
    merges = [finding for finding in plan if finding.action == "merge"]
    merged_by = {finding.index: finding.check for finding in reversed(merges)}
    for group in _merge_groups(merges, len(labels)):
        alive = [row for row in group if row not in dropped_by]
        if not alive:
            continue
        first = alive[0]
        most, *others = statistics.multimode(labels[alive].tolist())
        if others:
            summary.tied_labels += 1
        elif most != labels[first]:
            summary.merged_labels += 1
            labels[first] = most
        dropped_by.update({row: merged_by.get(row, "exact_copy") for row in alive[1:]})


def _merge_groups(merges: Sequence[Finding], count: int) -> list[list[int]]:
    """The rows that merges bring together, directly or through others; ascending, as are the groups."""
    pairs = [(finding.index, finding.partner) for finding in merges if finding.partner is not None]
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    connected = RowGroups(count)
    connected.join(first, second)
    rows = np.unique([first, second])
    groups: dict[int, list[int]] = {}
    for row, group in zip(rows.tolist(), connected.of(rows).tolist(), strict=True):
        groups.setdefault(group, []).append(row)
    return [groups[group] for group in sorted(groups)]
