"""An annotated copy of a video: H.264 in MP4, as browsers play it, with the sound of the original."""

from __future__ import annotations

import contextlib
import heapq
import os
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from mien.errors import OutputError, UsageError, import_extra
from mien.files import file_key, move_into_place
from mien.result import Reading
from mien.sink.base import Sink
from mien.sink.draw import draw_reading
from mien.source import Frame
from mien.source.name import ffmpeg_name

__all__ = ["VideoSink", "import_av"]

_CLOCK = 90_000
_KEY_FRAME_S = 1.0
_ENCODERS = ("libx264", "libopenh264")
# What players take in an MP4 as it is; other sound is coded anew.
_COPIED_SOUND = ("aac", "mp3")
_SOUND_RATE = 48_000


class VideoSink(Sink):
    """Writes the frames of one video, annotated, with their own time stamps.

    While it runs the pictures go into a file beside the target (``clip.mp4.partial.mp4``) that can be played at any
    time, up to the last second or two: that is what a kill leaves behind. At the end they are copied, together with
    the sound, into the target. Where that fails, the file stays if it holds any picture.

    Parameters
    ----------
    path : path
        Ends in ``.mp4``; an existing file is replaced when the new one is complete.
    sound_from : path, optional
        The file that was read, whose sound is kept, if it has any; without it the copy is silent.
    start_s : float
        The second of the video with which its copy begins.

    Raises
    ------
    UsageError
        If `path` is no ``.mp4`` or is the video itself.
    OutputError
        If it cannot be written.
    MissingExtraError
        If PyAV is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sound_from: str | os.PathLike[str] | None = None,
        *,
        start_s: float = 0.0,
    ) -> None:
        self._av = import_av()
        self._path = Path(path)
        self._sound_from = None if sound_from is None else Path(sound_from)
        if self._path.suffix.lower() != ".mp4":
            raise UsageError(f"{path}: an annotated video is written as .mp4, not '{self._path.suffix}'")
        there = file_key(self._path)
        if there is not None and self._sound_from is not None and there == file_key(self._sound_from):
            raise UsageError(f"{path}: would overwrite the video itself; choose another name")
        self._start_s = start_s
        self._partial = self._path.with_name(f"{self._path.name}.partial.mp4")
        self._container: Any = None
        self._stream: Any = None
        self._size_wh = (0, 0)
        self._last_pts = -1
        self._first_s = self._key_s = self._until_s = 0.0
        with self._writing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._path.parent):  # PyAV makes its file when the first frames are coded
                pass
            flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
            self._container = self._av.open(ffmpeg_name(self._partial), "w", options=flags)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What was read before an error is worth keeping: the video is completed either way.
        try:
            with self._writing():
                if self._stream is not None:
                    self._container.mux(self._stream.encode())
                self._container.close()
                if self._stream is not None:
                    self._complete()
                self._partial.unlink(missing_ok=True)
        except OutputError:
            with contextlib.suppress(self._av.error.FFmpegError, OSError):
                self._container.close()
            if not self._holds_pictures():
                self._partial.unlink(missing_ok=True)
            if error is None:  # else the first error is the one to tell
                raise

    def write(self, reading: Reading, frame: Frame | None = None) -> None:
        """Draw one reading; its frame must have a time stamp."""
        if frame is None or frame.time_s is None:
            return
        image = draw_reading(frame.image, reading)
        time_s = max(0.0, frame.time_s - self._start_s)
        with self._writing():
            if self._stream is None:
                self._start((image.shape[1], image.shape[0]))
            if (image.shape[1], image.shape[0]) != self._size_wh:  # half a pixel more, or another camera
                image = self._fit(image)
            # OpenCV rounds; the quick path of FFmpeg's scaler would darken every copy by two steps.
            planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
            picture = self._av.VideoFrame.from_ndarray(planes, format="yuv420p")
            pts = max(round(time_s * _CLOCK), self._last_pts + 1)
            picture.pts, picture.time_base = pts, Fraction(1, _CLOCK)
            if self._last_pts < 0:
                self._first_s = pts / _CLOCK
            if self._last_pts < 0 or time_s - self._key_s >= _KEY_FRAME_S:
                picture.pict_type = self._av.video.frame.PictureType.I
                self._key_s = time_s
            self._last_pts = pts
            self._until_s = time_s if frame.until_s is None else frame.until_s - self._start_s
            self._container.mux(self._stream.encode(picture))

    def _start(self, size_wh: tuple[int, int]) -> None:
        encoder = next((name for name in _ENCODERS if name in self._av.codecs_available), None)
        if encoder is None:
            raise OutputError(f"{self._path}: this build of PyAV has no H.264 encoder ({' or '.join(_ENCODERS)})")
        self._size_wh = (size_wh[0] + size_wh[0] % 2, size_wh[1] + size_wh[1] % 2)
        stream = self._container.add_stream(encoder, rate=30)
        stream.width, stream.height = self._size_wh
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _CLOCK)
        if encoder == "libx264":
            stream.options = {"preset": "veryfast", "crf": "22", "g": "600", "forced-idr": "1"}
        self._stream = stream

    def _fit(self, image: Any) -> Any:
        width, height = self._size_wh
        add_x, add_y = width - image.shape[1], height - image.shape[0]
        if add_x in (0, 1) and add_y in (0, 1):
            return np.asarray(cv2.copyMakeBorder(image, 0, add_y, 0, add_x, cv2.BORDER_REPLICATE), np.uint8)
        # In its own shape, with black beside it.
        scale = min(width / image.shape[1], height / image.shape[0])
        size_wh = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
        fitted = np.zeros((height, width, 3), np.uint8)
        left, top = (width - size_wh[0]) // 2, (height - size_wh[1]) // 2
        fitted[top : top + size_wh[1], left : left + size_wh[0]] = small
        return fitted

    def _complete(self) -> None:
        """Copy pictures and sound into the target, its index in front so that it starts playing at once."""
        finished = self._path.with_name(f".{self._path.name}.{os.getpid()}.mp4")
        try:
            with contextlib.ExitStack() as stack:
                pictures = stack.enter_context(self._av.open(ffmpeg_name(self._partial)))
                target = stack.enter_context(
                    self._av.open(ffmpeg_name(finished), "w", options={"movflags": "faststart"})
                )
                picture_stream = target.add_stream_from_template(pictures.streams.video[0])
                # The fragments begin later by what the encoder holds back; their own clock is put right here.
                stream = pictures.streams.video[0]
                late_s = float((stream.start_time or 0) * stream.time_base) - self._first_s
                parts = [self._standing(_copied(pictures, stream, picture_stream, late_s))]
                sound = self._open_sound(stack)
                if sound is not None:
                    parts.append(self._sound(sound, target))
                for _, packet in heapq.merge(*parts, key=lambda part: part[0]):
                    target.mux(packet)
            move_into_place(finished, self._path)
        finally:
            finished.unlink(missing_ok=True)

    def _standing(self, packets: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
        """The packets of the pictures, of which the last one stands until the video ends."""
        waiting = None
        for item in packets:
            if waiting is not None:
                yield waiting
            waiting = item
            if waiting[1].pts >= self._last_pts:  # in the order of coding others may follow
                self._stand(waiting[1])
        if waiting is not None:
            self._stand(waiting[1])
            yield waiting

    def _stand(self, packet: Any) -> None:
        packet.duration = max(packet.duration, round(self._until_s / packet.time_base) - packet.pts)

    def _open_sound(self, stack: contextlib.ExitStack) -> Any:
        if self._sound_from is None:
            return None
        try:
            source = stack.enter_context(self._av.open(ffmpeg_name(self._sound_from)))
        except (self._av.error.FFmpegError, OSError):
            return None
        return source if source.streams.audio else None

    def _sound(self, source: Any, target: Any) -> Iterator[tuple[float, Any]]:
        """The packets of the original's sound, with their times on the clock of the pictures."""
        stream = source.streams.audio[0]
        video = source.streams.video[0] if source.streams.video else stream
        start_s = float((video.start_time or 0) * video.time_base) + self._start_s
        end_s = max(self._last_pts / _CLOCK, self._until_s) + 0.1
        if stream.codec_context.name in _COPIED_SOUND:
            copied = _copied(source, stream, target.add_stream_from_template(stream), start_s)
        else:
            copied = self._coded(source, stream, target.add_stream("aac", rate=_SOUND_RATE), start_s)
        heard = self._readable(copied)
        if self._start_s:  # else what is heard before the first picture belongs to it
            heard = (part for part in heard if part[0] >= 0)
        return _until(heard, end_s)

    def _coded(self, source: Any, stream: Any, target: Any, start_s: float) -> Iterator[tuple[float, Any]]:
        target.layout = "stereo"
        resampler = self._av.AudioResampler(format="fltp", layout="stereo", rate=_SOUND_RATE)
        shift = round(start_s * _SOUND_RATE)
        for decoded in source.decode(stream):
            for part in resampler.resample(decoded):
                if part.pts is not None:
                    part.pts -= shift
                for packet in target.encode(part):
                    yield _time_s(packet), packet
        for packet in target.encode():
            yield _time_s(packet), packet

    def _readable(self, packets: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
        """Sound as far as it can be read; a broken end must not cost the pictures."""
        with contextlib.suppress(self._av.error.InvalidDataError, self._av.error.EOFError):
            yield from packets

    def _holds_pictures(self) -> bool:
        """Whether anything can be played of the file beside the target, after an error."""
        try:
            with self._av.open(ffmpeg_name(self._partial)) as part:
                return next(part.decode(video=0), None) is not None
        except (self._av.error.FFmpegError, OSError, IndexError):
            return False

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except (self._av.error.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            left = f"; {self._partial.name} holds the pictures so far" if self._holds_pictures() else ""
            raise OutputError(f"{self._path}: cannot be written ({reason}){left}") from error


def import_av() -> Any:
    """PyAV (MissingExtraError where it is not installed)."""
    av = import_extra("Writing an annotated video", "av.video.frame", "video")
    av.logging.set_level(av.logging.PANIC)
    return av


def _copied(source: Any, stream: Any, target: Any, start_s: float) -> Iterator[tuple[float, Any]]:
    """Packets of one stream, as they are, `start_s` seconds earlier."""
    shift = round(start_s / stream.time_base)
    for packet in source.demux(stream):
        if packet.dts is None:
            continue
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts -= shift
        packet.stream = target
        yield _time_s(packet), packet


def _until(packets: Iterator[tuple[float, Any]], end_s: float) -> Iterator[tuple[float, Any]]:
    for time_s, packet in packets:
        if time_s > end_s:
            return
        yield time_s, packet


def _time_s(packet: Any) -> float:
    return float((packet.dts or 0) * packet.time_base)
