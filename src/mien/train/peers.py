"""Several processes of one run: started where nobody else does it; an error in one ends all, and is said once."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch

from mien.errors import MienError, TrainingError, UsageError
from mien.train.options import RunOptions

__all__ = ["process_group", "starts_others"]

# A process looks so often whether another one has failed. Its own work then has so long to end by itself, and the
# first one waits so long for the others before it says what is wrong.
_LOOK_S = 1.0
_END_S = 30.0
_GOODBYE_S = 10.0

# Machines have so long to meet: what fails on one before, no other one can know. (On one machine it is seen.)
_MEET_S = 300.0

_FAILED = "failed"
_FIRST_IS_GONE = "the first process of the run is gone; --resume goes on from what it saved last"

# What this process started: the same program, with it in each run of it; and the variables by which they meet.
_started: list[subprocess.Popen[bytes]] = []
_meeting: dict[str, str] = {}
_runs = itertools.count()


def starts_others(fabric: Any) -> bool:
    """Whether the run has other processes on this machine that are this one's to start, and have not been started."""
    external = fabric.world_size == 1 or fabric.strategy.cluster_environment.creates_processes_externally
    return not external and not _started


def _start_others(fabric: Any, options: RunOptions) -> None:
    """Start this program again for each further device of this machine.

    As Lightning would; but that kills the program if one of them ends with an error, before anything can be said.
    """
    place = fabric.strategy.cluster_environment
    first = {
        "MASTER_ADDR": place.main_address,
        "MASTER_PORT": str(place.main_port),
        "NODE_RANK": str(place.node_rank()),
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(options.devices * options.nodes),
    }
    for device in range(1, options.devices):
        command = [sys.executable, *sys.orig_argv[1:]]
        env = {**os.environ, **first, "LOCAL_RANK": str(device)}
        _started.append(subprocess.Popen(command, env=env))  # noqa: S603
    _meeting.update(first)


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """Variables of the run, by which Lightning sees that the others have been started; afterwards as they were."""
    names = (*_meeting, "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    threads = torch.get_num_threads()
    os.environ.update(_meeting)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        torch.set_num_threads(threads)


@contextlib.contextmanager
def process_group(fabric: Any, options: RunOptions) -> Iterator[None]:
    """Let the processes of a run meet, and leave together: an error in one of them ends all.

    Those of this machine are started, unless an earlier run or somebody else has done so.

    The first one raises its own error, or another's as a TrainingError. The others end quietly, by SystemExit. Only
    what mien does not raise on purpose is raised where it came from, for its traceback.

    A process that does not come out of its work by itself, as where it waits for a GPU, is ended.

    Raises
    ------
    TrainingError
        If the processes do not meet, or another one has failed or is gone.
    UsageError
        If an earlier run of this program left no processes for this one.
    """
    if options.devices * options.nodes == 1:
        yield
        return
    if _started and (len(_started) != options.devices - 1 or any(child.poll() is not None for child in _started)):
        raise UsageError(
            f"devices is {options.devices}, and the {len(_started) + 1} processes that an earlier run of this program "
            "started have ended or are not as many; start the program anew for this run"
        )
    if starts_others(fabric):
        _start_others(fabric, options)
    with _surroundings(), _met(_Peers(fabric, options)):
        yield


@contextlib.contextmanager
def _met(peers: _Peers) -> Iterator[None]:
    try:
        peers.meet()
        yield
        peers.leave()
    except BaseException as error:  # noqa: BLE001 - the others must not wait, whatever it is
        peers.tell(error)
        # The frames hold the wrapped network, and with it the connections, at which the others may wait.
        traceback.clear_frames(error.__traceback__)
        _disconnect()
        peers.end(error)
    finally:
        _disconnect()
        peers.stop_watching()


def _disconnect() -> None:
    """Destroy the process group before the process ends: otherwise its threads abort the process at times."""
    if torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.destroy_process_group()
        gc.collect()


class _Peers:
    """The processes of a run as one of them sees them, by the store through which they met."""

    def __init__(self, fabric: Any, options: RunOptions) -> None:
        self._fabric = fabric
        self._nodes = options.nodes
        self._count = options.devices * options.nodes
        self._first_child = fabric.strategy.node_rank * options.devices + 1
        # torchrun and Slurm tell the first one's status; at another's they would end it before it has spoken.
        by_launcher = type(fabric.strategy.cluster_environment).__name__ != "LightningEnvironment"
        self._quiet_status = 0 if by_launcher else 1
        self._run = next(_runs)
        self._store: Any = None
        self._failure = ""
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="mien-peers", daemon=True)
        self._watcher.start()

    def meet(self) -> None:
        """Wait for the others."""
        strategy = self._fabric.strategy
        place, rank = strategy.cluster_environment, strategy.node_rank * strategy.num_processes + strategy.local_rank
        where = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = place.main_address, str(place.main_port)
        limit = {"timeout": timedelta(seconds=_MEET_S)} if self._nodes > 1 else {}
        try:
            # A connection of its own: the group's may be busy.
            meeting = torch.distributed.rendezvous("env://", rank, self._count, **limit)  # type: ignore[attr-defined]
            store = next(meeting)[0]
            store.set_timeout(timedelta(seconds=_END_S))
            self._fabric.launch()
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise TrainingError(
                f"the {self._count} processes of the run did not meet at {':'.join(where)} ({reason}); if one of them "
                "ended before, it has said why"
            ) from error
        # A store of torchrun's outlives a run.
        self._store = torch.distributed.PrefixStore(f"mien/{self._run}", store)  # type: ignore[attr-defined]

    def leave(self) -> None:
        """Wait until all others are done, too."""
        # The store may end before this process has looked for the last time.
        self.stop_watching()
        self._fabric.barrier()
        # The next run has its own.
        self._store = None

    def tell(self, error: BaseException) -> None:
        """Let the others know of an error, unless there was one before."""
        words = str(error) if isinstance(error, MienError) else f"{type(error).__name__}: {error}"
        words = f"process {self._fabric.global_rank}: {words}"
        if _is_lost_connection(error):
            # Why it was lost, somebody else knows better.
            _wait_for(self._look, 3 * _LOOK_S)
            words = "the connection to another process of the run was lost"
        if not self._failure:
            self._fail(words)
        if self._fabric.is_global_zero and self._store is not None:
            # The store may end with this process's connections.
            _wait_for(lambda: self._store.check([_heard(rank) for rank in range(1, self._count)]), _GOODBYE_S)

    def end(self, error: BaseException) -> None:
        """Raise what this process ends with. Processes that it started end before."""
        _wait_for(lambda: all(child.poll() is not None for child in _started), _GOODBYE_S)
        for child in _started:
            child.kill()
        consequence = _is_lost_connection(error)
        if self._store is None or (self._fabric.is_global_zero and not consequence):
            raise error
        if self._fabric.is_global_zero or self._failure == _FIRST_IS_GONE:
            raise TrainingError(self._failure) from error
        if consequence or isinstance(error, MienError | KeyboardInterrupt):
            raise SystemExit(self._quiet_status) from None
        raise error

    def stop_watching(self) -> None:
        """The others may leave."""
        self._over.set()
        self._watcher.join(_END_S)  # it may be asking a machine that is gone

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_S):
            if self._look() and not self._over.wait(_END_S):
                if self._fabric.is_global_zero or self._failure == _FIRST_IS_GONE:
                    print(self._failure, file=sys.stderr, flush=True)  # noqa: T201
                for child in _started:
                    child.kill()
                os._exit(2)

    def _look(self) -> str:
        """What has ended the run; empty while nothing has."""
        for rank, child in enumerate(_started, self._first_child):
            if not self._failure and child.poll() is not None:
                how = f"signal {-child.returncode}" if child.returncode < 0 else f"status {child.returncode}"
                self._fail(f"process {rank} of the run ended with {how}", rank)
        if not self._failure and self._store is not None:
            try:
                failed = self._store.check([_FAILED])
            except RuntimeError:
                failed = True
            if failed:
                self._fail("")
        return self._failure

    def _fail(self, words: str, *lost: int) -> None:
        """Take in what has ended the run, in these words or the store's; for processes that were lost, too."""
        if self._store is None:
            self._failure = words
            return
        try:
            self._failure = self._store.compare_set(_FAILED, "", words).decode()
            for rank in (self._fabric.global_rank, *lost):
                self._store.set(_heard(rank), "")
        except RuntimeError:
            self._failure = self._failure or _FIRST_IS_GONE


def _wait_for(condition: Callable[[], Any], longest_s: float) -> None:
    until_s = time.monotonic() + longest_s
    while not condition() and time.monotonic() < until_s:
        time.sleep(_LOOK_S / 10)


def _heard(rank: int) -> str:
    return f"heard by {rank}"


def _is_lost_connection(error: BaseException) -> bool:
    """Whether an error says no more than that another process is gone."""
    if not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
