"""The target masses of training rows: everything that labels, votes and weights say, as one array a head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.data.balance import class_weights
from mien.data.ferplus import scheme_shares, vote_shares
from mien.errors import UsageError
from mien.train.architectures.spec import HeadSpec
from mien.train.expression.losses import (
    class_balanced_weights,
    one_hot,
    relabelled,
    smoothed,
    vote_agreement,
)
from mien.train.expression.rows import Rows
from mien.train.options import LossOptions

__all__ = ["target_masses"]


def target_masses(rows: Rows, heads: Sequence[HeadSpec], options: LossOptions) -> list[npt.NDArray[np.float32]]:
    """What the network should answer to each row, times how much the row counts.

    Parameters
    ----------
    rows : Rows
        N rows.
    heads : sequence of HeadSpec
        The labels' head, and that of the votes if there is one.
    options : LossOptions

    Returns
    -------
    list of float32 array of shape (N, K)
        One a head; see `mien.train.expression.losses`.

    Raises
    ------
    UsageError
        If an option needs votes and there are none.
    """
    faces, classes = rows.faces, len(rows.scheme.labels)
    if faces.votes is None and (options.relabel or options.vote_weighting):
        raise UsageError(
            f"relabel and vote_weighting need annotators' votes, but {faces.source} has none; leave both at 0"
        )
    targets, weights = one_hot(rows.label, classes), np.ones(len(rows))
    if options.class_weights == "balanced":
        weights *= class_weights(rows.label, classes)
    elif options.class_weights == "effective":
        weights *= class_balanced_weights(rows.label, classes, options.effective_beta)
    if faces.votes is not None and (options.relabel or options.vote_weighting):
        shares, known = scheme_shares(faces.votes, faces.vote_labels, rows.scheme)
        targets = relabelled(targets, shares, known, options.relabel)
        agreement = vote_agreement(rows.label, shares, known)
        weights *= 1.0 - options.vote_weighting * (1.0 - agreement)
    masses = [smoothed(targets, options.label_smoothing) * weights[:, None]]
    for head in heads[1:]:
        assert faces.votes is not None  # noqa: S101 - there is such a head only where there are votes
        masses.append(vote_shares(faces.votes, faces.vote_labels, head.labels)[0])
    return [mass.astype(np.float32) for mass in masses]
