"""The driver: plans a job, or goes on with one, and has Ray Data take the parts to the workers."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

from mien.cluster.destination import Destination, plan_destination
from mien.cluster.options import BatchOptions
from mien.cluster.rows import Tally
from mien.cluster.storage import check_extra
from mien.errors import MienError, UsageError

__all__ = ["run_batch"]

_OBJECT_STORE_BYTES = 80 << 20
_CONNECT_TIMEOUT_S = 10.0
_MOST_START_DEATHS = 20


def run_batch(
    source: str,
    destination: str,
    options: BatchOptions | None = None,
    *,
    planned: Callable[[Destination, int], None] | None = None,
    part_done: Callable[[Tally], None] | None = None,
) -> Destination:
    """Read everything that a source names, in parts, and write the rows to a destination.

    Parts that the destination holds already are not read again. Stopped at any moment, by whatever, it is called again
    with the same arguments to go on.

    Parameters
    ----------
    source : str
        See `mien.cluster.source.list_sources`.
    destination : str
        A folder of this machine, or the address of one.
    options : BatchOptions, optional
    planned : callable, optional
        Called with the destination, and the number of parts that are done already, before the first part is read.
    part_done : callable, optional
        Called with the counts of each part when it is done.

    Raises
    ------
    UsageError
        If the source names nothing, the destination holds another job, or the cluster cannot be reached.
    OutputError
        If the destination cannot be written: what was written stays.
    MienError
        If the workers cannot read at all.
    MissingExtraError
        If Ray is not installed.
    """
    options = options or BatchOptions()
    check_extra()
    if options.gpus_per_worker:
        _check_gpu(options)
    found = plan_destination(source, destination, options)
    done = found.done_parts()
    if planned is not None:
        planned(found, len(done))
    left = [number for number in range(found.manifest.parts) if number not in done]
    if left:
        with _ray(options) as ray:
            for result in _results(ray, found, left, options):
                if result["problem"] is not None:
                    raise MienError(f"{result['problem']}. What was read so far is written; start again to go on")
                if part_done is not None:
                    part_done(Tally(**result["tally"]))
    return found


def _results(ray: Any, destination: Destination, left: list[int], options: BatchOptions) -> Iterator[dict[str, Any]]:
    """What `PartReader` says of each part, as they are done."""
    from mien.cluster.worker import PartReader

    job = {
        "recognizer": options.recognizer_options(),
        "video": options.video_options(),
        "timeout_s": options.timeout_s,
        "retries": options.retries,
        "gpu": options.gpus_per_worker > 0,
    }
    cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    workers = min(options.workers or cores, len(left))
    # Started without a number, a cluster that grows is used as it grows.
    most = workers if options.workers or not _address(options) else None
    strategy = ray.data.ActorPoolStrategy(min_size=workers, max_size=most, max_tasks_in_flight_per_actor=2)
    parts = ray.data.from_items([{"part": number} for number in left], override_num_blocks=len(left))
    resources: dict[str, Any] = {"num_cpus": 1}
    if options.gpus_per_worker:
        resources["num_gpus"] = options.gpus_per_worker
    results = parts.map_batches(
        PartReader,
        fn_constructor_args=(destination.folder.address, vars(destination.manifest), job),
        compute=strategy,
        batch_size=None,
        **resources,
    )
    try:
        for batch in results.iter_batches(batch_size=None, prefetch_batches=0):
            yield from batch["result"]
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines()[-1][:300]
        raise MienError(
            f"the cluster gave up ({said}). What was read so far is written; start again to go on"
        ) from error


@contextlib.contextmanager
def _ray(options: BatchOptions) -> Iterator[Any]:
    """Ray, connected to a cluster or started on this machine."""
    address = _address(options)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if not address:
        # Ray makes its workers give way to all other programs; then a busy machine would hardly read at all.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # Without it Ray listens on all interfaces of the machine, and not only on the loopback.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray
    import ray.data

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    folder, stdout = None, sys.stdout
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        if not address:
            folder = tempfile.mkdtemp(prefix="mien-ray-")
            common |= {
                "num_cpus": options.workers or _cores(),
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": folder,
            }
        else:
            _check_address(address)
        with _silence():
            ray.init(address or "local", **common)
        sys.stdout = cast("Any", _WithoutRay(stdout))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        # A part may take as long as it takes: the reader has a time limit for each image.
        context.execution_no_progress_timeout_s = 10**9
        # A worker that is killed while it starts is replaced like any other (Ray 2.60 would end the job).
        context.max_consecutive_actor_init_deaths = _MOST_START_DEATHS
        yield ray
    except (ConnectionError, ValueError, TimeoutError) as error:
        if not address or ray.is_initialized():
            raise
        raise UsageError(
            f"no Ray cluster answers at '{address}' ({error}); is it started, and its address right?"
        ) from error
    finally:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            ray.shutdown()  # says then what it had held back
        sys.stdout = stdout
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _address(options: BatchOptions) -> str | None:
    """Where the cluster is; None for this machine."""
    return options.address or os.environ.get("RAY_ADDRESS") or None


def _check_address(address: str) -> None:
    """Say at once that nobody listens there: Ray itself would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return  # "auto" and the like
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConnectionError(error.strerror or str(error)) from error


class _WithoutRay:
    """Standard output without what a thread of Ray says there of each worker that died and was started again."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith("ray_"):
            return len(text)
        return int(self._stream.write(text))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep remarks of Ray's C++ part off stderr; what goes wrong comes as an exception."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _check_gpu(options: BatchOptions) -> None:
    """Where the workers are this machine, tell at once that it has no GPU."""
    if not _address(options):
        from mien.classify import OnnxClassifier
        from mien.zoo import find_model

        OnnxClassifier(find_model(str(options.model), "expression"), 1, gpu=True)
