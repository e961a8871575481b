"""How many cores there are to use, and work on a stream of items in several threads."""

from __future__ import annotations

import contextlib
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

__all__ = ["ordered_map", "usable_cores"]

_CGROUP = Path("/sys/fs/cgroup")
_A = TypeVar("_A")
_B = TypeVar("_B")


def usable_cores() -> int:
    """How many cores this process may use: fewer than the machine has under taskset, or in a container with a limit."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _cpu_quota()
    return cores if quota is None else min(cores, max(1, math.ceil(quota)))


def _cpu_quota() -> float | None:
    """The cores' worth of time that a container gets (``docker --cpus``, limits of Kubernetes); None without a limit.

    Such a container sees all cores. With a thread for each its share of time is over early, and all of them stand still
    for the rest of every tenth of a second.
    """
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # version 2 of cgroups, and 1
        with contextlib.suppress(OSError, ValueError):  # no such file; "max"
            quota, period = " ".join((_CGROUP / name).read_text() for name in names).split()
            return int(quota) / int(period) if int(quota) > 0 else None
    return None


def ordered_map(function: Callable[[_A], _B], items: Iterable[_A], threads: int, ahead: int = 2) -> Iterator[_B]:
    """Like `map`, with several threads and results in order.

    At most `ahead` items a thread are under way or done and not yet taken, so that memory stays bounded. More of them
    keep the threads busy while the caller is.
    """
    if threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="mien") as pool:
        waiting: deque[Future[_B]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
