"""The images of a multipart request, streamed into bounded memory.

Not Starlette's own form parser: it writes larger uploads to temporary files, and mien never stores a frame.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from mien.serve.metrics import Metrics
from mien.serve.options import ServeOptions
from mien.serve.problem import Problem, bad_request, overloaded, too_large

__all__ = ["Upload", "Uploads"]

FIELD = "images"
_MAX_NAME = 200
_WHOLE_REQUEST_TIMES = 6
"""A request may take so many times `client_timeout_s` in all: a trickle must end some time too."""


@dataclass
class Upload:
    """One image as a client sent it.

    Attributes
    ----------
    name : str
        The file name without folders and control characters; ``image-1`` and so on without one.
    data : bytes
        The file.
    """

    name: str
    data: bytes = field(repr=False)


class Uploads:
    """Takes images out of requests, within the limits of a request and of all requests together."""

    def __init__(self, options: ServeOptions, metrics: Metrics) -> None:
        self._options = options
        self._metrics = metrics
        self._held_bytes = 0

    async def read(self, request: Request, held: list[int], max_images: int | None = None) -> list[Upload]:
        """Read the images of a request.

        Parameters
        ----------
        request : Request
        held : list of int
            Gets the bytes that now count as held; give them back with `release` when the images are read.
        max_images : int, optional
            Most images; by default those of the options.

        Raises
        ------
        Problem
            400 or 415 if it is no such request, 413 if it is too large, 408 if it comes too slowly, 503 if too many
            uploads are under way.
        """
        boundary = _boundary(request)
        limit = int(self._options.max_upload_mb * 1e6)
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise self._over(int(announced))
        form = _Form(self._options.max_images if max_images is None else max_images)
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.on_part_begin,
                "on_part_data": form.on_part_data,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_headers_finished": form.on_headers_finished,
                "on_end": form.on_end,
            },
        )
        received = 0
        async for chunk in self._chunks(request):
            received += len(chunk)
            if received > limit:
                raise self._over(received)
            self._hold(len(chunk), held)
            try:
                parser.write(chunk)
            except FormParserError as error:
                raise bad_request(f"the multipart body is damaged ({error})") from error
        return form.finish()

    def release(self, held: list[int]) -> None:
        """Give back what `read` counted."""
        self._held_bytes -= sum(held)
        held.clear()
        self._metrics.held_bytes.set(self._held_bytes)

    def _hold(self, count: int, held: list[int]) -> None:
        if self._held_bytes + count > self._options.max_held_mb * 1e6:
            raise overloaded("too many uploads are under way; try again in a moment", 2)
        self._held_bytes += count
        held.append(count)
        self._metrics.held_bytes.set(self._held_bytes)

    def _over(self, received: int) -> Problem:
        return too_large(
            "too_large",
            f"the request has {'at least ' if received else ''}{received / 1e6:.1f} MB; the limit is "
            f"{self._options.max_upload_mb:g} MB: send fewer or smaller images",
        )

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        silence_s = self._options.client_timeout_s
        end_s = time.monotonic() + _WHOLE_REQUEST_TIMES * silence_s
        stream = request.stream()
        while True:
            wait_s = min(silence_s, end_s - time.monotonic())
            try:
                chunk = await asyncio.wait_for(anext(stream), max(0.0, wait_s))
            except StopAsyncIteration:
                return
            except asyncio.TimeoutError as error:
                raise Problem(408, "timeout", "the request came too slowly or not in full; send it again") from error
            except ClientDisconnect as error:
                raise Problem(400, "disconnected", "the client went away in the middle of the request") from error
            yield chunk


def _boundary(request: Request) -> bytes:
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        came = kind.decode("latin-1")[:80] or "no content type"
        raise Problem(
            415,
            "unsupported_media_type",
            f"came {came}; expected multipart/form-data with one or more files in the field '{FIELD}'",
        )
    boundary = parameters.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise bad_request("the content type lacks a boundary of 1 to 70 characters")
    return boundary


class _Form:
    """Gathers the parts; its methods are the parser's callbacks."""

    def __init__(self, max_images: int) -> None:
        self._max_images = max_images
        self._parts: list[tuple[str, bytearray]] = []
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._complete = False

    def on_part_begin(self) -> None:
        if len(self._parts) >= self._max_images:
            counted = "one image" if self._max_images == 1 else f"{self._max_images} images"
            raise too_large("too_many_images", f"more than {counted}; send them in several requests")
        self._disposition = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def on_headers_finished(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        name = parameters.get(b"name", b"").decode("utf-8", "replace")
        if name != FIELD:
            raise bad_request(
                f"unknown field {name[:80]!r}; expected files in the field '{FIELD}' (mien fetches no addresses)"
            )
        file_name = parameters.get(b"filename", b"").decode("utf-8", "replace")
        self._parts.append((_clean(file_name) or f"image-{len(self._parts) + 1}", bytearray()))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._parts[-1][1].extend(memoryview(data)[start:end])

    def on_end(self) -> None:
        self._complete = True

    def finish(self) -> list[Upload]:
        """The images, once all bytes have come."""
        if self._parts and not self._complete:
            raise bad_request("the request ends in the middle of an image")
        if not self._parts:
            raise bad_request(f"the request has no image; expected one or more files in the field '{FIELD}'")
        return [Upload(name, bytes(data)) for name, data in self._parts]


def _clean(name: str) -> str:
    base = re.split(r"[/\\]", name)[-1]
    return "".join(c for c in base if c.isprintable())[:_MAX_NAME].strip()
