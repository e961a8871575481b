"""What an input is by its name: a photo, a video, a camera or a stream; how it is shown, why it cannot be opened."""

from __future__ import annotations

import errno
import glob
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from mien.errors import UsageError, warn
from mien.source.container import read_container
from mien.source.mp4 import is_live_photo_clip

__all__ = [
    "A_PIPE",
    "HIDDEN",
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "address_suffix",
    "camera_hint",
    "camera_number",
    "ffmpeg_name",
    "is_live_name",
    "is_network",
    "is_pipe",
    "is_video",
    "shown_name",
    "why_unreadable",
    "without_live_photo_clips",
]

_F = TypeVar("_F")

A_PIPE = "is a named pipe; expected a file"

HIDDEN = (".", "@eaDir")
"""How names begin that are passed over in folders: hidden ones, and the folders in which Synology's disks keep
thumbnails of all that lies beside them."""

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

_LIVE_PHOTO_SUFFIXES = frozenset((".heic", ".heif", ".jpg", ".jpeg"))

_NETWORK = frozenset(("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt", "http", "https"))
_LONG = 1000
"""Letters; no name of a file has as many."""
_CAMERA = re.compile(r"camera:(.*)", re.IGNORECASE)
_LIKE_A_CAMERA = re.compile(r"(?:/dev/video|camera|webcam|cam|(?=[0-9]))([0-9]{0,2})", re.IGNORECASE)
"""What people type for a camera, from what other programs take."""


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
    return address_suffix(name) not in IMAGE_SUFFIXES


def address_suffix(address: str) -> str:
    """How the path in an address ends, such as ``.mp4``, in small letters; what follows ``?`` or ``#`` is no path."""
    # Not urlsplit, which raises where brackets are amiss.
    _, _, path = re.split("[?#]", address.partition("://")[2], maxsplit=1)[0].partition("/")
    return Path(path).suffix.lower()


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
    # A pipe must not be looked into: what is read from it here would be missing later.
    is_file = os.path.isfile(name)  # noqa: PTH113 - a name of any kind, which Path may refuse for its length
    return suffix not in IMAGE_SUFFIXES and is_file and bool(read_container(name).kind)


def is_pipe(name: str) -> bool:
    """Whether the name is that of a pipe, in which whoever opens it waits for whoever writes, maybe for ever."""
    try:
        return stat.S_ISFIFO(os.stat(name).st_mode)  # noqa: PTH116 - a name of any kind
    except (OSError, ValueError):  # told where it is opened
        return False


def without_live_photo_clips(
    files: Iterable[_F], path_of: Callable[[_F], str], named: str, opened: Callable[[str], BinaryIO]
) -> Iterator[_F]:
    """What a folder or a pattern gives, without the clips of a second or two that iPhones keep with Live Photos.

    They say so, and are named as the photo: IMG_1.MOV beside IMG_1.HEIC. A `mien.errors.MienWarning` says how many
    there were; where clips are named without their photos, as by ``*.mov``, they stay.

    Parameters
    ----------
    files : iterable
        Sorted by name within each folder.
    path_of : callable
        Gives the path of one of them.
    named : str
        The folder or pattern.
    opened : callable
        Opens a path.
    """
    left_out = 0
    for _, group in itertools.groupby(files, lambda file: os.path.splitext(path_of(file))[0]):  # noqa: PTH122
        alike = list(group)
        suffixes = [os.path.splitext(path_of(file))[1].lower() for file in alike]  # noqa: PTH122
        has_photo = len(alike) > 1 and not _LIVE_PHOTO_SUFFIXES.isdisjoint(suffixes)
        for file, suffix in zip(alike, suffixes, strict=True):
            if has_photo and suffix == ".mov" and _is_live_photo_clip(path_of(file), opened):
                left_out += 1
            else:
                yield file
    if left_out:
        warn(
            f"{shown_name(named)}: {left_out:,} .mov left out, each the clip of the Live Photo of its name; a pattern "
            "that ends in .mov names them"
        )


def _is_live_photo_clip(path: str, opened: Callable[[str], BinaryIO]) -> bool:
    if is_pipe(path):
        return False
    try:
        with opened(path) as file:
            return is_live_photo_clip(file)
    except Exception:  # noqa: BLE001 - every file system of fsspec has errors of its own; told where it is read
        return False


def ffmpeg_name(path: str | os.PathLike[str]) -> str:
    """A file's name for FFmpeg, which takes a bare ``http:example.org?clip.mp4`` for an address, and fetches it."""
    return f"file:{os.fspath(path)}"


def shown_name(name: str) -> str:
    """The name as it may be shown and stored: a password in an address is replaced by ``***``."""
    if "://" not in name:
        return name
    # Up to the last "@": FFmpeg takes passwords that hold one as they are.
    name = re.sub(r"(?<=://)([^/@:\s]*):[^/\s]*@", r"\1:***@", name)
    # Many network cameras want it further behind: /video.cgi?user=admin&pwd=...
    return re.sub(r"((?:password|passwd|pwd)=)[^&\s]*", r"\1***", name, flags=re.IGNORECASE)


def why_unreadable(name: str, error: OSError | ValueError, expected: str) -> str:
    """Why a file cannot be opened, in words and with what to do.

    Parameters
    ----------
    name : str
    error : OSError or ValueError
        What opening it raised.
    expected : str
        What it should have been, where it is a folder.
    """
    code = getattr(error, "errno", None)
    if os.path.isdir(name):  # noqa: PTH112 - a name of any kind; asked, since Windows speaks of a lack of permission
        return f"is a folder; expected {expected}"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    # Windows has no word of its own for a name that is too long.
    long = code == errno.ENAMETOOLONG or len(name) > _LONG
    hint = "; an image as base64 text is bytes first: base64.b64decode(text)" if long else ""
    if code not in (errno.ENOENT, errno.EINVAL):  # the second of Windows, where no name holds ":", "*" or "?"
        return f"cannot be read ({getattr(error, 'strerror', None) or error}){hint}"
    if _CAMERA.fullmatch(name):
        return "is a camera; Recognizer.stream reads it"
    if name.lower().startswith("file:"):
        return "is an address; give the path alone, without file://"
    if "://" in name:
        stream = "; of a video stream, give the address to Recognizer.stream" if is_network(name) else ""
        return f"is an address; mien fetches nothing: download it first{stream}"
    if glob.has_magic(name):
        hint = "; in Python list what a pattern names with glob.glob"
    elif name.startswith("~"):
        hint = "; a shell knows ~ where it is not quoted, in Python os.path.expanduser does"
    return f"no such file or folder{hint}{camera_hint(name)}"


def camera_hint(name: str) -> str:
    """What to say of a name that other programs take for a camera; nothing of others."""
    found = _LIKE_A_CAMERA.fullmatch(name)
    return f"; a camera is camera:{found[1] or 0}" if found else ""
