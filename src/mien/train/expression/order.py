"""In which order training rows are read: drawn again for every epoch, the same on every process and every machine.

The order of an epoch depends on the run's seed and the epoch alone. So nothing has to be kept to resume a run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.train.task import derived_seed

__all__ = ["epoch_order", "steps_in_epoch"]

IntArray = npt.NDArray[np.int64]
# How many groups of rows that are stored together are shuffled together.
_POOL = 16


def steps_in_epoch(rows: int, batch_size: int, world_size: int = 1) -> int:
    """The nearest whole number of batches, at least one; rows that are left over are drawn in other epochs."""
    return max(1, round(rows / (batch_size * world_size)))


def epoch_order(
    rows: int,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    world_size: int = 1,
    weights: npt.NDArray[np.float64] | None = None,
    groups: IntArray | None = None,
) -> IntArray:
    """Which rows each step of an epoch reads.

    Without weights every row comes once, as far as whole batches allow; where rows are missing for the last batch,
    they are drawn from a second round.

    Parameters
    ----------
    rows : int
        At least 1.
    batch_size : int
        Of one process.
    seed, epoch : int
        Decide the order.
    world_size : int
        Processes; each reads its own part of every step.
    weights : float array of shape (rows,), optional
        Draw rows in proportion to it, with putting back.
    groups : int array of shape (rows,), optional
        Ascending numbers of what is stored together and only cheap to read together. Groups are shuffled, and rows
        within pools of sixteen groups.

    Returns
    -------
    int64 array of shape (steps, world_size, batch_size)
    """
    rng = np.random.default_rng(derived_seed(seed, "order", epoch))
    steps = steps_in_epoch(rows, batch_size, world_size)
    wanted = steps * world_size * batch_size
    if weights is not None:
        edges = np.cumsum(weights, dtype=np.float64)
        drawn = np.searchsorted(edges, rng.random(wanted) * edges[-1], side="right")
        order = np.minimum(drawn, rows - 1)
        if groups is not None:
            order = _pooled(np.sort(order), groups, rng)
    else:
        rounds = -(-wanted // rows)
        every = np.arange(rows)
        parts = [rng.permutation(rows) if groups is None else _pooled(every, groups, rng) for _ in range(rounds)]
        order = np.concatenate(parts)[:wanted]
    return np.asarray(order, np.int64).reshape(steps, world_size, batch_size)


def _pooled(sorted_rows: IntArray, groups: IntArray, rng: np.random.Generator) -> IntArray:
    """Rows in ascending order, shuffled so that neighbours in the result come from few groups."""
    _, starts = np.unique(groups[sorted_rows], return_index=True)
    parts = np.split(sorted_rows, starts[1:])
    mixed = [parts[index] for index in rng.permutation(len(parts))]
    pools = [np.concatenate(mixed[start : start + _POOL]) for start in range(0, len(mixed), _POOL)]
    return np.concatenate([rng.permutation(pool) for pool in pools])
