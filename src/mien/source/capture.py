"""Opening videos, cameras and streams with OpenCV's FFmpeg, and saying clearly why one cannot be opened.

OpenCV and not PyAV, because OpenCV is there anyhow: both give the same time stamps (variable frame rate included), and
PyAV, which brings 36 MB, decodes to BGR no faster (`docs/video.md` has the figures).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Protocol

import cv2

from mien.errors import InputError
from mien.opencv import quiet_opencv
from mien.source.container import beginning, read_container
from mien.source.header import read_header
from mien.source.name import (
    A_PIPE,
    IMAGE_SUFFIXES,
    address_suffix,
    camera_number,
    ffmpeg_name,
    is_live_name,
    is_network,
    is_pipe,
    shown_name,
    why_unreadable,
)

__all__ = ["CONVERT", "Capture", "open_capture"]

CONVERT = "convert it: ffmpeg -i FILE -c:v libx264 NEW.mp4"
"""What to do where a codec is missing."""

_MOST_PHOTO_BYTES = 64 << 20
_OPEN_TIMEOUT_MS = 10_000
_READ_TIMEOUT_MS = 5_000
# How often a file is asked for its next frame before that is its end; a thousand times take a tenth of a second.
_LEAST_TRIES = 30
_MOST_TRIES = 3_000


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used; tests have a fake of it."""

    def grab(self) -> bool:
        """Go to the next frame; False at the end."""
        ...

    def retrieve(self) -> tuple[bool, Any]:
        """The frame that was grabbed, upright and in BGR."""
        ...

    def get(self, propId: int, /) -> float:  # noqa: N803 - OpenCV's name
        """A property."""
        ...

    def release(self) -> None:
        """Close it."""
        ...


class _FileCapture:
    """A file's capture that passes over what is damaged: OpenCV stops there, and goes on when it is asked again.

    Attributes
    ----------
    damaged : int
        Pictures that could not be decoded, of those before the last one that could.
    """

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self.damaged = 0
        self._grabbed = 0
        self.retrieve = capture.retrieve
        self.get = capture.get
        self.set = capture.set
        self.release = capture.release

    def grab(self) -> bool:
        """Go to the next frame that can be decoded; False at the end."""
        # As many tries as there may be frames left, and some where their number is an estimate.
        left = self.get(cv2.CAP_PROP_FRAME_COUNT) - self._grabbed - self.damaged
        for failed in range(round(min(max(left, _LEAST_TRIES), _MOST_TRIES))):
            if self._capture.grab():
                self._grabbed += 1
                self.damaged += failed
                return True
        return False


def open_capture(name: str) -> Capture:
    """Open a video file, ``camera:N`` or the address of a stream.

    Raises
    ------
    InputError
        If it cannot be opened, with the reason as far as it can be told.
    UsageError
        If the name is ``camera:`` without a number.
    """
    try:
        name.encode()
    except UnicodeEncodeError:  # OpenCV would end the process at once, without a word
        raise InputError(name, "its name holds bytes that are no Unicode, which cannot be opened; rename it") from None
    number = camera_number(name)
    # FFmpeg's own remarks would go past Python to stderr; what is wrong is said once, by the error. Set when the first
    # video is opened, so that a program that reads only photos with mien keeps the remarks on its own videos.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with quiet_opencv():
        if number is not None:
            # Read on Windows alone, where a camera may otherwise take half a minute to open (OpenCV's issue 17687).
            os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")
            capture = cv2.VideoCapture(number)
            problem = "" if capture.isOpened() else _no_camera(number)
        elif is_network(name):
            # One decoding thread: FFmpeg holds back a frame for each further one.
            limits = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                _OPEN_TIMEOUT_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                _READ_TIMEOUT_MS,
            ]
            capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [*limits, cv2.CAP_PROP_N_THREADS, 1])
            problem = "" if capture.isOpened() else _no_stream(name)
        else:
            problem = _unreadable(name)
            if problem:
                raise InputError(name, problem)
            # Two threads keep ahead of the detector on every machine; more only cost.
            capture = cv2.VideoCapture(ffmpeg_name(name), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 2])
            problem = "" if capture.isOpened() and not read_container(name).sound_alone else _no_video(name)
    if problem:
        capture.release()
        raise InputError(shown_name(name), problem)
    return capture if is_live_name(name) else _FileCapture(capture)


def _no_stream(name: str) -> str:
    page = name.lower().startswith(("http://", "https://")) and not address_suffix(name)
    hint = " A web page that shows a video is none: download it first." if page else ""
    return f"cannot connect, or it sends no video; are address, user and password right?{hint}"


def _unreadable(name: str) -> str:
    """Why a file cannot even be looked into; empty where it can."""
    if is_pipe(name):  # what is looked at here would be missing later
        return A_PIPE
    photo = Path(name).suffix.lower() in IMAGE_SUFFIXES
    try:
        with Path(name).open("rb") as file:
            data = file.read(_MOST_PHOTO_BYTES if photo else 1)
    except (OSError, ValueError) as error:
        return why_unreadable(name, error, "a video file; of a folder of photos pass a list of them")
    # FFmpeg would give it as it lies, without its EXIF orientation. An animation is a video, too.
    if photo and (header := read_header(data)).format and header.frames < 2:
        return f"is a photo ({header.format}), not a video; Recognizer.recognize reads photos, stream a list of them"
    return "" if data else "the file is empty (0 bytes)"


def _no_video(name: str) -> str:
    container = read_container(name)
    kind = container.kind
    if container.boxes and (container.cut or b"moov" not in container.boxes):
        return f"the {kind} file is damaged: its index (moov) is missing, as when a recording or copy broke off"
    if container.sound_alone:
        return f"the {kind} file holds sound alone, and no pictures"
    if kind:
        return (
            f"the {kind} file holds no video that can be decoded here: it has no picture track, is damaged, or uses "
            f"a codec that OpenCV's FFmpeg lacks ({CONVERT})"
        )
    with Path(name).open("rb") as file:
        start = file.read(16)
    return f"is not a video ({beginning(start)}); expected a file that FFmpeg reads, such as MP4 or MKV"


def _no_camera(number: int) -> str:
    present = ""
    if sys.platform == "linux":  # elsewhere nothing lists them
        found = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
        listed = f"cameras here: {', '.join(f'camera:{n}' for n in found)}" if found else "no camera was found here"
        present = f" ({listed})"
    return f"no camera of number {number} can be opened{present}; is it plugged in, allowed, and not in use?"
