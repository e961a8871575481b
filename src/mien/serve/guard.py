"""Who may ask: the outermost layer of the application, before any route.

Against other web pages in the same browser: the Host must be an address or a known name (DNS rebinding), and an Origin
must be our own or an allowed one. Against strangers: the bearer token, and a rate for each client.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import math
import socket
import time
from collections import OrderedDict
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.metrics import Metrics
from mien.serve.options import ServeOptions
from mien.serve.problem import Problem

__all__ = ["Guard", "Rate", "check_token"]

_LOG = logging.getLogger("mien.serve")
_KEPT_CLIENTS = 4096
_SAVED_S = 2.0
_ROUTES = (
    "/v1/recognize", "/v1/explain", "/v1/stream", "/v1/models", "/healthz", "/metrics", "/openapi.json", "/"
)  # fmt: skip

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


class Rate:
    """A token bucket for each client: so many requests a second, with two seconds' worth saved up at most.

    Parameters
    ----------
    per_s : float
        Requests a second.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * _SAVED_S)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now_s: float | None = None) -> float:
        """Count one request; the seconds after which it would be allowed (0: it is allowed now)."""
        now_s = time.monotonic() if now_s is None else now_s
        left, before_s = self._buckets.pop(client, (self._most, now_s))
        left = min(self._most, left + (now_s - before_s) * self._per_s)
        allowed = left >= 1.0
        self._buckets[client] = (left - 1.0 if allowed else left, now_s)
        if len(self._buckets) > _KEPT_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - left) / self._per_s


def check_token(expected: str | None, authorization: str | None) -> None:
    """Hold an Authorization header against the token, in constant time.

    Raises
    ------
    Problem
        401 if a token is expected and another came, or none.
    """
    if expected is None:
        return
    kind, _, came = (authorization or "").partition(" ")
    if kind.lower() != "bearer" or not hmac.compare_digest(*map(_token_bytes, (came.strip(), expected))):
        raise Problem(401, "unauthorized", "the bearer token is missing or wrong; send 'Authorization: Bearer TOKEN'")


def _token_bytes(token: str) -> bytes:
    # JSON can hold what is no text: half of a character's pair.
    return token.encode("utf-8", "surrogatepass")


class Guard:
    """ASGI middleware: checks requests, adds security headers, counts, and turns problems into answers."""

    def __init__(self, app: ASGIApp, options: ServeOptions, metrics: Metrics) -> None:
        self._app = app
        self._options = options
        self._metrics = metrics
        self._rate = Rate(options.max_requests_per_s)
        self._hosts = options.allowed_hosts | {"localhost", options.host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "websocket":
            try:
                self._check_sender(scope)
                self._check_rate(scope)
            except Problem as problem:
                self._metrics.refused.labels(problem.code).inc()
                await _answer(problem, send, prefix="websocket.http.response")
                return
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        start_s = time.monotonic()
        status = 500
        started = False
        path = _path(scope)
        headers = Headers(scope=scope)
        origin = headers.get("origin", "").lower()
        shared = origin in self._options.allowed_origins

        async def send_safely(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                _add_headers(MutableHeaders(scope=message), origin if shared else None)
            await send(message)

        try:
            self._check_sender(scope)
            if shared and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await _preflight(send_safely)
                return
            if path != "/healthz":
                self._check_rate(scope)
            if not _is_public(path):
                check_token(self._options.token, headers.get("authorization"))
            await self._app(scope, receive, send_safely)
        except Problem as problem:
            self._metrics.refused.labels(problem.code).inc()
            await _answer(problem, send_safely)
        except Exception:  # noqa: BLE001 - every request gets an answer
            _LOG.exception("a request failed")
            if not started:
                await _answer(Problem(500, "internal", "the service failed on this request"), send_safely)
        finally:
            route = path if path in _ROUTES else "other"
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(time.monotonic() - start_s)

    def _check_sender(self, scope: MutableMapping[str, Any]) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if not self._is_known(host):
            raise Problem(
                403,
                "unknown_host",
                f"the service is not known as {host[:100]!r}; start it with --allow-host to add a name",
            )
        origin = headers.get("origin")
        if origin is None or origin.lower() in self._options.allowed_origins:
            return
        if _place(origin) != host:
            raise Problem(
                403,
                "foreign_origin",
                f"pages of {origin[:100]!r} may not use this service; start it with --allow-origin to let them",
            )

    def _is_known(self, host: str) -> bool:
        if "*" in self._hosts:
            return True
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # an address cannot be rebound to another

    def _check_rate(self, scope: MutableMapping[str, Any]) -> None:
        client = scope.get("client") or ("unknown", 0)
        wait_s = self._rate.take(str(client[0]))
        if wait_s > 0:
            raise Problem(
                429,
                "rate_limited",
                f"more than {self._options.max_requests_per_s:g} requests a second; slow down",
                retry_after_s=math.ceil(wait_s),
            )


def _path(scope: MutableMapping[str, Any]) -> str:
    """The path that the routes see: below the one at which another application, or a server, has put this one."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _place(origin: str) -> str | None:
    """Host and port of an origin; None if it is none."""
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:
        return None


def _is_public(path: str) -> bool:
    """Whether it needs no token: the page, which asks for one, and the question whether the service is alive."""
    return path in ("/", "/healthz") or path.startswith("/page/")


def _add_headers(headers: MutableHeaders, shared_with: str | None) -> None:
    for name, value in SECURITY_HEADERS.items():
        headers[name] = value
    if shared_with is not None:
        headers["access-control-allow-origin"] = shared_with
        headers["cross-origin-resource-policy"] = "cross-origin"
        headers["access-control-expose-headers"] = "retry-after"
    headers.add_vary_header("origin")


async def _preflight(send: Send) -> None:
    headers = [
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", b"authorization, content-type"),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _answer(problem: Problem, send: Send, prefix: str = "http.response") -> None:
    body = problem.body()
    headers = {**problem.headers, "content-type": "application/json", "content-length": str(len(body))}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{prefix}.start", "status": problem.status, "headers": raw})
    await send({"type": f"{prefix}.body", "body": body})
