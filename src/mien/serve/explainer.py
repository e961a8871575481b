"""Explanations: the faces of all clients one after the other, on a thread of their own.

A face is read 256 times for one, which takes about two hundred times as long as reading it once. So explanations never
stand in the engine's queues, where readings would wait behind them, and they take no more than one core, however many
are asked for. Before each call of the model, with a few crops, they let the frames of live streams pass, and end if
their client has gone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from mien.classify import Classifier, OnnxClassifier
from mien.explain.draw import draw_explanations
from mien.explain.explanation import Explanation
from mien.recognizer import Recognizer
from mien.result import Reading
from mien.serve.engine import Engine
from mien.serve.metrics import Metrics
from mien.serve.options import ServeOptions
from mien.serve.problem import Problem, overloaded
from mien.source.image import decode_image
from mien.zoo import ModelCard, find_model

__all__ = ["Explained", "Explainer", "Work"]

_LOG = logging.getLogger("mien.serve")
# Crops in one call of the model: few, so that a frame which comes meanwhile soon has the core to itself.
_STEP = 8
# About as long as a frame takes: where live streams leave no gap, an explanation goes on between them all the same.
_MOST_PAUSE_S = 0.1


@dataclass(frozen=True, eq=False)
class Explained:
    """One face, explained.

    Attributes
    ----------
    number : int
        Of the face in its reading, from 1.
    explanation : Explanation
    picture : bytes or None
        The face beside its map, as PNG, where each face is drawn.
    """

    number: int
    explanation: Explanation
    picture: bytes | None


@dataclass(eq=False)
class Work:
    """The explanations that a request is given: `async for` takes each as it comes.

    Attributes
    ----------
    picture : bytes or None
        All faces with their maps as PNG, after the last of them, where all are drawn into one.
    """

    data: bytes = field(repr=False)
    reading: Reading
    numbers: deque[int]
    recognizer: Recognizer
    expression: str | None
    draw: Literal["none", "each", "all"]
    loop: asyncio.AbstractEventLoop
    picture: bytes | None = None
    ended: bool = False
    found: asyncio.Queue[Explained | Problem | None] = field(default_factory=asyncio.Queue)

    async def __aiter__(self) -> AsyncIterator[Explained]:
        while (item := await self.found.get()) is not None:
            if isinstance(item, Problem):
                raise item
            yield item


class Explainer:
    """Explains faces, with a bounded queue.

    Parameters
    ----------
    options : ServeOptions
        `max_explained_faces`, `max_wait_s`.
    metrics : Metrics
    engine : Engine
        Its live streams go first.
    """

    def __init__(self, options: ServeOptions, metrics: Metrics, engine: Engine) -> None:
        self._options = options
        self._metrics = metrics
        self._engine = engine
        self._changed = threading.Condition()
        self._waiting: deque[Work] = deque()
        self._current: Work | None = None
        self._stopping = False
        self._face_s = 1.0  # seconds for a face: a moving mean
        self._classifiers: dict[str, Classifier] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. May be called again after `stop`."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="mien-explain", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is queued or under way is refused. Blocks for one step at most."""
        with self._changed:
            self._stopping = True
            left = [*self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for work in left:
            _post(work, _stopping())
        if self._thread is not None:
            self._thread.join()

    def check_room(self) -> None:
        """Refuse a request that would wait too long, before any of it is done.

        Raises
        ------
        Problem
            503 with Retry-After.
        """
        with self._changed:
            wait_s = self._left() * self._face_s
        if wait_s > self._options.max_wait_s:
            raise overloaded(f"the explanations that are waiting take {wait_s:.0f} s; try again then", wait_s / 2)

    def begin(
        self,
        data: bytes,
        reading: Reading,
        numbers: Sequence[int],
        recognizer: Recognizer,
        expression: str | None,
        draw: Literal["none", "each", "all"],
    ) -> Work:
        """Have faces explained. Called on the event loop; whatever comes of it, `end` it.

        Parameters
        ----------
        data : bytes
            The encoded image.
        reading : Reading
            What the recognizer said of it.
        numbers : sequence of int
            Which faces of the reading, counted from 1.
        recognizer : Recognizer
        expression : str or None
            One of its labels; None for that which each face is read as.
        draw : {"none", "each", "all"}
            What is drawn: nothing, each face by itself, or all into one picture.

        Raises
        ------
        Problem
            413 if these are too many faces, 503 if too many wait.
        """
        most = self._options.max_explained_faces
        if len(numbers) > most:
            raise Problem(
                413,
                "too_many_faces",
                f"{reading.source}: {len(numbers)} faces; the limit of a request is {most}: name some of them, such as "
                "faces=1,2",
            )
        self.check_room()
        loop = asyncio.get_running_loop()
        work = Work(data, reading, deque(numbers), recognizer, expression, draw, loop)
        with self._changed:
            if self._stopping:
                raise _stopping()
            if self._thread is None:  # mounted in another application: as in `Engine.read`
                self.start()
            self._waiting.append(work)
            self._count()
            self._changed.notify_all()
        return work

    def end(self, work: Work) -> None:
        """Nobody waits for it any more: what is left of it is not done."""
        with self._changed:
            work.ended = True
            if work in self._waiting:
                self._waiting.remove(work)
            self._count()

    def _left(self) -> int:
        """How many faces wait or are being explained."""
        under_way = [] if self._current is None or self._current.ended else [self._current]
        return sum(len(work.numbers) for work in (*self._waiting, *under_way))

    def _count(self) -> None:
        self._metrics.queue_explanations.set(self._left())

    def _run(self) -> None:
        while True:
            with self._changed:
                self._current = None
                self._count()
                while not (self._waiting or self._stopping):
                    self._changed.wait()
                if self._stopping:
                    return
                work = self._current = self._waiting.popleft()
            outcome: Problem | None = None
            try:
                self._explain(work)
            except _GoneError:
                outcome = _stopping()
            except Exception as error:  # noqa: BLE001 - the thread must survive whatever an image does
                _LOG.exception("an image could not be explained")
                outcome = Problem(
                    500, "internal", f"the service failed on this image ({type(error).__name__}); please report it"
                )
            _post(work, outcome)
            del work  # a picture of somebody does not stay for as long as nobody asks for another

    def _explain(self, work: Work) -> None:
        frame = decode_image(work.data, work.reading.source, math.inf)
        work.data = b""
        model = _Polite(self._classifier(work.recognizer), lambda: self._pause(work))
        recognizer = work.recognizer.replace(model=model)
        found: dict[int, Explanation] = {}
        while work.numbers:
            start_s, number = time.monotonic(), work.numbers[0]
            reading = dataclasses.replace(work.reading, faces=[work.reading.faces[number - 1]])
            (one,) = recognizer.explain(frame, reading, expression=work.expression)
            found[number] = one
            picture = _draw(frame.image, {number: one}, work.reading) if work.draw == "each" else None
            _post(work, Explained(number, one, picture))
            self._metrics.explained_faces.inc()
            self._face_s += 0.2 * (time.monotonic() - start_s - self._face_s)
            with self._changed:
                work.numbers.popleft()
                self._count()
        if work.draw == "all":
            work.picture = _draw(frame.image, found, work.reading)

    def _classifier(self, recognizer: Recognizer) -> Classifier:
        """The model itself, which a recognizer keeps to itself; a session of its own, opened when it is first used."""
        if not isinstance(recognizer.model, (str, Path)):
            return recognizer.model
        name = str(recognizer.model)
        if name not in self._classifiers:
            self._classifiers[name] = OnnxClassifier(find_model(recognizer.model, "expression"), threads=1)
        return self._classifiers[name]

    def _pause(self, work: Work) -> None:
        """Before each step."""
        self._engine.let_live_pass(_MOST_PAUSE_S)
        if work.ended or self._stopping:
            raise _GoneError


class _GoneError(Exception):
    """Nobody waits for the explanation any more, or the service stops."""


class _Polite:
    """A model that is asked in small steps, and does something before each."""

    def __init__(self, model: Classifier, before: Callable[[], None]) -> None:
        self._model = model
        self._before = before

    @property
    def card(self) -> ModelCard:
        return self._model.card

    def logits(self, batch: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        parts = []
        for start in range(0, len(batch), _STEP):
            self._before()
            parts.append(self._model.logits(batch[start : start + _STEP]))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _draw(image: npt.NDArray[np.uint8], found: dict[int, Explanation], reading: Reading) -> bytes:
    numbers = list(found) if len(reading.faces) > 1 else None
    picture = draw_explanations(image, list(found.values()), numbers)
    return bytes(cv2.imencode(".png", picture)[1])


def _stopping() -> Problem:
    return overloaded("the service is shutting down", 5)


def _post(work: Work, item: Explained | Problem | None) -> None:
    try:
        work.loop.call_soon_threadsafe(work.found.put_nowait, item)
    except RuntimeError:  # the loop is closed: nobody waits any more
        _LOG.debug("an explanation came after the end")
