"""Connections: how many, and what becomes of clients that send half a request or take no answer.

Uvicorn waits for ever for the rest of a request's head and for a peer that reads nothing; these two subclasses look at
each connection now and then.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mien.serve.problem import overloaded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["make_protocols"]


class _Watch:
    """Calls `look` every `every_s`, until it is stopped."""

    def __init__(self, every_s: float, look: Callable[[], None]) -> None:
        self._every_s = every_s
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(every_s, self._fire)

    def _fire(self) -> None:
        self._timer = self._loop.call_later(self._every_s, self._fire)
        self._look()

    def stop(self) -> None:
        self._timer.cancel()


class _Outflow:
    """Whether a peer takes what is written to it."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._paused_s: float | None = None
        self._was_closing = False

    def pause(self) -> None:
        self._paused_s = time.monotonic()

    def resume(self) -> None:
        self._paused_s = None

    def is_stuck(self, transport: asyncio.Transport) -> bool:
        """True if writing is paused for too long, or the connection is closing since the last call at least."""
        closing = transport.is_closing()
        stuck = (closing and self._was_closing) or (
            self._paused_s is not None and time.monotonic() - self._paused_s > self._timeout_s
        )
        self._was_closing = closing
        return stuck


class _Watched(asyncio.Protocol):
    """A connection that is looked at now and then, and cut when its peer takes nothing of what is written to it."""

    transport: asyncio.Transport
    _watch: _Watch | None = None

    def _start_watching(self, timeout_s: float) -> None:
        self._outflow = _Outflow(timeout_s)
        self._watch = _Watch(timeout_s, self._look)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    def pause_writing(self) -> None:
        self._outflow.pause()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._outflow.resume()
        super().resume_writing()

    def _look(self) -> None:
        if self._outflow.is_stuck(self.transport):
            self.transport.abort()


def make_protocols(timeout_s: float, max_connections: int) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    """Protocol classes for uvicorn's ``http`` and ``ws``.

    Parameters
    ----------
    timeout_s : float
        A connection on which nothing has moved for between one and two times this is cut.
    max_connections : int
        Further ones get 503 and are closed.
    """

    class HttpProtocol(_Watched, H11Protocol):
        _refused = False
        _last_cycle: Any = None
        _was_idle = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._start_watching(timeout_s)
            self._refused = len(self.connections) >= max_connections
            if self._refused:
                self.transport = transport
            else:
                super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            if not self._refused:
                super().data_received(data)
                return
            problem = overloaded(f"{max_connections} connections are open; try again in a moment")
            body = problem.body()
            head = (
                "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nRetry-After: {problem.retry_after_s}\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_watching()
            if not self._refused:
                super().connection_lost(exc)

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._stop_watching()  # the connection belongs to the other protocol now
            super().handle_websocket_upgrade(event)

        def _look(self) -> None:
            super()._look()
            if self.transport.is_closing():
                return
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self._was_idle and self.cycle is self._last_cycle:
                self.transport.close()
            self._was_idle, self._last_cycle = idle, self.cycle

    class StreamProtocol(_Watched, WebSocketsSansIOProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self._start_watching(timeout_s)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_watching()
            super().connection_lost(exc)

    return HttpProtocol, StreamProtocol
