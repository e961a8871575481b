"""Running the application: the socket, the signals, the browser."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable

import uvicorn

from mien.errors import UsageError
from mien.serve.app import create_app
from mien.serve.options import ServeOptions
from mien.serve.protocol import make_protocols

__all__ = ["run"]

_BACKLOG = 2048


def run(options: ServeOptions, say: Callable[[str], None], show_token: bool = True) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish what is under way.

    Parameters
    ----------
    options : ServeOptions
    say : callable
        Gets lines for the person at the terminal.
    show_token : bool
        Whether the address that is said holds the token.

    Raises
    ------
    UsageError
        If the address cannot be listened on.
    ModelError
        If a model cannot be loaded.
    """
    listener = _listen(options.host, options.port)
    with contextlib.closing(listener):
        app = create_app(options)
        http, ws = make_protocols(options.client_timeout_s, options.max_connections)
        config = uvicorn.Config(
            app,
            http=http,
            ws=ws,
            ws_max_size=int(options.max_frame_mb * 1e6),
            ws_per_message_deflate=False,  # frames are compressed already, and a small message must not grow
            proxy_headers=options.behind_proxy,
            forwarded_allow_ips="127.0.0.1,::1",
            server_header=False,
            access_log=False,
            log_config=None,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=max(1, round(options.drain_s)),
        )
        # Noise about clients' faults is not for the terminal; the counters in /metrics have it.
        for noisy in ("uvicorn.error", "python_multipart"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        logging.getLogger("uvicorn.error").addFilter(_is_our_fault)
        server = uvicorn.Server(config)
        # Uvicorn raises the signal again after its shutdown; a clean end is no failure.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        asyncio.run(_serve(server, listener, options, say, show_token))
    say("stopped")


async def _serve(
    server: uvicorn.Server, listener: socket.socket, options: ServeOptions, say: Callable[[str], None], show_token: bool
) -> None:
    running = asyncio.ensure_future(server.serve([listener]))
    while not server.started and not running.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    if server.started:
        # After '#', the token stays in the browser: it is sent to no server.
        token = f"#token={options.token}" if options.token else ""
        shown = token if show_token else ""
        address = _address(listener, "127.0.0.1" if _is_any(options.host) else options.host)
        say(f"serving on {address}{shown} (Ctrl-C stops)")
        own_host = _is_any(options.host) and _host_seen_by_others(listener.family)
        if own_host:
            say(f"from other computers {_address(listener, own_host)}{shown} (no camera there without https)")
        if options.open_page and sys.stdout.isatty():
            asyncio.get_running_loop().run_in_executor(None, webbrowser.open, address + token)
    await running


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Whether an error that Uvicorn reports is one of the service.

    It takes a live stream that was refused, with an answer as HTTP has them, for one; and of a text that is none it
    shows the traceback, with which any client could fill the log.
    """
    theirs = ("without completing handshake", "Invalid UTF-8 sequence")
    return not any(words in record.getMessage() for words in theirs)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"cannot listen on '{host}': {error.strerror or error}; expected an address") from error
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on port {port} of {host}: {error.strerror or error}; choose another with --port, "
            "or --port 0 for any free one"
        ) from error
    listener.setblocking(False)
    return listener


def _is_any(host: str) -> bool:
    """Whether all addresses of this computer are listened on."""
    return host in ("0.0.0.0", "::", "")  # noqa: S104 - only asked


def _host_seen_by_others(family: int) -> str | None:
    """The address of this computer in its network, if it is in one. Nothing is sent: only the route is asked for."""
    somewhere = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # addresses that documents use
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((somewhere, 9))
            return str(asked.getsockname()[0])
    except OSError:
        return None


def _address(listener: socket.socket, host: str) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
