"""The best one-to-one pairing of rows and columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["assign"]


def assign(affinity: npt.NDArray[np.floating]) -> list[tuple[int, int]]:
    """Pair rows with columns so that the sum of affinities is largest.

    The Hungarian method with potentials (Kuhn, 1955; in the shortest-path form of Jonker and Volgenant, 1987).

    Parameters
    ----------
    affinity : float array of shape (R, C)
        At least 0; pairs of 0 are never made.

    Returns
    -------
    list of (int, int)
        Row and column of each pair, by row.
    """
    possible = affinity > 0
    rows, columns = np.flatnonzero(possible.any(axis=1)), np.flatnonzero(possible.any(axis=0))
    part = affinity[np.ix_(rows, columns)]
    usable = possible[np.ix_(rows, columns)]
    if (usable.sum(axis=0) == 1).all() and (usable.sum(axis=1) == 1).all():  # nothing to weigh
        row_index, column_index = np.nonzero(usable)
        pairs = list(zip(row_index.tolist(), column_index.tolist(), strict=True))
    elif len(rows) <= len(columns):
        pairs = _cheapest(-part)
    else:
        pairs = sorted((row, column) for column, row in _cheapest(-part.T))
    return [(int(rows[r]), int(columns[c])) for r, c in pairs if usable[r, c]]


def _cheapest(cost: npt.NDArray[np.floating]) -> list[tuple[int, int]]:
    """The cheapest pairing that gives every row a column; there are at least as many columns as rows."""
    count, width = cost.shape
    row_price = np.zeros(count)
    column_price = np.zeros(width + 1)
    owner = np.full(width + 1, -1)  # the row of each column; the last column is where each search starts
    for row in range(count):
        owner[width] = row
        distance = np.full(width, np.inf)
        previous = np.full(width, width)
        seen = np.zeros(width + 1, bool)
        column = width
        while owner[column] != -1:
            seen[column] = True
            current = owner[column]
            reduced = cost[current] - row_price[current] - column_price[:width]
            better = ~seen[:width] & (reduced < distance)
            distance[better] = reduced[better]
            previous[better] = column
            open_distance = np.where(seen[:width], np.inf, distance)
            nearest = int(open_distance.argmin())
            step = open_distance[nearest]
            row_price[owner[seen]] += step
            column_price[seen] -= step
            distance[~seen[:width]] -= step
            column = nearest
        while column != width:
            owner[column] = owner[previous[column]]
            column = int(previous[column])
    return sorted((int(row), column) for column, row in enumerate(owner[:width]) if row != -1)
