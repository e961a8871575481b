"""Two models on the same rows: whether one is better, or it was luck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.metrics.classification import QUANTILE_975, rounded

__all__ = ["PairedTest", "difference_interval", "exact_mcnemar", "holm", "paired_test"]

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairedTest:
    """What two models' answers to the same rows say.

    Attributes
    ----------
    only_first, only_second : int
        Rows that only the one, or only the other, got right.
    difference : float
        Accuracy of the first less that of the second, in [-1, 1].
    interval_95 : (float, float)
        Of the difference: see `difference_interval`.
    p_value : float
        Of the exact McNemar test, two-sided.
    """

    only_first: int
    only_second: int
    difference: float
    interval_95: tuple[float, float]
    p_value: float


def exact_mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p value of the exact McNemar test.

    Rows on which both are right, or both wrong, say nothing about which is better. Of the others each would fall on
    either side with probability one half if both were equally good: a binomial distribution, summed here in whole
    numbers, without rounding.

    Parameters
    ----------
    only_first, only_second : int
        Rows that only the one, or only the other, got right.

    Returns
    -------
    float
        In [0, 1]; 1 where no row differs, 0 where it is too small for a float (1,075 rows that all fall on one side).
    """
    count = only_first + only_second
    term = total = 1
    for k in range(min(only_first, only_second)):
        term = term * (count - k) // (k + 1)
        total += term
    # Twice the smaller tail; where both are equal, the middle term lies in both tails.
    return min(1.0, float(2 * total / (1 << count)))


def difference_interval(only_first: int, only_second: int, rows: int) -> tuple[float, float]:
    """95 % interval of the difference of two shares of the same rows, after Bonett and Price (2012).

    That is the normal approximation after one row more was counted on either side. With thousands of rows it is what
    the bootstrap gives; where the two hardly differ (a model and its int8 form), it still has a width: the bootstrap of
    no row that differs says that both are equal for certain, of ten rows as of ten thousand.

    Parameters
    ----------
    only_first, only_second : int
        Rows that only the one, or only the other, got right.
    rows : int
        All of them; above 0.

    Returns
    -------
    (float, float)
        Lower and upper bound, in [-1, 1].
    """
    first, second = (only_first + 1) / (rows + 2), (only_second + 1) / (rows + 2)
    half = QUANTILE_975 * math.sqrt((first + second - (first - second) ** 2) / (rows + 2))
    return max(first - second - half, -1.0), min(first - second + half, 1.0)


def paired_test(first_right: BoolArray, second_right: BoolArray) -> PairedTest:
    """Compare two models that answered the same rows.

    Parameters
    ----------
    first_right, second_right : bool arrays of shape (N,)
        Which rows each got right; N above 0.
    """
    rows = len(first_right)
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    low, high = difference_interval(only_first, only_second, rows)
    return PairedTest(
        only_first,
        only_second,
        rounded((only_first - only_second) / rows),
        (rounded(low), rounded(high)),
        exact_mcnemar(only_first, only_second),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values, that hold for all comparisons together (Holm, 1979).

    Parameters
    ----------
    p_values : sequence of float
        Of the single comparisons.

    Returns
    -------
    list of float
        In the same order; none is smaller than before.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
