"""What the service can be told. Apart from it, so that the command line starts without loading FastAPI."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, fields
from typing import Any

from mien.errors import UsageError
from mien.options import option
from mien.recognizer_options import RecognizerOptions

__all__ = ["ServeOptions"]


@dataclass(frozen=True, kw_only=True)
class ServeOptions(RecognizerOptions):
    """What `mien serve` can be told: each limit is a field here and a flag of the command line.

    Raises
    ------
    UsageError
        If a value is out of bounds.
    """

    max_megapixels: float = option(40.0, "Refuse larger images before they are decoded.", metavar="MP", minimum=0.01)
    host: str = option(
        "127.0.0.1", "Address to listen on. Anything but 127.0.0.1 should have a --token.", metavar="ADDRESS"
    )
    port: int = option(8000, "Port to listen on; 0 takes any free one.", metavar="PORT", minimum=0, maximum=65535)
    open_page: bool = option(True, "Open the page in the browser (only when run in a terminal).", flag="--open")
    token: str | None = option(
        None,
        "Bearer token that clients must send; 'auto' makes one. Prefer the environment variable "
        "MIEN_TOKEN: other users of this computer can see command lines.",
        metavar="TOKEN",
    )
    allow_origin: str = option(
        "",
        "Web pages of these origins may use the service too, such as https://a.example; several with commas.",
        metavar="ORIGINS",
    )
    allow_host: str = option(
        "",
        "Host names by which clients may call the service, with commas ('*' for any), besides addresses,"
        " localhost and this computer's name.",
        metavar="NAMES",
    )
    behind_proxy: bool = option(
        False, "Trust X-Forwarded-For and X-Forwarded-Proto from a proxy on this computer.", flag="--behind-proxy"
    )
    max_upload_mb: float = option(20.0, "Largest request.", metavar="MB", minimum=0.01, maximum=2000)
    max_images: int = option(16, "Most images in a request.", metavar="N", minimum=1)
    max_faces: int = option(500, "Most faces in an image.", metavar="N", minimum=1)
    max_explained_faces: int = option(
        16,
        "Most faces that a request may have explained: each takes as long as reading some two hundred.",
        metavar="N",
        minimum=1,
    )
    max_requests_per_s: float = option(
        100.0,
        "Most requests a second from one client (bursts of two seconds' worth are allowed).",
        metavar="N",
        minimum=0.1,
    )
    max_connections: int = option(512, "Most connections at the same time.", metavar="N", minimum=1)
    max_streams: int = option(16, "Most live streams at the same time.", metavar="N", minimum=0)
    max_frame_mb: float = option(2.0, "Largest frame of a live stream.", metavar="MB", minimum=0.01, maximum=100)
    max_frames_per_s: float = option(
        60.0, "Most frames a second of a live stream; a faster one is slowed down.", metavar="N", minimum=1
    )
    max_queue: int = option(
        256, "Most images waiting to be read; further ones are answered with 503.", metavar="N", minimum=1
    )
    max_wait_s: float = option(
        30.0, "Answer images that would have to wait longer with 503 at once.", metavar="S", minimum=0.1
    )
    max_held_mb: float = option(
        256.0, "Most memory for uploads under way; further ones are answered with 503.", metavar="MB", minimum=0.01
    )
    client_timeout_s: float = option(
        10.0, "Cut off a client that neither sends nor receives for this long.", metavar="S", minimum=0.1
    )
    stream_idle_s: float = option(
        60.0, "Close a live stream that sends no frames for this long.", metavar="S", minimum=0.1
    )
    drain_s: float = option(20.0, "On SIGTERM, how long requests under way may take to finish.", metavar="S", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_held_mb < self.max_upload_mb:
            raise UsageError(
                f"max_held_mb is {self.max_held_mb:g}; expected at least one request's worth "
                f"(max_upload_mb is {self.max_upload_mb:g})"
            )
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise UsageError("token: expected one or more printable ASCII characters, or 'auto'")
        for origin in self.allowed_origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise UsageError(f"allow_origin: '{origin}' is no origin; expected such as https://app.example:8443")

    @property
    def allowed_origins(self) -> frozenset[str]:
        """The origins in `allow_origin`, in lower case."""
        return frozenset(part.strip().rstrip("/").lower() for part in self.allow_origin.split(",") if part.strip())

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """The names in `allow_host`, in lower case."""
        return frozenset(part.strip().lower() for part in self.allow_host.split(",") if part.strip())

    @property
    def on_loopback(self) -> bool:
        """Whether only this computer can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def recognizer_options(self) -> dict[str, Any]:
        """The part that is for the `mien.Recognizer`."""
        return {item.name: getattr(self, item.name) for item in fields(RecognizerOptions)}
