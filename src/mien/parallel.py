"""How many cores there are to use, and work on a stream of items in several threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ordered_map", "usable_cores"]

_A = TypeVar("_A")
_B = TypeVar("_B")


def usable_cores() -> int:
    """How many cores this process may use, which in a container or under taskset are fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


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
