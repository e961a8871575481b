"""Messages between a worker and its reader: a JSON head and blobs of bytes, over pipes."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import IO, Any

__all__ = ["receive", "send"]

_LENGTH = struct.Struct(">Q")


def send(stream: IO[bytes], head: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Send one message."""
    text = json.dumps({**head, "blobs": [len(blob) for blob in blobs]}).encode()
    stream.write(_LENGTH.pack(len(text)) + text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """Wait for a message; None where the other side has gone."""
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    text = stream.read(_LENGTH.unpack(length)[0])
    try:
        head = json.loads(text)
    except ValueError:
        return None  # cut off within a message
    blobs = [stream.read(size) for size in head.pop("blobs")]
    return head, blobs
