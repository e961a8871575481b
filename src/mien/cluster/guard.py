"""Reading in a process of its own: an image that crashes it, or hangs, is found out and left out."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from mien.cluster.wire import receive, send
from mien.errors import MienError

__all__ = ["GuardedReader", "Image", "ReaderError"]

_START_TIMEOUT_S = 300.0
_COMMAND = (sys.executable, "-m", "mien.cluster.child")
# NumPy starts a thread for each core when it is loaded, which a reader of one core has no use for.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class ReaderError(MienError):
    """The reader cannot be started on this machine: no image is to blame."""


@dataclass(frozen=True)
class Image:
    """One photo on its way to the reader.

    Attributes
    ----------
    key : str
        Its name in the result.
    source : str
        Where it came from.
    data : bytes
        The file.
    error : str or None
        Why there is no file.
    """

    key: str
    source: str
    data: bytes = b""
    error: str | None = None


class _ReaderDiedError(Exception):
    """The reader is gone; `at` is the image that it was on, None where it was on none."""

    def __init__(self, at: int | None, why: str) -> None:
        super().__init__(why)
        self.at = at
        self.why = why


class GuardedReader(contextlib.AbstractContextManager["GuardedReader"]):
    """Reads images in another process, which is started again when it crashes or hangs.

    The images of one call make one batch, and that batch is read again as a whole without those that are to blame:
    the result does not depend on when the reader was killed, or on which machine.

    Parameters
    ----------
    recognizer : dict
        Keyword arguments of `Recognizer`.
    timeout_s : float
        Time for one image, in seconds, before the reader is killed.
    retries : int
        How often an image on which the reader died is tried again.
    gpu : bool
        Whether the expression model runs on a GPU.
    command : sequence of str
        Starts the reader; tests give one that crashes.
    """

    def __init__(
        self,
        recognizer: dict[str, Any],
        timeout_s: float,
        retries: int,
        *,
        gpu: bool = False,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._head = {"recognizer": recognizer, "gpu": gpu}
        self._timeout_s = timeout_s
        self._retries = retries
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._images: list[Image] = []
        self._ready = False

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """The process that reads, where there is one."""
        return None if self._process is None else self._process.pid

    def prepare(self) -> None:
        """Start the reader, without waiting until it can read."""
        if self._process is None:
            self._launch()

    def start(self, images: list[Image]) -> None:
        """Give the reader a batch; `finish` gives its readings. In between, the next batch can be fetched."""
        self._images = images
        self._submit(self._given())

    def finish(self) -> list[dict[str, Any]]:
        """The readings of the batch: ``error``, or ``rows``, ``size_wh`` and ``note``, for each image in its order.

        Raises
        ------
        ReaderError
            If the reader cannot be started.
        """
        skip = self._given()
        deaths = dict.fromkeys(range(len(self._images)), 0)
        searched = False
        while True:
            try:
                return self._collect()
            except _ReaderDiedError as died:
                if died.at is not None:
                    deaths[died.at] += 1
                    if deaths[died.at] > self._retries:
                        skip[died.at] = died.why
                elif searched:
                    return [{"error": skip.get(n, died.why)} for n in range(len(self._images))]
                else:
                    searched = True
                    skip |= self._search(skip)
            self._submit(skip)

    def read_video(
        self, path: str, source: str, start_s: float | None, stop_s: float | None, options: dict[str, Any], keep: Any
    ) -> dict[str, Any]:
        """Read a segment of a video.

        Parameters
        ----------
        keep : callable
            Called with a new list of rows again and again; called with None where all before is to be forgotten.

        Returns
        -------
        dict with ``frames``, ``size_wh``, ``note`` and ``error``
        """
        head = {"video": path, "source": source, "start": start_s, "stop": stop_s, "options": options}
        why = ""
        for _ in range(self._retries + 1):
            keep(None)
            self._submit_message(head, [])
            try:
                return dict(self._collect(keep)[0])
            except _ReaderDiedError as died:
                why = died.why
        keep(None)
        return {"frames": 0, "size_wh": (0, 0), "note": None, "error": why}

    def close(self) -> None:
        """End the reader."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            self._process = None

    def _given(self) -> dict[int, str]:
        """The images that are known to be unreadable."""
        return {number: image.error for number, image in enumerate(self._images) if image.error is not None}

    def _search(self, skip: dict[int, str]) -> dict[int, str]:
        """Read the images one by one, to find those with which the reader dies."""
        guilty: dict[int, str] = {}
        for number in range(len(self._images)):
            if number in skip:
                continue
            alone = {other: "" for other in range(len(self._images)) if other != number}
            for _ in range(self._retries + 1):
                try:
                    self._submit(alone)
                    self._collect()
                    guilty.pop(number, None)
                    break
                except _ReaderDiedError as died:
                    guilty[number] = died.why
        return guilty

    def _submit(self, skip: dict[int, str]) -> None:
        heads = [{"source": image.source, "skip": skip.get(number)} for number, image in enumerate(self._images)]
        blobs = [b"" if number in skip else image.data for number, image in enumerate(self._images)]
        self._submit_message({"images": heads}, blobs)

    def _submit_message(self, head: dict[str, Any], blobs: list[bytes]) -> None:
        process = self._process or self._launch()
        if not self._ready:
            self._wait_until_ready()
        if process.stdin is None:
            raise ReaderError("the reader has no input")
        with contextlib.suppress(OSError):  # it died meanwhile: `_collect` sees that
            send(process.stdin, head, blobs)

    def _collect(self, keep: Any = None) -> list[dict[str, Any]]:
        at: int | None = None
        while True:
            try:
                message = self._answers.get(timeout=self._timeout_s)
            except queue.Empty:
                self.close()
                raise _ReaderDiedError(at, f"took longer than {self._timeout_s:g} s (raise --timeout)") from None
            if message is None:
                why = self._epitaph()
                self.close()
                raise _ReaderDiedError(at, why)
            if "readings" in message:
                return list(message["readings"])
            if "rows" in message:
                keep(message["rows"])
            else:
                at = message["at"]

    def _launch(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **_ONE_THREAD}
        )
        self._process, self._ready = process, False
        self._answers = queue.SimpleQueue()
        if process.stdin is None or process.stdout is None:
            raise ReaderError("the reader has no pipes")
        threading.Thread(target=_listen, args=(process.stdout, self._answers), daemon=True).start()
        with contextlib.suppress(OSError):  # it died meanwhile: seen when it is waited for
            send(process.stdin, self._head)
        return process

    def _wait_until_ready(self) -> None:
        try:
            first = self._answers.get(timeout=_START_TIMEOUT_S)
        except queue.Empty:
            first = None
        if first is None or "failed" in first:
            why = self._epitaph() if first is None else str(first["failed"])
            self.close()
            raise ReaderError(f"the reader cannot be started: {why}")
        self._ready = True

    def _epitaph(self) -> str:
        if self._process is None:
            return "the reader crashed"
        try:
            status = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "the reader stopped answering"
        if status < 0:
            return f"crashed the reader ({signal.Signals(-status).name})"
        return f"crashed the reader (exit status {status})"


def _listen(stream: IO[bytes], answers: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    with contextlib.suppress(OSError, ValueError):  # closed
        while (message := receive(stream)) is not None:
            answers.put(message[0])
    answers.put(None)
