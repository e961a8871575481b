"""The part of `mien recognize` that reads videos, cameras and streams, one after the other."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from mien.cli.late_bar import LateBar
from mien.cli.recognize_run import RecognizeRun
from mien.cli.terminal import EXIT_INTERRUPTED, counted, say
from mien.errors import InputError, UsageError
from mien.files import file_key, numbered
from mien.opencv import quiet_opencv
from mien.sink import Sink, SummarySink, VideoSink
from mien.sink.table import printable
from mien.source import SourceFile, VideoInfo
from mien.source.name import is_live_name
from mien.video import VideoReadings
from mien.video_options import VideoOptions

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

__all__ = ["VideoRun", "video_target"]


def video_target(folder: Path, video: SourceFile) -> Path:
    """Where the annotated copy of a video goes in a folder."""
    name = Path(video.relative)
    if is_live_name(video.path):
        name = Path("".join(c if c.isalnum() or c in ".-" else "-" for c in video.relative).strip("-"))
        return folder / f"{name}.mp4"
    return folder / name.with_suffix(".mp4")


@dataclass
class VideoRun(RecognizeRun):
    """Reads videos and tells the terminal about them."""

    options: VideoOptions
    _taken: set[tuple[int, int]] = field(default_factory=set, init=False)

    def read(self, videos: list[SourceFile]) -> int:
        """Read the videos; returns how many could not be read to their end."""
        self._taken = {key for video in videos if (key := file_key(video.path)) is not None}
        if self.draw is not None and self.into_folder:
            for video in videos:
                if file_key(target := video_target(self.draw, video)) in self._taken:
                    raise UsageError(f"{target}: --draw would overwrite a video that is read; choose another folder")
        # OpenCV remarks on what is damaged; the errors and notes below say it once.
        with quiet_opencv():
            return sum(not self._try(video, self._target(video), video is videos[-1]) for video in videos)

    def _target(self, video: SourceFile) -> Path | None:
        """Where its annotated copy goes. Two videos may have one name, and be it but for capitals."""
        if self.draw is None or not self.into_folder:
            return self.draw
        return numbered(video_target(self.draw, video), self._taken)

    def _try(self, video: SourceFile, target: Path | None, last: bool) -> bool:
        try:
            self._read(video, target, last)
        except InputError as error:
            say(f"cannot read {error}")
            return False
        finally:
            # By what it is: to some file systems "A.mp4" and "a.mp4" are one name.
            if target is not None and (key := file_key(target)) is not None:
                self._taken.add(key)
        return True

    def _read(self, video: SourceFile, target: Path | None, last: bool) -> None:
        with contextlib.ExitStack() as stack:
            readings = stack.enter_context(VideoReadings(self.recognizer, video.path, self.options, tell=say))
            info = readings.info
            own: list[Sink] = []
            if target is not None:  # first: where it cannot be written, nothing is said of the video
                own.append(
                    stack.enter_context(
                        VideoSink(target, None if info.live else video.path, start_s=self.options.start_s)
                    )
                )
            if info.live and not last and self.options.end_s is None:
                say(
                    f"note: {info.source}: what was named after it waits for Ctrl-C; several at once take a command "
                    "each"
                )
            if self.table is not None:
                self.table.print(Text(_heading(info), "bold"), highlight=False, soft_wrap=True)
                own.append(stack.enter_context(SummarySink(self.table, self.recognizer.scheme)))
            ends = [end_s for end_s in (info.duration_s, self.options.end_s) if end_s is not None]
            total_s = min(ends) - self.options.start_s if ends else None
            bar = stack.enter_context(LateBar(self.bar, total_s, partial(_columns, timed=total_s is not None)))
            frames, start_s = 0, time.monotonic()
            try:
                for frame, reading in readings.frames():
                    for sink in (*self.sinks, *own):
                        sink.write(reading, frame)
                    frames += 1
                    dropped = f", {readings.dropped:,} dropped" if info.live else ""
                    bar.update(
                        (reading.time_s or 0.0) - self.options.start_s, frames, said=f"{frames:,} frames{dropped}"
                    )
            except KeyboardInterrupt:
                # The only way to leave a camera; a file that is left early is an interruption.
                if not info.live:
                    say("interrupted; what was read so far is written")
                    raise typer.Exit(EXIT_INTERRUPTED) from None
            finally:
                bar.close()
                self._tell(readings, frames, time.monotonic() - start_s)

    def _tell(self, readings: VideoReadings, frames: int, seconds: float) -> None:
        parts = []
        if (started := readings.info.started) is not None:
            parts.append(f"times count from {started:%Y-%m-%d %H:%M:%S}.{started.microsecond // 1000:03} UTC")
        if readings.dropped:
            share = readings.dropped / max(1, readings.dropped + frames)
            parts.append(f"{counted(readings.dropped, 'frame')} ({share:.0%}) dropped to keep up")
        if readings.reconnects:
            parts.append(f"reconnected {counted(readings.reconnects, 'time')}")
        if self.table is not None:
            rate = f"{counted(frames, 'frame')} in {seconds:.1f} s ({frames / max(seconds, 1e-6):.0f} a second)"
            self.table.print(", ".join([rate, *parts]), style="dim", highlight=False, soft_wrap=True)
        elif parts:
            say(f"note: {readings.info.source}: {', '.join(parts)}")


def _heading(info: VideoInfo) -> str:
    facts = [f"{info.size_wh[0]} x {info.size_wh[1]}", f"{info.frame_rate:.4g} frames a second"]
    if info.live:
        facts = [*facts[:1], "live; Ctrl-C ends it"]
    elif info.duration_s is not None:
        facts.insert(0, f"{info.duration_s:.1f} s")
    return f"{printable(info.source)}: {', '.join(facts)}"


def _columns(timed: bool) -> list[str | ProgressColumn]:
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    return [
        "reading",
        BarColumn(),
        TextColumn("{task.fields[said]}, {task.fields[rate]:.0f} a second"),
        *([TimeRemainingColumn()] if timed else []),
    ]
