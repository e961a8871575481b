"""The live stream: frames in, readings out, over one WebSocket.

The client sends encoded images as binary messages, and may send ``{"type": "start", ...}`` as text to choose model and
labels or to show its token. Each frame gets one answer: ``reading``, ``error`` or, if a newer frame came before it was
begun, ``dropped``. So a client that sends too fast loses frames, not time, and no more than two frames are held.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.errors import UsageError
from mien.files import parse_json
from mien.serve.guard import check_token
from mien.serve.problem import Problem, bad_request
from mien.serve.service import Service
from mien.track import Persons
from mien.video_options import VideoOptions

__all__ = ["Stream"]

_SAVED_S = 0.25
_CLOSE_NORMAL = 1000
_CLOSE_POLICY = 1008
_START_KEYS: dict[str, Any] = {"type": str, "token": str, "model": str, "labels": str, "smooth_s": (int, float)}

_KINDS: dict[Any, str] = {str: "a text", (int, float): "a number"}


class Stream:
    """One live stream, from its first message to its last.

    Parameters
    ----------
    socket : WebSocket
        Accepted already.
    service : Service
    authorized : bool
        Whether the handshake carried the token; else the first message must.
    """

    def __init__(self, socket: WebSocket, service: Service, authorized: bool) -> None:
        self._socket = socket
        self._service = service
        self._authorized = authorized
        self._recognizer = service.models.default
        self._persons = _new_persons(VideoOptions())
        self._frames = 0
        self._newest: tuple[int, float, bytes] | None = None
        self._arrived = asyncio.Event()
        self._reads = False
        self._first_s: float | None = None
        self._next_message_s = 0.0

    async def run(self) -> None:
        """Serve until one side closes."""
        tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._work())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            # Not gather: cancelled itself meanwhile, it raises its tasks' cancellation in place of its own, which the
            # scope that cancelled us (Starlette runs us in one of anyio's) does not know, and lets pass as an error.
            await asyncio.wait(tasks)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            # A client that is gone, or takes nothing: there is nobody to tell.
            if error is not None and not isinstance(error, (WebSocketDisconnect, asyncio.TimeoutError, RuntimeError)):
                raise error

    async def _receive(self) -> None:
        options = self._service.options
        while True:
            wait_s = options.stream_idle_s if self._authorized else options.client_timeout_s
            try:
                message = await asyncio.wait_for(self._socket.receive(), wait_s)
            except asyncio.TimeoutError:
                if self._reads or self._newest is not None:
                    continue  # the client waits for us
                problem = Problem(408, "timeout", f"nothing came for {wait_s:g} s; connect again to go on")
                await self._close(problem, _CLOSE_NORMAL)
                return
            if message["type"] == "websocket.disconnect":
                return
            try:
                if message.get("bytes") is not None:
                    self._need_token()
                    await self._take_frame(message["bytes"])
                else:
                    await self._start(message.get("text") or "")
            except Problem as problem:
                if problem.status == 401:
                    await self._close(problem, _CLOSE_POLICY)
                    return
                await self._send(self._counted(problem))
            await self._pace()

    async def _pace(self) -> None:
        """A client that sends faster than allowed is not read for a moment: its own socket fills, nobody else's."""
        now_s = time.monotonic()
        least_s = 1.0 / self._service.options.max_frames_per_s
        self._next_message_s = max(self._next_message_s + least_s, now_s - _SAVED_S)
        if self._next_message_s > now_s:
            await asyncio.sleep(self._next_message_s - now_s)

    async def _start(self, text: str) -> None:
        wanted = _parse_start(text)
        if not self._authorized:
            token = wanted.get("token")
            check_token(self._service.options.token, None if token is None else f"Bearer {token}")
            self._authorized = True
        try:
            video = VideoOptions(smooth_s=wanted.get("smooth_s", VideoOptions.smooth_s))
        except UsageError as error:
            raise bad_request(str(error)) from error
        model, labels = wanted.get("model"), wanted.get("labels")
        recognizer = await asyncio.to_thread(self._service.models.find, model, labels)
        self._recognizer = recognizer
        self._persons = _new_persons(video)
        await self._send({"type": "ready", "model": recognizer.card.name, "labels": list(recognizer.scheme.labels)})

    async def _take_frame(self, data: bytes) -> None:
        now_s = time.monotonic()
        if self._first_s is None:
            self._first_s = now_s
        number, self._frames = self._frames, self._frames + 1
        passed_over, self._newest = self._newest, (number, now_s, data)
        self._arrived.set()
        if passed_over is not None:
            self._service.metrics.dropped_frames.inc()
            await self._send({"type": "dropped", "frame": passed_over[0]})

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._newest is None:
                continue
            (number, received_s, data), self._newest = self._newest, None
            self._reads = True
            try:
                answer = await self._answer(number, received_s, data)
            finally:
                self._reads = False
            await self._send(answer)

    async def _answer(self, number: int, received_s: float, data: bytes) -> dict[str, Any]:
        persons, time_s = self._persons, received_s - (self._first_s or 0.0)
        try:
            reading, frame = await self._service.engine.read(
                data, "stream", self._recognizer, live=True, index=number, time_s=time_s
            )
        except Problem as problem:
            return self._counted(problem, number)
        if frame is not None:
            reading = await asyncio.to_thread(persons.update, reading, frame.image, time_s)
        return {
            "type": "reading",
            "server_s": round(time.monotonic() - received_s, 4),
            "reading": reading.to_dict(),
        }

    def _need_token(self) -> None:
        if not self._authorized:
            raise Problem(401, "unauthorized", 'send {"type": "start", "token": "..."} before the first frame')

    async def _send(self, message: dict[str, Any]) -> None:
        # In ASCII: an answer repeats what is wrong, which may be no text that could be sent as it is.
        text = json.dumps(message, separators=(",", ":"))
        await asyncio.wait_for(self._socket.send_text(text), self._service.options.client_timeout_s)

    def _counted(self, problem: Problem, frame: int | None = None) -> dict[str, Any]:
        self._service.metrics.refused.labels(problem.code).inc()
        return {"type": "error", "frame": frame, **problem.to_dict()}

    async def _close(self, problem: Problem, code: int) -> None:
        await self._send(self._counted(problem))
        await self._socket.close(code, problem.code)


def _new_persons(options: VideoOptions) -> Persons:
    return Persons(options.max_gap_s, options.smooth_s)


def _parse_start(text: str) -> dict[str, Any]:
    try:
        wanted = parse_json(text)
    except ValueError as error:
        raise bad_request(f"a text message is no JSON ({error}); frames are sent as binary messages"[:300]) from error
    if not isinstance(wanted, dict) or wanted.get("type") != "start":
        raise bad_request('expected {"type": "start", "model": ..., "labels": ...} as text, or a frame as binary')
    for key, value in wanted.items():
        if key not in _START_KEYS:
            raise bad_request(f"unknown key {key[:80]!r}; expected {', '.join(_START_KEYS)}")
        if value is not None and not isinstance(value, _START_KEYS[key]):
            raise bad_request(f"{key} is of type {type(value).__name__}; expected {_KINDS[_START_KEYS[key]]}")
    return {key: value for key, value in wanted.items() if value is not None}
