"""How many cores there are to use, what is opened for them, and streams of items that several threads share."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["Closable", "Opened", "count_threads", "ordered_map", "usable_cores"]

_CGROUP = Path("/sys/fs/cgroup")
_A = TypeVar("_A")
_B = TypeVar("_B")


def usable_cores() -> int:
    """How many cores this process may use: fewer than the machine has under taskset, or in a container with a limit."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _cpu_quota()
    return cores if quota is None else min(cores, max(1, math.ceil(quota)))


def count_threads(wanted: int | None) -> int:
    """The threads to use: as many as wanted, else one for each core that this process may use (8 at most)."""
    if wanted is not None:
        return wanted
    return min(usable_cores(), 8)


def _cpu_quota() -> float | None:
    """The cores' worth of time that a container gets (``docker --cpus``, limits of Kubernetes); None without a limit.

    Such a container sees all cores. With a thread for each its share of time is over early, and all of them stand still
    for the rest of every tenth of a second.
    """
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # version 2 of cgroups, and 1
        with contextlib.suppress(OSError, ValueError):  # no such file; "max"
            quota, period = " ".join((_CGROUP / name).read_text(encoding="ascii") for name in names).split()
            return int(quota) / int(period) if int(quota) > 0 else None
    return None


class Opened(Generic[_A]):
    """A stage that is opened when it is first used: once for each number of threads, whoever asks first.

    A single image is read with all threads inside each stage; of many images, each is read with one thread, several at
    a time.
    """

    def __init__(self, build: Callable[[int], _A]) -> None:
        self._build = build
        self._by_threads: dict[int, _A] = {}
        self._lock = threading.Lock()

    def __call__(self, threads: int) -> _A:
        """The stage for that many threads."""
        with self._lock:
            if threads not in self._by_threads:
                self._by_threads[threads] = self._build(threads)
            return self._by_threads[threads]


class Closable(Iterator[_A], contextlib.AbstractContextManager["Closable[_A]"]):
    """An iterator that can be left early: by `close`, also from another thread than the one that reads, or by ``with``.

    Parameters
    ----------
    items : iterator
        If it is a generator, it ends at its next item when this is closed by another thread, else at once.
    """

    def __init__(self, items: Iterator[_A]) -> None:
        self._closed = threading.Event()
        self._items = _until(items, self._closed)

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> _A:
        return next(self._items)

    def close(self) -> None:
        """End it. Another thread that waits for an item gets the end in its place."""
        self._closed.set()
        # Python's "generator already executing": another thread is in it, and sees that it ends.
        with contextlib.suppress(ValueError):
            self._items.close()


# No method: a generator that refers to its Closable would keep it alive when it is let go of.
def _until(items: Iterator[_A], closed: threading.Event) -> Generator[_A, None, None]:
    for item in items:
        if closed.is_set():
            return
        yield item


def ordered_map(function: Callable[[_A], _B], items: Iterable[_A], threads: int, ahead: int = 2) -> Iterator[_B]:
    """Like `map`, with several threads and results in order.

    For each thread at most `ahead` items are being worked on, or are done and not yet taken by the caller, so that
    memory stays bounded. A larger number keeps the threads busy while the caller works.
    """
    if threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="mien") as pool:
        waiting: deque[Future[_B]] = deque()
        rest: Iterable[_A] = ()
        items = iter(items)
        try:
            for item in items:
                try:
                    waiting.append(pool.submit(function, item))
                except RuntimeError:  # the main thread has ended, and a thread that it left reads on: without a pool
                    rest = itertools.chain([item], items)
                    break
                if len(waiting) > ahead * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            yield from map(function, rest)
        finally:
            for future in waiting:
                future.cancel()
