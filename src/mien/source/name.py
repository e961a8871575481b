"""What an input is by its name: a photo, a video, a camera or a stream; and how the name is shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from mien.errors import UsageError

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "camera_number",
    "container_name",
    "is_live_name",
    "is_network",
    "is_video",
    "shown_name",
]

IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
        *(".avif", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm", ".heic", ".heif"),
    )
)
"""Photos that are looked at in a folder. A file that is named by itself is read whatever its suffix."""

VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
        *(".wmv", ".flv", ".f4v", ".3gp", ".ogv", ".mjpeg", ".mjpg", ".h264", ".hevc", ".vob", ".mxf"),
    )
)
"""Files of these suffixes are videos; others are told by their first bytes."""

_NETWORK = frozenset(("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt", "http", "https"))
_CAMERA = re.compile(r"camera:(.*)", re.IGNORECASE)


def camera_number(name: str) -> int | None:
    """The number in ``camera:0``; None for other names.

    Raises
    ------
    UsageError
        If what follows ``camera:`` is no number.
    """
    found = _CAMERA.fullmatch(name)
    if found is None:
        return None
    if not found[1].isdecimal() or len(found[1]) > 3:
        raise UsageError(f"{name}: expected a camera's number, such as camera:0")
    return int(found[1])


def is_network(name: str) -> bool:
    """Whether the name is the address of a network stream (and not of a photo)."""
    scheme, found, _ = name.partition("://")
    if not found or scheme.lower() not in _NETWORK:
        return False
    return Path(urlsplit(name).path).suffix.lower() not in IMAGE_SUFFIXES


def is_live_name(name: str) -> bool:
    """Whether the name is a camera or an address, and not a file."""
    return _CAMERA.fullmatch(name) is not None or is_network(name)


def is_video(name: str) -> bool:
    """Whether an input is read as a video: a camera, a stream, or a file that its suffix or first bytes tell."""
    if is_live_name(name):
        return True
    suffix = Path(name).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return True
    return suffix not in IMAGE_SUFFIXES and bool(container_name(name))


def container_name(path: str) -> str:
    """The kind of video file that the first bytes tell, such as ``"MP4"``; empty where they tell none."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(400)
    except (OSError, ValueError):
        return ""
    if data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"):
        return "QuickTime" if data[8:12] == b"qt  " else "MP4"
    if data[4:8] in (b"moov", b"mdat", b"wide") and Path(path).suffix.lower() in (".mov", ".qt"):
        return "QuickTime"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "AVI"
    if len(data) > 376 and data[0] == data[188] == data[376] == 0x47:
        return "MPEG-TS"
    known = {
        b"\x1a\x45\xdf\xa3": "Matroska or WebM",
        b"FLV\x01": "FLV",
        b"\x00\x00\x01\xba": "MPEG",
        b"\x00\x00\x01\xb3": "MPEG",
        b"OggS": "Ogg",
        b"\x30\x26\xb2\x75": "WMV",
    }
    return known.get(data[:4], "")


def shown_name(name: str) -> str:
    """The name as it may be shown and stored: a password in an address is replaced by ``***``."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", name)
