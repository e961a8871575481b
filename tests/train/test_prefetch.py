from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mien.errors import InputError
from mien.train.prefetch import Prefetcher, StepReader
from mien.train.task import Step


def test_steps_that_follow_each_other_are_read_at_one_go() -> None:
    begun: list[tuple[int, int]] = []

    def begin(epoch: int, index: int) -> Iterator[str]:
        begun.append((epoch, index))
        return (f"{epoch}.{number}" for number in range(index, 3))

    reader: StepReader[str] = StepReader()
    steps = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (0, 1), (0, 2), (0, 2)]
    assert [reader.read(Step(*step, 0.0, 7), begin) for step in steps] == [f"{e}.{i}" for e, i in steps]
    assert begun == [(0, 0), (1, 0), (0, 1), (0, 2)]


def make(key: int) -> tuple[int, int]:
    if key < 0:
        raise InputError("photo", f"{key} is none")
    return key, os.getpid()


@pytest.mark.parametrize(("workers", "fork"), [(0, False), (2, True)])
def test_items_come_in_the_order_of_their_keys_from_processes_that_stay(workers: int, fork: bool) -> None:
    made = Prefetcher(make, workers, fork=fork)
    processes = set()
    for keys in (range(9), range(9, 0, -1)):
        items = list(made.items(keys))
        assert [key for key, _ in items] == list(keys)
        processes |= {process for _, process in items}
    assert len(processes) == max(workers, 1)
    assert (os.getpid() in processes) == (not workers)
    # What was not read yet is given up.
    assert next(made.items(range(5)))[0] == 0
    assert [key for key, _ in made.items([7, 8])] == [7, 8]
    with pytest.raises(InputError, match="photo: -1 is none") as raised:
        list(made.items([1, -1, 2]))
    assert raised.value.source == "photo"
