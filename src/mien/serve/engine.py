"""Micro-batching: the images of many clients go through one set of models together, off the event loop.

Worker threads decode and detect, each its own image; one more thread (on many cores, a few) takes whatever faces are
ready by then, of all clients, and reads them in one run of the expression model. Nothing waits for a batch to fill:
batches grow by themselves under load, and a lone image is not delayed.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from dataclasses import dataclass

from mien.errors import InputError
from mien.prepared import Prepared
from mien.recognizer import Recognizer
from mien.result import Reading
from mien.serve.metrics import Metrics
from mien.serve.options import ServeOptions
from mien.serve.problem import Problem, overloaded, too_large
from mien.source import Frame
from mien.source.header import read_header
from mien.source.image import decode_image

__all__ = ["Engine"]

_LOG = logging.getLogger("mien.serve")
_BATCH_FACES = 32
_WORKERS_A_CLASSIFIER = 4
# Frames of live streams go first, but after so many a photo has its turn.
_LIVE_IN_A_ROW = 3


@dataclass(eq=False)
class _Job:
    data: bytes
    source: str
    recognizer: Recognizer
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[tuple[Reading, Frame | None]]
    queued_s: float
    index: int | None = None
    time_s: float | None = None
    live: bool = False
    frame: Frame | None = None
    abandoned: bool = False
    prepared: Prepared | None = None
    faces: int = 0


class Engine:
    """Reads images on worker threads, with a bounded queue.

    Parameters
    ----------
    options : ServeOptions
        `max_queue`, `max_wait_s`, `max_megapixels`, `max_faces`.
    metrics : Metrics
    threads : int
        Images decoded and searched at a time.
    """

    def __init__(self, options: ServeOptions, metrics: Metrics, threads: int) -> None:
        self._options = options
        self._metrics = metrics
        self._threads = threads
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._no_live = threading.Condition(lock)
        self._live: deque[_Job] = deque()
        self._photos: deque[_Job] = deque()
        self._ready: deque[_Job] = deque()
        self._live_in_a_row = 0
        self._live_pending = 0
        self._pending = 0
        self._stopping = False
        self._image_s = 0.02  # seconds of one worker for an image: a moving mean
        self._pool: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads. May be called again after `stop`."""
        self._stopping = False
        workers = [
            threading.Thread(target=self._work, name=f"mien-read-{n}", daemon=True) for n in range(self._threads)
        ]
        readers = [
            threading.Thread(target=self._classify, args=(workers,), name=f"mien-classify-{n}", daemon=True)
            for n in range(max(1, self._threads // _WORKERS_A_CLASSIFIER))
        ]
        self._pool = [*workers, *readers]
        for thread in self._pool:
            thread.start()

    def stop(self) -> None:
        """End the threads; what is still queued is refused. Blocks until the images under way are done."""
        with self._changed:
            self._stopping = True
            left = [*self._live, *self._photos]
            self._live.clear()
            self._photos.clear()
            self._changed.notify_all()
            self._no_live.notify_all()
        for job in left:
            _settle(job, overloaded("the service is shutting down", 5))
        for thread in self._pool:
            thread.join()

    def check_room(self, images: int = 1) -> None:
        """Refuse work that would wait too long, before any of it is done.

        Raises
        ------
        Problem
            503 with Retry-After.
        """
        wait_s = self._pending * self._image_s / self._threads
        if self._pending + images > self._options.max_queue or wait_s > self._options.max_wait_s:
            raise overloaded(f"{self._pending} images are waiting; try again in a moment", max(1.0, wait_s / 2))

    async def read(
        self,
        data: bytes,
        source: str,
        recognizer: Recognizer,
        *,
        live: bool = False,
        index: int | None = None,
        time_s: float | None = None,
    ) -> tuple[Reading, Frame | None]:
        """Read one image. Called on the event loop; if the caller is cancelled, the image is not read.

        Parameters
        ----------
        data : bytes
            The encoded image.
        source : str
            How it is named in the reading.
        recognizer : Recognizer
        live : bool
            A frame of a live stream: goes first.
        index, time_s : int and float, optional
            Place in the stream.

        Returns
        -------
        reading : Reading
        frame : Frame or None
            The decoded frame of a live stream; None for a photo, whose pixels are gone already.

        Raises
        ------
        Problem
            503 if the queue is full, 422 if it is no image, 413 if it is over a limit.
        """
        self.check_room()
        loop = asyncio.get_running_loop()
        job = _Job(data, source, recognizer, loop, loop.create_future(), time.monotonic(), index, time_s, live)
        self._pending += 1
        self._metrics.queue_images.set(self._pending)
        self._count_live(live)
        try:
            with self._changed:
                if self._stopping:
                    raise overloaded("the service is shutting down", 5)
                if not self._pool:  # mounted in another application: Starlette tells only the outermost of its start
                    self.start()
                (self._live if live else self._photos).append(job)
                self._changed.notify_all()
            return await job.answer
        finally:
            job.abandoned = True
            self._pending -= 1
            self._metrics.queue_images.set(self._pending)
            self._count_live(-live)

    def _count_live(self, more: int) -> None:
        if more:
            with self._changed:
                self._live_pending += more
                self._no_live.notify_all()

    def let_live_pass(self, most_s: float) -> None:
        """Wait until no frame of a live stream waits or is being read; for so long at most. Not on the event loop."""
        with self._changed:
            self._no_live.wait_for(lambda: self._stopping or self._live_pending == 0, most_s)

    def _next(self) -> _Job | None:
        """The next image to decode; None when stopping. A turn for photos after a few live frames."""
        with self._changed:
            while not (self._live or self._photos or self._stopping):
                self._changed.wait()
            if self._live and (self._live_in_a_row < _LIVE_IN_A_ROW or not self._photos):
                self._live_in_a_row += 1
                return self._live.popleft()
            self._live_in_a_row = 0
            return self._photos.popleft() if self._photos else None

    def _work(self) -> None:
        while (job := self._next()) is not None:
            if job.abandoned:
                continue
            start_s = time.monotonic()
            self._metrics.wait_seconds.observe(start_s - job.queued_s)
            try:
                self._prepare(job)
            except Problem as problem:
                _settle(job, problem)
            except Exception as error:  # noqa: BLE001 - a worker must survive whatever an image does
                _LOG.exception("an image could not be read")
                _settle(job, _internal(error))
            else:
                with self._changed:
                    self._ready.append(job)
                    self._changed.notify_all()
            self._image_s += 0.05 * (time.monotonic() - start_s - self._image_s)

    def _prepare(self, job: _Job) -> None:
        header = read_header(job.data)
        limit = self._options.max_megapixels
        if header.size_wh and header.size_wh[0] * header.size_wh[1] > limit * 1e6:
            width, height = header.size_wh
            raise too_large(
                "too_many_pixels",
                f"{job.source}: {width} x {height} pixels are {width * height / 1e6:.5g} megapixels; "
                f"the limit is {limit:g}: scale the image down",
            )
        try:
            frame = decode_image(job.data, job.source, math.inf)
        except InputError as error:
            raise Problem(422, "unreadable_image", str(error)) from error
        job.data = b""
        if frame.image.shape[0] * frame.image.shape[1] > limit * 1e6:  # the header lied
            raise too_large("too_many_pixels", f"{job.source}: more than {limit:g} megapixels: scale the image down")
        frame = Frame(frame.source, frame.image, job.index, job.time_s, frame.note)
        job.frame = frame if job.live else None
        job.prepared = prepared = job.recognizer.prepare(frame)
        job.faces = prepared.faces
        if job.faces > self._options.max_faces:
            raise too_large(
                "too_many_faces",
                f"{job.source}: {job.faces} faces; the limit is {self._options.max_faces}: cut the image into parts",
            )

    def _classify(self, workers: list[threading.Thread]) -> None:
        while True:
            with self._changed:
                while not self._ready:
                    if self._stopping and not any(worker.is_alive() for worker in workers):
                        return
                    self._changed.wait(0.1 if self._stopping else None)
                jobs = self._take_batch()
            try:
                readings = jobs[0].recognizer.classify([job.prepared for job in jobs if job.prepared is not None])
            except Exception as error:  # noqa: BLE001 - as in _work
                _LOG.exception("a batch of faces could not be read")
                for job in jobs:
                    _settle(job, _internal(error))
                continue
            self._metrics.batch_images.observe(len(jobs))
            self._metrics.images.inc(len(jobs))
            self._metrics.faces.inc(sum(len(reading.faces) for reading in readings))
            for job, reading in zip(jobs, readings, strict=True):
                job.prepared = None
                _settle(job, (reading, job.frame))

    def _take_batch(self) -> list[_Job]:
        """The oldest image that is ready, and those after it with the same recognizer, up to a batch of faces."""
        first = self._ready.popleft()
        jobs, faces, others = [first], first.faces, deque[_Job]()
        while self._ready and faces < _BATCH_FACES and len(jobs) < _BATCH_FACES:
            job = self._ready.popleft()
            if job.recognizer is not first.recognizer:
                others.append(job)
                continue
            jobs.append(job)
            faces += job.faces
        self._ready.extendleft(reversed(others))
        return jobs


def _settle(job: _Job, outcome: tuple[Reading, Frame | None] | Problem) -> None:
    def settle() -> None:
        if job.answer.done():
            return
        if isinstance(outcome, Problem):
            job.answer.set_exception(outcome)
        else:
            job.answer.set_result(outcome)

    try:
        job.loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the loop is closed: nobody waits any more
        _LOG.debug("an answer came after the end")


def _internal(error: Exception) -> Problem:
    return Problem(500, "internal", f"the service failed on this image ({type(error).__name__}); please report it")
