"""Several views of one face: shifted and mirrored crops, whose mean answer is right somewhat more often than one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mien.classify.class_scaling import calibrated
from mien.zoo.card import Head

__all__ = ["mean_probabilities", "take_views"]

Pixels = TypeVar("Pixels", bound=npt.NDArray[Any])


def take_views(images: Pixels, count: int = 10) -> list[Pixels]:
    """The first of ten views: as it is and shifted to the four sides (the edge is repeated), each also mirrored.

    Shifts are a twenty-fourth of the width: two pixels of 48, as is usual on FER2013.

    Parameters
    ----------
    images : array of shape (..., H, W)
        Crops of faces, of any dtype, as `mien.classify.preprocess` makes them.
    count : int
        1, 2 or 10: the face as it is; its mirror image too; both, and both shifted to each side.

    Returns
    -------
    list of `count` arrays of shape (..., H, W)
        The first is `images`.
    """
    height, width = images.shape[-2:]
    by = max(1, round(width / 24))
    shifted: list[Any] = [images]
    if count > 2:
        padded = np.pad(images, [(0, 0)] * (images.ndim - 2) + [(by, by), (by, by)], mode="edge")
        shifted += [
            padded[..., by + dy : by + dy + height, by + dx : by + dx + width]
            for dx, dy in ((by, 0), (-by, 0), (0, by), (0, -by))
        ]
    views: list[Any] = [np.ascontiguousarray(view) for image in shifted for view in (image, image[..., ::-1])]
    return views[:count]


def mean_probabilities(
    heads: Sequence[Head], answers: Sequence[Mapping[str, npt.NDArray[Any]]], sides_px: npt.NDArray[np.floating]
) -> dict[str, npt.NDArray[np.floating]]:
    """The mean of the calibrated probabilities of several views of each face.

    Such means are calibrated better than means of logits, and than those of uncalibrated probabilities
    (benchmarks/views.py).

    Parameters
    ----------
    heads : sequence of Head
        Of the model's card.
    answers : sequence of (mapping of str to float array of shape (N, K))
        The logits of each view by the output of the head, as `Classifier.logits` gives them.
    sides_px : float array of shape (N,)
        How many pixels of the photo each face spans: small ones are calibrated by themselves.

    Returns
    -------
    dict of str to float array of shape (N, K)
        For each head by its output.
    """
    means: dict[str, npt.NDArray[np.floating]] = {}
    for head in heads:
        means[head.output] = np.mean([calibrated(logits[head.output], head, sides_px) for logits in answers], axis=0)
    return means
