"""What is known of faces besides their expressions (gender, age, skin, camera, ...), as groups of faces."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_GROUPS", "split_groups"]

MOST_GROUPS = 12
"""With more values an attribute that is a number is cut into `_BINS` groups; any other makes no groups."""
_BINS = 5


def split_groups(values: npt.NDArray[np.str_]) -> dict[str, npt.NDArray[np.bool_]] | None:
    """The groups of an attribute: its values; of a number with many values five groups of about one size.

    Parameters
    ----------
    values : str array of shape (N,)
        Empty where nothing is known: such rows are in no group.

    Returns
    -------
    dict of str to bool array of shape (N,), or None
        Numbers by size, other values by name, ranges called ``"20 to 31"``. None where more than `MOST_GROUPS` values
        are no numbers.
    """
    known = sorted(set(values.tolist()) - {""}, key=_order)
    if len(known) <= MOST_GROUPS:
        return {value: values == value for value in known}
    if any(math.isnan(_number(value)) for value in known):
        return None
    number = np.array([_number(value) for value in values.tolist()])
    ascending = np.sort(number[~np.isnan(number)])
    # Borders are values that occur, so equal values stay together.
    starts = np.unique(ascending[[len(ascending) * part // _BINS for part in range(_BINS)]])
    # A row without a value is beyond the last start, and in no group.
    place = np.where(np.isnan(number), -1, np.searchsorted(starts, number, side="right") - 1)
    inside = [place == index for index in range(len(starts))]
    ends = [(number[rows].min(), number[rows].max()) for rows in inside]
    # As few digits as tell the ends apart: of "1.7e+09 to 1.7e+09" there would be five.
    every = np.unique(ends)
    digits = next(count for count in range(6, 18) if len({f"{end:.{count}g}" for end in every}) == len(every))
    return {f"{low:.{digits}g} to {high:.{digits}g}": rows for (low, high), rows in zip(ends, inside, strict=True)}


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _order(text: str) -> tuple[float, str]:
    """By the number that a text is or starts with ("-30", "4 to 19", "20-39", "70+"), else by name."""
    first = (text.split() or [""])[0].rstrip("+")
    number = _number(first)
    if math.isnan(number):  # a range; but a sign is no dash
        number = _number(first[:1] + first[1:].split("-")[0])
    return (math.inf if math.isnan(number) else number), text.lower()
