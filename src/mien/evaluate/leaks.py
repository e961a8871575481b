"""Faces that a model may have seen: copies of training faces among those that it is measured on."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.copies import COPY_KINDS, copied_rows
from mien.data.faces import Faces, find_training
from mien.metrics.runs import accuracy_scores

__all__ = ["LEAK_PARTS", "leak_scores", "mark_leaks"]

MOST_SEARCHED = 100_000
"""The largest training split that is searched without being asked to."""
LEAK_PARTS = {
    "without_exact_copies": "no exact copies",
    "without_leaks": "no leaks",
    "leaked_only": "leaks only",
}
"""The parts of `leak_scores`, and what to call them."""


def mark_leaks(
    faces: Faces,
    data: str | os.PathLike[str],
    training: str | os.PathLike[str] | Faces | None,
    threads: int | None = None,
) -> Faces:
    """Mark faces with a copy in training: exact, near (scaled, cropped, recompressed, retouched) or mirrored.

    Parameters
    ----------
    faces : Faces
        What a model is measured on.
    data : path
        Where they are from; its split ``train`` is searched if `training` is None, unless it has more than
        `MOST_SEARCHED` faces.
    training : path, Faces or None
        What the model was trained on; as faces, the rest of the split that `faces` were held out of. If another dataset
        is named, the column ``leaked`` of this one says nothing of it, and does not count.
    threads : int, optional
        All cores by default.

    Returns
    -------
    Faces
        The same rows; unchanged where there are no training faces to look at (`mien.data.faces.find_training`).

    Raises
    ------
    InputError, UsageError
        If the training faces cannot be read.
    """
    searched = find_training(training, data, faces.split)
    named = None if training is None or isinstance(training, Faces) else Path(training)
    if searched is None or (len(searched) > MOST_SEARCHED and named is None):
        return faces
    kind = copied_rows(faces.squares(), searched.squares(), threads=threads)
    copied, exact = kind >= 0, kind == COPY_KINDS.index("exact")
    found = f"exact, near and mirrored copies in {searched.title}"
    elsewhere = named is not None and named.resolve() != Path(data).resolve()
    if faces.leaked is not None and not elsewhere:
        copied, found = faces.leaked | copied, f"{faces.leaked_by}, and {found}"
    return dataclasses.replace(faces, leaked=copied, leaked_exactly=exact, leaked_by=found)


def leak_scores(faces: Faces, right: dict[str, npt.NDArray[np.bool_]]) -> dict[str, Any] | None:
    """Accuracy without exact copies, without all leaked rows, and on them alone; None where nobody looked for leaks.

    Parameters
    ----------
    faces : Faces
        N rows.
    right : dict of str to bool array of shape (N,), or (S, N) of S runs
        Which rows are right, by the way they were read.
    """
    if faces.leaked is None:
        return None
    chosen = {"without_leaks": ~faces.leaked, "leaked_only": faces.leaked}
    if faces.leaked_exactly is not None:
        chosen = {"without_exact_copies": ~faces.leaked_exactly, **chosen}
    parts = {}
    for name, rows in chosen.items():
        part: dict[str, Any] = {"images": int(rows.sum())}
        if rows.any():
            for way, hits in right.items():
                part[way] = accuracy_scores(hits[..., rows])
        parts[name] = part
    return {"found_by": faces.leaked_by, **parts}
