"""Videos, cameras and network streams as frames with time stamps, decoded in a thread of their own."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mien.background import Worker, answer_of
from mien.errors import InputError, MienError, UsageError
from mien.opencv import quiet_opencv, turned
from mien.source.buffer import Buffer
from mien.source.capture import CONVERT, Capture, open_capture
from mien.source.container import Container, read_container
from mien.source.frame import Frame
from mien.source.name import IMAGE_SUFFIXES, is_live_name, is_network, shown_name

__all__ = ["EARLY_S", "VideoInfo", "VideoSource", "next_due_s"]

_BUFFER_BYTES = 48 << 20
_BUFFER_FRAMES = 16
# A live source keeps this many frames for the reader; with more, what is read would be older.
_LIVE_FRAMES = 2
_FIRST_PICTURES = 10
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
_STEADY_S = 10.0
# Time stamps are rounded in many files; a frame this little before its turn is taken.
EARLY_S = 0.002
_FALLBACK_RATE = 25.0
_BY_PILLOW = "in Python give its frames to Recognizer.stream: ImageSequence.Iterator(Image.open(FILE)), both of PIL"
# Pixel aspect ratios: closer to 1 the pixels are square but for rounding, further from it the file is wrong.
_LEAST_STRETCHED = 1.01
_MOST_STRETCHED = 4.0


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video when it has been opened.

    Attributes
    ----------
    source : str
        Its name, without a password.
    size_wh : (int, int)
        Width and height of the picture in pixels, upright and as wide as players show it.
    frame_rate : float
        Frames a second, as the file says (the average where it varies).
    duration_s : float or None
        Length in seconds, as the file says; None for live sources and where the file does not tell.
    live : bool
        True for cameras and streams without an end: frames that come too fast are dropped.
    started : datetime or None
        Of a live source the clock time, in UTC, from which its times are counted; None for files.
    """

    source: str
    size_wh: tuple[int, int]
    frame_rate: float
    duration_s: float | None
    live: bool
    started: datetime | None = None


class VideoSource:
    """The frames of a video file, a camera (``camera:0``) or a network stream (``rtsp://...``), once.

    Decoding runs in a thread of its own, ahead by a bounded number of frames. A live source drops its oldest waiting
    frames instead of falling behind. A camera or network stream that breaks off is opened again, after 0.5 s, 1 s, 2 s
    and so on up to 8 s.

    Parameters
    ----------
    name : str
        A path, ``camera:N``, or an address.
    every_s : float, optional
        Read one frame in so many seconds; all by default.
    start_s, end_s : float, optional
        Yield only the frames from `start_s` on and before `end_s`, in seconds. Numbers and times stay those of the
        whole video.
    rotate_deg : int
        Turn each picture clockwise by 90, 180 or 270 degrees.
    give_up_s : float
        How long a camera or network stream that broke off is tried again, in seconds.
    opener : callable
        Opens the capture; tests give a fake.
    tell : callable, optional
        Takes a line when a camera or stream breaks off, and one when it is back; in the thread that decodes.

    Attributes
    ----------
    info : VideoInfo
        Size, frame rate and length, as far as they are known.
    dropped : int
        Frames of a live source that were dropped so far.
    reconnects : int
        How often a camera or network stream was opened again.

    Raises
    ------
    InputError
        If it cannot be opened, has no frames, or ends before `start_s`.
    UsageError
        If `start_s` is given for a camera or a stream.
    """

    def __init__(
        self,
        name: str,
        *,
        every_s: float | None = None,
        start_s: float = 0.0,
        end_s: float | None = None,
        rotate_deg: int = 0,
        give_up_s: float = 30.0,
        opener: Callable[[str], Capture] = open_capture,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self._name = name
        self._every_s = every_s
        self._start_s = start_s
        self._end_s = math.inf if end_s is None else end_s
        self._rotate_deg = rotate_deg
        self._give_up_s = give_up_s
        self._opener = opener
        self._tell = tell or (lambda _: None)
        self._worker: Worker | None = None
        self.reconnects = 0
        if _may_hang(name):
            answer_of(self._open, lambda capture: capture.release(), "mien-open")
        else:
            self._open()
        self._rate = _number(self._capture, cv2.CAP_PROP_FPS, 0.001, 1000.0) or _FALLBACK_RATE
        count = _number(self._capture, cv2.CAP_PROP_FRAME_COUNT, 1.0, 1e10)
        # An address may name a file: it has an end, and nothing of it is dropped.
        live = is_live_name(name) and not (is_network(name) and count)
        self._container = Container("") if is_live_name(name) else read_container(name)
        first, _ = self._first
        if first is None:
            hint = "" if is_live_name(name) else self._why_no_frame(count)
            self._capture.release()
            raise InputError(shown_name(name), f"holds no video frames that can be decoded{hint}")
        duration_s = None if live or not count else count / self._rate
        if duration_s is not None and self._container.shown_s:
            duration_s = min(duration_s, self._container.shown_s)
        try:
            self._check_start(live, duration_s)
        except MienError:
            self._capture.release()
            raise
        self.info = VideoInfo(
            shown_name(name),
            (first.shape[1], first.shape[0]),
            self._rate,
            duration_s,
            live,
            self._opened_at if live else None,
        )
        room = max(2, min(_BUFFER_FRAMES, _BUFFER_BYTES // first.nbytes))
        self._buffer: Buffer[Frame | InputError] = Buffer(_LIVE_FRAMES if live else room, live)

    @property
    def dropped(self) -> int:
        """Frames of a live source that were dropped so far."""
        return self._buffer.dropped

    def close(self) -> None:
        """Stop decoding; what waits is let go."""
        self._buffer.stop()
        if self._worker is None:
            self._capture.release()

    def __iter__(self) -> Iterator[Frame | InputError]:
        """Yield the frames; if the video breaks off, the last item is an InputError that says why and where."""
        if self._worker is not None:
            raise UsageError(f"{self.info.source}: a video source can be read once; open it again")
        self._worker = Worker(self._decode, self._buffer.stop, "mien-decode")
        self._worker.start()
        try:
            while (item := self._buffer.get()) is not None:
                yield item
        finally:
            self._worker.leave()

    def _open(self) -> Capture:
        """Open it, and go to its first frame."""
        self._capture = self._opener(self._name)
        self._opened_s = self._connected_s = time.monotonic()
        self._opened_at = datetime.now(timezone.utc)
        image = None
        # The first pictures of many cameras are damaged.
        for _ in range(_FIRST_PICTURES if is_live_name(self._name) else 1):
            if not self._capture.grab() or (image := self._retrieve()) is not None:
                break
        self._first = image, self._position_s()
        return self._capture

    def _decode(self) -> None:
        """The thread: fills the buffer, and closes what it opened."""
        try:
            # OpenCV remarks on every stall, also when a stream that hangs has been left.
            with quiet_opencv() if is_live_name(self._name) else contextlib.nullcontext():
                problem = self._decode_live() if self.info.live else self._decode_file()
            if problem and not self._buffer.stopped:
                self._buffer.put(InputError(self.info.source, problem))
        except Exception as error:  # noqa: BLE001, RUF100 - whatever it is must reach the reader
            self._buffer.put(InputError(self.info.source, f"decoding failed ({error})"))
        finally:
            self._capture.release()
            self._buffer.end()

    def _why_no_frame(self, count: float) -> str:
        if Path(self._name).suffix.lower() in IMAGE_SUFFIXES:
            return f": OpenCV's FFmpeg does not decode animations of this kind; {_BY_PILLOW}"
        if not count:
            return ""
        if self._container.cut:
            return ": the file is cut off before its first frame ends"
        code = round(_number(self._capture, cv2.CAP_PROP_FOURCC, 1.0, 2**32 - 1)).to_bytes(4, "little")
        codec = f" ({code.decode()})" if code.isalnum() and code.isascii() else ""
        return f": all of them are damaged, or OpenCV's FFmpeg lacks their codec{codec}; {CONVERT}"

    def _check_start(self, live: bool, duration_s: float | None) -> None:
        """Refuse a `start_s` that this video does not have."""
        name = shown_name(self._name)
        if live and self._start_s:
            raise UsageError(f"{name}: a camera or stream begins when it is opened; only files have another start")
        if duration_s is not None and self._start_s >= duration_s:
            raise InputError(name, f"ends at {duration_s:.1f} s, and was to be read from {self._start_s:g} s on")

    def _decode_file(self) -> str:
        image: npt.NDArray[np.uint8] | None
        image, time_s = self._first
        last_s, due_s, index = time_s, time_s, 0
        if time_s < self._start_s - EARLY_S:
            image, due_s = None, self._start_s
        damaged_before, damaged_after_s, any_read = self._damaged(), -1.0, False
        while time_s < self._end_s - EARLY_S:
            if image is not None:
                any_read = True
                due_s = next_due_s(time_s, self._every_s)
                until_s = self._until(time_s, due_s)
                if not self._buffer.put(Frame(self.info.source, image, index, time_s, until_s=until_s)):
                    return ""
            if not self._capture.grab():
                if problem := self._missing_end(index + 1, last_s):
                    return problem
                break
            if damaged_after_s < 0 and self._damaged() > damaged_before:
                damaged_after_s = last_s
            index += 1
            time_s = self._position_s()
            if not time_s > last_s:  # no time stamps, or damaged ones
                time_s = last_s + 1.0 / self._rate
            last_s = time_s
            image = self._retrieve() if time_s >= due_s - EARLY_S else None
        if not any_read:
            until = f" to {self._end_s:g} s" if self._end_s < math.inf else ""
            return f"holds no frame from {self._start_s:g} s on{until}"
        # Those before the first frame are none: what was recorded while it was sent begins with parts of others.
        if damaged := self._damaged() - damaged_before:
            several = f"{damaged} frames could not be decoded, the first"
            which = "1 frame could not be decoded," if damaged == 1 else several
            return f"{which} after {damaged_after_s:.1f} s: the file is damaged there (the other {index + 1} were read)"
        return ""

    def _damaged(self) -> int:
        """Frames that could not be decoded so far; of cameras and streams that is not known."""
        return int(getattr(self._capture, "damaged", 0))

    def _missing_end(self, frames: int, last_s: float) -> str:
        duration_s, container = self.info.duration_s, self._container
        if duration_s is not None and is_network(self._name):  # a file, of which nothing more is known
            if duration_s - last_s <= max(1.0, 3.0 / self._rate, 0.02 * duration_s):
                return ""
            return (
                f"ends at {last_s:.1f} s of {duration_s:.1f} s: the connection broke off, or only the sound goes on "
                f"({frames} frames were read)"
            )
        # The length alone proves nothing: sound may go on longer than the pictures.
        if duration_s is None or not (container.cut or container.indexed):
            return ""
        # Rounded time stamps, and a frame or two that an encoder left out.
        tolerated_s = max(0.0 if container.cut else 1.0, 3.0 / self._rate)
        if duration_s - last_s <= tolerated_s + container.last_frame_s:
            return ""
        return (
            f"breaks off at {last_s:.1f} s of {duration_s:.1f} s: the file is cut or damaged there "
            f"({frames} frames were read)"
        )

    def _decode_live(self) -> str:
        image: npt.NDArray[np.uint8] | None
        image, _ = self._first
        start_s, due_s, index = self._opened_s, 0.0, 0
        while True:
            # Pictures of a live source are stamped with their arrival: its own clock starts anew at each connection.
            time_s = time.monotonic() - start_s if index else 0.0
            if time_s >= self._end_s:
                return ""
            if image is not None:
                if not self._buffer.put(Frame(self.info.source, image, index, time_s)):
                    return ""
                due_s = next_due_s(time_s, self._every_s)
            index += 1
            while not self._capture.grab():
                if not self._connect_again():
                    over = self._buffer.stopped or time.monotonic() - start_s >= self._end_s
                    return "" if over else self._gave_up(index)
            if self._buffer.stopped:
                return ""
            image = self._retrieve() if time.monotonic() - start_s >= due_s - EARLY_S else None

    def _gave_up(self, frames: int) -> str:
        what = "stream ended" if is_network(self._name) else "camera stopped giving pictures"
        return f"the {what} after {frames} frames and did not come back within {self._give_up_s:g} s"

    def _connect_again(self) -> bool:
        """Open what broke off again, with growing pauses; False when the time is up or the reader has gone."""
        self._capture.release()
        broke_s = time.monotonic()
        end_s = min(broke_s + self._give_up_s, self._opened_s + self._end_s)
        # A server that gives one picture a connection breaks off at each.
        told = broke_s - self._connected_s > _STEADY_S and self._say_away(end_s)
        wait_s = _FIRST_WAIT_S
        while (left_s := end_s - time.monotonic()) > 0:
            if self._buffer.wait_stopped(min(wait_s, left_s)):
                return False
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            try:
                self._capture = self._opener(self._name)
            except InputError:
                told = told or self._say_away(end_s)
                continue
            self._connected_s = time.monotonic()
            self.reconnects += 1
            if told:
                self._tell(f"{self.info.source}: pictures again, after {self._connected_s - broke_s:.1f} s")
            return True
        return False

    def _say_away(self, end_s: float) -> bool:
        if (left_s := end_s - time.monotonic()) > 0 and not self._buffer.stopped:
            self._tell(f"{self.info.source}: no pictures any more; trying again for {math.ceil(left_s)} s")
        return left_s > 0

    def _until(self, time_s: float, due_s: float) -> float:
        """How long a frame of a file stands for the video: until the next one is due, or the video ends."""
        next_s = min(max(due_s, time_s + 1.0 / self._rate), self._end_s)
        end_s = self.info.duration_s
        if end_s is None or end_s <= time_s:  # a number of frames at the average rate; one that is over is wrong
            return next_s
        is_last = end_s - time_s <= self._container.last_frame_s + EARLY_S
        return min(end_s, self._end_s) if is_last else min(next_s, end_s)

    def _position_s(self) -> float:
        position_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        return position_s if math.isfinite(position_s) and position_s >= 0 else 0.0

    def _retrieve(self) -> npt.NDArray[np.uint8] | None:
        done, image = self._capture.retrieve()
        if not done or image is None or not image.size:
            return None
        if (aspect := self._pixel_aspect_ratio()) != 1.0:
            height, width = image.shape[:2]
            image = cv2.resize(image, (max(1, round(width * aspect)), height), interpolation=cv2.INTER_LINEAR)
        return turned(np.asarray(image, np.uint8), self._rotate_deg)

    def _pixel_aspect_ratio(self) -> float:
        """Width over height of the upright picture's pixels: 1 for square ones; DV and DVD have others."""
        wide, high = (_number(self._capture, key, 1.0, 1e9) for key in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
        if not wide or not high or not _MOST_STRETCHED > max(wide / high, high / wide) > _LEAST_STRETCHED:
            return 1.0
        lies = round(self._capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180 == 90
        return high / wide if lies else wide / high


def _may_hang(name: str) -> bool:
    """Whether opening it may take seconds, so that another thread does it."""
    # On macOS the main thread must ask for the permission to use a camera, and on Windows COM binds it to its thread.
    return is_network(name) or (is_live_name(name) and sys.platform == "linux")


def next_due_s(time_s: float, every_s: float | None) -> float:
    """The time from which the next frame is wanted, if one frame is read every `every_s` seconds."""
    return (math.floor((time_s + EARLY_S) / every_s) + 1) * every_s if every_s else -math.inf


def _number(capture: Any, property_id: int, low: float, high: float) -> float:
    """A property that makes sense, else 0."""
    value = float(capture.get(property_id))
    return value if low <= value <= high else 0.0
