"""The driver: plans a job, or goes on with one, and has Ray take the parts to the workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from mien.cluster.destination import Destination, plan_destination
from mien.cluster.options import BatchOptions
from mien.cluster.page import summary_page
from mien.cluster.rows import Tally
from mien.cluster.session import RaySession
from mien.cluster.storage import check_extra
from mien.cluster.summary import summarize
from mien.errors import MienError, UsageError

__all__ = ["run_batch"]

_MOST_DEATHS = 20
# Enough for the largest cluster to see what is wanted of it; Ray looks through all of them for each that is done.
_MOST_WAITING = 2000


def run_batch(
    source: str,
    destination: str,
    options: BatchOptions | None = None,
    *,
    planned: Callable[[Destination, int], None] | None = None,
    part_done: Callable[[Tally], None] | None = None,
) -> Destination:
    """Read everything that a source names, in parts, and write the rows and a summary to a destination.

    Parts that the destination holds already are not read again. Stopped at any moment, by whatever, it is called again
    with the same arguments to go on.

    Parameters
    ----------
    source : str
        See `mien.cluster.source.list_sources`.
    destination : str
        A folder of this machine, or the address of one.
    options : BatchOptions, optional
        What is read with, and how the work is shared out; the defaults read with the base model on all cores of this
        machine.
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
    with RaySession(options.address, options.workers) as session:
        if options.gpus_per_worker and session.address is None:
            _check_gpu(options)
        found = plan_destination(source, destination, options, begun=session.start)
        done = found.done_parts()
        left = [number for number in range(found.manifest.parts) if number not in done]
        ray = session.connect() if left else None
        if planned is not None:
            planned(found, len(done))
        if ray is not None:
            for result in _results(ray, found, left, options):
                if result["problem"] is not None:
                    raise MienError(f"{result['problem']}. What was read so far is written; start again to continue")
                if part_done is not None:
                    part_done(Tally(**result["tally"]))
    found.folder.write("summary.html", summary_page(summarize(found)).encode())
    return found


def _results(ray: Any, destination: Destination, left: list[int], options: BatchOptions) -> Iterator[dict[str, Any]]:
    """What `mien_part` says of each part, as they are done.

    Each part is a task, so that Ray uses machines as they come and go; a task whose worker is lost is done again.
    """
    from mien.cluster.worker import mien_part

    job = {
        "recognizer": options.recognizer_options(),
        "video": options.video_options(),
        "timeout_s": options.timeout_s,
        "retries": options.retries,
        "gpu": options.gpus_per_worker > 0,
    }
    resources: dict[str, Any] = {"num_cpus": 1, "max_retries": _MOST_DEATHS}
    if options.gpus_per_worker:
        if not ray.cluster_resources().get("GPU"):
            raise UsageError("Ray finds no GPU; start a machine that has one, or leave out --gpus-per-worker")
        # Ray would start a new worker for each task that has a GPU.
        resources |= {"num_gpus": options.gpus_per_worker, "max_calls": 0}
    task = ray.remote(**resources)(mien_part)
    shared = ray.put(json.dumps([destination.folder.address, vars(destination.manifest), job]))
    numbers = iter(left)
    waiting = [task.remote(shared, number) for number in islice(numbers, options.workers or _MOST_WAITING)]
    try:
        while waiting:
            done, waiting = ray.wait(waiting)
            waiting += [task.remote(shared, number) for number in islice(numbers, len(done))]
            yield from ray.get(done)
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines()[-1][:300]
        raise MienError(
            f"the cluster gave up ({said}). What was read so far is written; start again to continue"
        ) from error


def _check_gpu(options: BatchOptions) -> None:
    """Where the workers are this machine, tell at once that it has no GPU."""
    from mien.classify import OnnxClassifier
    from mien.zoo import find_model

    OnnxClassifier(find_model(str(options.model), "expression"), 1, gpu=True)
