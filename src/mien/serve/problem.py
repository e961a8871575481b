"""Errors of the service: one shape for all, ``{"error": {"code", "message"}}``."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["Problem", "bad_request", "overloaded", "too_large"]


class Problem(Exception):  # noqa: N818 - an answer to a client, not a fault of the program
    """An error that a client is told.

    Parameters
    ----------
    status : int
        HTTP status.
    code : str
        One word for programs, such as ``"too_large"``; stable.
    message : str
        For people: what came, what was expected, what to do.
    retry_after_s : int, optional
        When it may be worth trying again.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": {"code": self.code, "message": self.message}}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the status."""
        headers = {"cache-control": "no-store"}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        if self.status == 401:
            headers["www-authenticate"] = 'Bearer realm="mien"'
        if self.status in (408, 413):
            # What is left of the request is not read.
            headers["connection"] = "close"
        return headers

    def body(self) -> bytes:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False).encode()


def bad_request(message: str) -> Problem:
    """400: the request does not follow the protocol."""
    return Problem(400, "bad_request", message)


def too_large(code: str, message: str) -> Problem:
    """413: over one of the limits."""
    return Problem(413, code, message)


def overloaded(message: str, retry_after_s: float = 1.0) -> Problem:
    """503: more work than fits; comes at once, with Retry-After."""
    return Problem(503, "overloaded", message, retry_after_s=max(1, min(60, round(retry_after_s))))
