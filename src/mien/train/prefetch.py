"""Batches that are read or made ahead of the steps that ask for them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mien.errors import MienError
from mien.opencv import opencv_threads
from mien.train.stop import ignore_stops, shielded_workers
from mien.train.task import Step

__all__ = ["Prefetcher", "StepReader"]

Key = TypeVar("Key")
Item = TypeVar("Item")


class StepReader(Generic[Item]):
    """What each step needs, out of an iterator that goes on with the next one."""

    def __init__(self) -> None:
        self._reading: Iterator[Item] | None = None
        self._next: tuple[int, int] | None = None

    def read(self, step: Step, begin: Callable[[int, int], Iterator[Item]]) -> Item:
        """What `step` needs.

        Parameters
        ----------
        step : Step
        begin : callable
            Takes an epoch and a step in it, and gives what is needed from there to the end of the epoch. Called where
            a step does not follow the last one: at each epoch, and where a run is resumed. Not kept.
        """
        if self._reading is None or self._next != (step.epoch, step.index):
            self._reading = begin(step.epoch, step.index)
        item = next(self._reading)
        self._next = (step.epoch, step.index + 1)
        return item


class Prefetcher(Generic[Key, Item]):
    """Items made of keys, ahead of time, by worker processes, which stay for the whole run.

    Parameters
    ----------
    make : callable
        Makes an item of a key. The processes get it once; an error of mien that it raises is raised here.
    workers : int
        Processes; 0 makes each item here, when it is asked for.
    fork : bool
        The processes share the memory of this one. One that is forked while other threads run may hang; by default
        fresh ones are started. (A server that forks would end at SIGTERM, and its processes with it.)
    pinned : bool
        Tensors come in memory from which a GPU can fetch them by itself.
    """

    def __init__(self, make: Callable[[Key], Item], workers: int, *, fork: bool = False, pinned: bool = False) -> None:
        self._keys = _Keys()
        options: dict[str, Any] = {}
        if workers:
            context = "fork" if fork else "spawn"
            options = {"multiprocessing_context": context, "persistent_workers": True, "prefetch_factor": 4}
        self._loader: DataLoader[Any] = DataLoader(
            _Items(make),
            batch_size=None,
            sampler=self._keys,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pinned,
            worker_init_fn=_begin_work,
            # Otherwise a seed for the workers, which draw nothing, is taken from torch's global generator.
            generator=torch.Generator().manual_seed(0),
            **options,
        )

    def items(self, keys: Iterable[Key]) -> Iterator[Item]:
        """The items of these keys, in their order; what was left of those before is given up."""
        self._keys.keys = list(keys)
        with _starting() if self._loader.num_workers else contextlib.nullcontext():
            loaded = iter(self._loader)
        for item in loaded:
            if isinstance(item, MienError):
                raise item
            yield item


class _Keys(Sampler[Any]):
    """What the loader reads next."""

    def __init__(self) -> None:
        self.keys: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys)


class _Items(Dataset[Any]):
    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._make(key)
        except MienError as error:
            return error  # Raised here, it would be a RuntimeError there.


def _as_it_is(item: Any) -> Any:
    return item


def _begin_work(worker: int) -> None:
    ignore_stops(worker)
    cv2.setNumThreads(1)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Workers may be started in here."""
    # A forked process has OpenCV's settings but not its threads, and would wait for them for ever.
    with opencv_threads(1), shielded_workers():
        yield
