"""The audit on a page, with pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.audit.plan import ACTIONS, CHECKS, Finding
from mien.data.audit.run import Audit
from mien.data.dataset import Dataset
from mien.data.options import AuditOptions
from mien.data.pixels import cut_face, decode_gray, fit_square
from mien.data.split import evenly
from mien.page import picture_strip, picture_uri, render

__all__ = ["audit_page"]

_SIDE_PX = 48
_PAIRS, _FACES = 20, 32
_MEANINGS = {
    "leak": "an evaluation face with a copy in training",
    "leak_source": "the training face that is the copy",
    "exact_copy": "the same pixels twice in a split",
    "near_copy": "scaled, cropped, recompressed or retouched",
    "mirror_copy": "left and right exchanged",
    "flat": "nothing can be seen",
    "not_face": "no face in the image",
    "wrong_label": "the label contradicts the picture",
}


def audit_page(dataset: Dataset, audit: Audit, options: AuditOptions | None = None) -> str:
    """An audit as an HTML document that needs nothing else.

    Parameters
    ----------
    dataset : Dataset
        The one that was audited, from which the pictures come.
    audit : Audit
        Of this dataset.
    options : AuditOptions, optional
        As they were given to the audit; they are said on the page.
    """
    options = options or AuditOptions()
    wrong = audit.of("wrong_label")
    fresh = [finding for finding in wrong if not finding.in_sample]
    near = audit.of("near_copy")
    # The surest leaks are exact copies, which look all the same: near and mirrored ones are shown first.
    leaks = sorted(audit.of("leak"), key=lambda finding: (finding.kind == "exact", finding.rank))
    # Of exact copies those come first that are labelled otherwise.
    exact = sorted(audit.of("exact_copy"), key=lambda finding: (not finding.note, finding.rank))
    shown = {
        "leak": [leaks[i] for i in evenly(len(leaks), _PAIRS)],
        "exact_copy": exact[: _PAIRS // 2],
        "near_copy": near[-_PAIRS:],
        "mirror_copy": audit.of("mirror_copy")[: _PAIRS // 2],
        "flat": audit.of("flat")[: _FACES // 2],
        "not_face": audit.of("not_face")[:_FACES],
        "fresh_label": fresh[:_FACES],
        "seen_label": [finding for finding in wrong if finding.in_sample][:_FACES],
    }
    faces = _faces(dataset, (finding for findings in shown.values() for finding in findings))
    by_action = {check: dict.fromkeys(ACTIONS, 0) for check in CHECKS}
    for finding in audit.findings:
        by_action[finding.check][finding.action] += 1
    copies = [finding for finding in audit.findings if finding.check.endswith("_copy")]
    sources = set(dataset.column("source"))
    return render(
        "audit.html.j2",
        title=f"Dataset audit: {dataset.info.name or dataset.path.stem}",
        only_source=sources.pop() if len(sources) == 1 else None,
        rows=len(dataset),
        splits=dataset.splits,
        counts=audit.counts(),
        actions=ACTIONS,
        by_action=by_action,
        meanings=_MEANINGS,
        leaks=_leaks(audit),
        disagreeing=sum(bool(finding.note) for finding in copies),
        figures={name: [(finding, _picture(finding, faces)) for finding in found] for name, found in shown.items()},
        fresh_labels=len(fresh),
        not_face=audit.not_face,
        judged_rows=audit.judged_rows,
        in_sample_rows=audit.in_sample_rows,
        own_probabilities=audit.own_probabilities,
        model=options.model,
        trained_on=options.trained_on,
        evaluation=options.evaluation,
        times=audit.seconds,
    )


def _leaks(audit: Audit) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for finding in audit.of("leak"):
        row = table.setdefault(finding.split, {"exact": 0, "near": 0, "mirror": 0, "all": 0})
        row[finding.kind] += 1
        row["all"] += 1
    return table


def _faces(dataset: Dataset, findings: Iterable[Finding]) -> dict[int, npt.NDArray[np.uint8]]:
    rows = {row for finding in findings for row in (finding.index, finding.partner) if row is not None}
    boxes: list[Any] = dataset.column("box_xyxy")
    return {
        row: fit_square(cut_face(decode_gray(data, str(dataset.path)), boxes[row]), _SIDE_PX)
        for row, data in dataset.encoded(sorted(rows)).items()
    }


def _picture(finding: Finding, faces: dict[int, npt.NDArray[np.uint8]]) -> str:
    face = faces[finding.index]
    if finding.partner is None:
        return picture_uri(face)
    return picture_uri(picture_strip([face, faces[finding.partner]], 2))
