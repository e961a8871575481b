"""Occlusion sensitivity: parts of a crop are hidden, and the model reads what is left.

The idea is Zeiler and Fergus's ("Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901): it
needs no gradients, so that every model can be asked that mien can run. They slide one patch over the picture. A sure
answer hardly changes by that, since the rest of the face carries it alone; so, as Petsiuk, Das and Saenko do ("RISE",
BMVC 2018, arXiv:1806.07421), half of the crop is hidden at a time, in many ways. The ways are no random ones: they are
the rows of a Hadamard matrix and their complements, a two-level design in which each square is hidden in half of the
ways, and in which neither another square nor what two others do together counts as the doing of a square. With as many
passes this finds what an answer rests on better than the patch (benchmarks/occlusion.py).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mien.background import within_c
from mien.classify import Classifier, mean_probabilities, take_views
from mien.labels import LabelScheme
from mien.prepared import checked_logits
from mien.zoo import Head

__all__ = ["GRID", "WAYS", "hidden_crops", "occlude"]

Crop = npt.NDArray[np.uint8 | np.float32]

GRID = 8
"""Rows and columns of squares into which a crop is divided."""
WAYS = 2 * GRID * GRID
"""In how many ways half of the squares are hidden in one round: each row of the matrix, and its complement."""
_SOFT = 1 / 24
"""Half the width of a square's edge, as a share of the crop's side: a sharp edge is itself something to see."""
_BATCH = 32
"""Crops in one call, as many as a session runs at once."""


def occlude(
    classifier: Classifier,
    crop: Crop,
    side_px: float,
    served: tuple[LabelScheme, Head],
    expression: str,
    *,
    views: int = 1,
    rounds: int = 2,
) -> tuple[float, npt.NDArray[np.float64]]:
    """How much less probable an expression is where a square of a crop is hidden.

    The probability itself is compared, as it is reported: calibrated, and a share of what the scheme's labels have. It
    cannot lose more than it has, so that no single way of hiding drowns the others, as one of a logarithm may.

    Parameters
    ----------
    classifier : Classifier
    crop : uint8 or float32 array of shape (C, H, W)
        As `mien.classify.preprocess` makes it for the classifier's card.
    side_px : float
        How many pixels of the photo the crop spans: small faces are calibrated by themselves.
    served : (LabelScheme, Head)
        The scheme, and the head of the classifier that serves it.
    expression : str
        One of the scheme's labels.
    views : int
        As many views of each crop are averaged: see `mien.classify.take_views`.
    rounds : int
        How often half of the squares are hidden in `WAYS` ways, each time others: more make the map steadier.

    Returns
    -------
    (probability, drop) : float, float64 array of shape (GRID, GRID)
        The probability of the whole crop; and for each square its mean over the ways that show the square, less that
        over the ways that hide it, in [-1, 1]. Negative where the expression is more probable without the square.

    Raises
    ------
    ModelError
        If the classifier's answer is not that of its card.
    """
    scheme, head = served
    column = scheme.labels.index(expression)

    def probability(batch: Crop) -> npt.NDArray[np.float64]:
        with within_c():  # batch by batch: an end of Python need not wait for all of a face
            answers = [checked_logits(classifier, view) for view in take_views(batch, views)]
        shares = mean_probabilities([head], answers, np.full(len(batch), side_px))[head.output]
        return scheme.project(shares, head.labels)[0][:, column]

    whole = float(probability(crop[None])[0])
    left = np.concatenate([probability(batch) for batch in hidden_crops(crop, rounds)])
    hides = _ways(rounds)
    shown = 1 - hides
    drop = (left @ shown - left @ hides) / (len(left) / 2)
    return whole, drop.reshape(GRID, GRID)


def hidden_crops(crop: Crop, rounds: int = 2) -> Iterator[Crop]:
    """Copies of a crop with half of its squares hidden, in batches of the crop's dtype and the shape (N, C, H, W).

    What is hidden takes the crop's mean colour, in which no part of a face differs from its surroundings.

    Parameters
    ----------
    crop : uint8 or float32 array of shape (C, H, W)
    rounds : int
        There are `WAYS` copies a round.
    """
    height, width = crop.shape[-2:]
    down, across = _cover(height), _cover(width)
    pixels = crop.astype(np.float32)
    to_mean = crop.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32) - pixels
    ways = _ways(rounds).reshape(-1, GRID, GRID)
    for start in range(0, len(ways), _BATCH):
        hidden = down.T @ ways[start : start + _BATCH].astype(np.float32) @ across
        batch = pixels + hidden[:, None] * to_mean
        yield batch if crop.dtype == np.float32 else np.rint(batch).astype(crop.dtype)


@functools.lru_cache(maxsize=4)
def _ways(rounds: int) -> npt.NDArray[np.float64]:
    """Which squares are hidden (1) and which are shown (0), of shape (rounds * WAYS, GRID * GRID).

    For each way its mirror image is one, too, so that a mirrored face has the mirrored map. That holds for the rows of
    Sylvester's matrix, where a square and its mirror image have the columns x and -1 - x: column -1 - x is column x
    times the last one, and so each row becomes itself or its complement.
    """
    signs = np.ones((1, 1))
    while len(signs) < GRID * GRID:
        signs = np.block([[signs, signs], [signs, -signs]])
    rng = np.random.default_rng(0)
    ways = []
    for _ in range(rounds):
        # Which columns is left to chance: in their own order the rows are stripes and checkerboards.
        left = rng.permutation(GRID * GRID // 2)
        left = np.where(rng.random(left.shape) < 0.5, left, -1 - left).reshape(GRID, GRID // 2)
        columns = np.hstack([left, -1 - left[:, ::-1]]).ravel()
        ways += [signs[:, columns], -signs[:, columns]]
    hides = (1 - np.concatenate(ways)) / 2
    hides.setflags(write=False)
    return hides


def _cover(length_px: int) -> npt.NDArray[np.float32]:
    """How much of each pixel along one side belongs to each square, in [0, 1]: of shape (GRID, length_px).

    The edge between two squares is a ramp, on which their shares add up to 1.
    """
    place = (np.arange(length_px) + 0.5) / length_px
    centre = (np.arange(GRID) + 0.5) / GRID
    inside = 1 / (2 * GRID) - np.abs(place - centre[:, None])
    share = np.clip(0.5 + inside / (2 * _SOFT), 0, 1)
    # The outermost squares reach the border.
    return np.asarray(share / share.sum(axis=0), np.float32)
