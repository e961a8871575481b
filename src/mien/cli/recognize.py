"""`mien recognize`: photos and videos in; a table, rows and annotated copies out."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.flags import with_options
from mien.cli.shared import counted, open_console, say
from mien.errors import InputError, UsageError
from mien.recognizer_options import RecognizerOptions
from mien.video_options import VideoOptions

if TYPE_CHECKING:
    from rich.console import Console

    from mien.recognizer import Recognizer
    from mien.sink import Sink, TimelineSink
    from mien.sink.rows import RowFile
    from mien.source import Frame, SourceFile

__all__ = ["recognize"]

_PROGRESS_AFTER_S = 1.0


@with_options(VideoOptions, "video_options")
@with_options(RecognizerOptions)
def recognize(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Photos, folders, patterns such as 'shots/*.jpg', videos, camera:0, rtsp://..., or - for a photo "
            "on stdin.",
        ),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write one row per face to FILE: .jsonl, .csv or .parquet."),
    ] = None,
    draw: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Write annotated copies into DIR; for one input also a file such as seen.jpg or seen.mp4.",
        ),
    ] = None,
    timeline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Videos: write a page (.html) with each person's expressions over time."),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Read subfolders too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines, and nothing else, on stdout.")] = False,
    include_empty: Annotated[
        bool, typer.Option("--include-empty", help="Also print a JSON line for each image without a face.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no table.")] = False,
    options: RecognizerOptions,
    video_options: VideoOptions,
) -> None:
    """Find every face in photos and videos and read its expression.

    For example: 'mien recognize photos --recursive --out faces.csv', 'mien recognize clip.mp4 --draw seen.mp4', or
    'mien recognize camera:0 --json'.

    Prints a table on a terminal; --json, --out and --draw give other outputs. Exit status: 0 all inputs were read, 1
    some could not be read (each is named on stderr), 2 wrong usage.
    """
    # Loaded here, so that `mien --help` need not wait for OpenCV and ONNX Runtime.
    import cv2

    from mien.recognizer import Recognizer
    from mien.sink import DrawSink, JsonLinesSink, TableSink, open_row_sink
    from mien.sink.draw import drawn_kind
    from mien.source import SourceFile, expand_inputs, is_video
    from mien.source.expand import OutputFolder, count_videos

    if include_empty and not json and (out is None or out.suffix.lower() != ".jsonl"):
        raise UsageError("--include-empty writes JSON lines; add --json or --out FILE.jsonl")
    drawn, kind = (None, None) if draw is None else (Path(draw), drawn_kind(draw))
    output = None if draw is None or kind != "folder" else OutputFolder(draw)
    found = expand_inputs(inputs, recursive, output)
    videos = [item for item in found if isinstance(item, SourceFile) and is_video(item.path)]
    taken = set(videos)
    items = [item for item in found if item not in taken]
    files = [item for item in items if isinstance(item, SourceFile)]
    _check_video_usage(video_options, drawn, kind, timeline, len(videos), len(items))
    if output is not None and output.left_out:
        say(f"note: {counted(len(output.left_out), 'file')} in {draw} left out, since --draw writes there")
    recognizer = Recognizer(**vars(options))
    console = open_console()
    table = not json and not quiet
    in_files: dict[Path, RowFile | TimelineSink] = {}
    with contextlib.ExitStack() as stack:
        sinks: list[Sink] = []
        if json:
            sinks.append(stack.enter_context(JsonLinesSink(sys.stdout, include_empty)))
        if table:
            sinks.append(stack.enter_context(TableSink(console, recognizer.scheme, [file.path for file in files])))
        if out is not None:
            in_files[out] = stack.enter_context(open_row_sink(out, recognizer.scheme, include_empty))
            sinks.insert(0, in_files[out])  # a screen that takes no more costs no row of what was read
        if timeline is not None:
            from mien.sink import TimelineSink

            in_files[timeline] = stack.enter_context(TimelineSink(timeline, recognizer.scheme))
            sinks.append(in_files[timeline])
        shared = [sink for sink in sinks if not isinstance(sink, TableSink)]
        if drawn is not None and items:
            one = kind == "photo"
            relative = {file.path: drawn.name if one else file.relative for file in files}
            sinks.append(stack.enter_context(DrawSink(drawn.parent if one else drawn, relative)))
        if len(items) != 1 and not videos:  # each photo has a thread, with which OpenCV's own would only compete
            cv2.setNumThreads(1)
        bar = _bar_console(console, json)
        read, unread = _read_photos(recognizer, items, sinks, drawn is not None, bar, console if table else None)
        for name in inputs:
            left_out = count_videos(name, recursive, output) if read else 0
            if left_out:
                say(
                    f"note: {name}: {counted(left_out, 'video')} left out; of folders only photos are read: name videos"
                )
        if videos:
            from mien.cli.recognize_video import VideoRun

            run = VideoRun(recognizer, video_options, shared, drawn, kind == "folder", console, bar, table, say)
            unread += run.read(videos)
    for path, sink in in_files.items():
        if not sink.begun:
            say(f"{path}: not written, since {'no video' if path == timeline else 'nothing'} could be read")
    if unread:
        raise typer.Exit(1)


def _read_photos(
    recognizer: Recognizer,
    items: list[SourceFile | InputError],
    sinks: list[Sink],
    keep_frames: bool,
    bar: Console | None,
    table: Console | None,
) -> tuple[int, int]:
    """Read the photos into the sinks; gives how many were read, and how many could not be.

    Their number is told below the table. Where there is none, notes on single photos go to stderr, which the table has.
    """
    images = (_image(item, recognizer.max_megapixels) for item in items)
    # A single photo gets all threads inside each stage; of many, each gets one.
    threads = 1 if len(items) == 1 else None
    start_s = time.monotonic()
    read = unread = faces = 0
    with _Progress(bar, len(items)) as progress:
        for frame, reading in recognizer.stream_frames(images, threads=threads, keep_frames=keep_frames):
            if reading.error is not None:
                unread += 1
                say(f"cannot read {InputError(reading.source, reading.error)}")
            elif reading.note and table is None:
                say(f"note: {reading.source}: {reading.note}")
            for sink in sinks:
                sink.write(reading, frame)
            read += reading.error is None
            faces += len(reading.faces)
            progress.advance()
    if items and table is not None:
        _summary(table, read, faces, unread, time.monotonic() - start_s)
    return read, unread


def _check_video_usage(
    options: VideoOptions, draw: Path | None, kind: str | None, timeline: Path | None, videos: int, photos: int
) -> None:
    """Refuse what only fits videos where there is none, before any file is made."""
    if timeline is not None and not videos:
        raise UsageError("--timeline shows videos, and no input is one")
    if options.interval_s is not None and not videos:
        raise UsageError("--every and --fps thin out videos, and no input is one")
    if kind == "video" and (videos != 1 or photos):
        raise UsageError(f"--draw {draw} is one video; for other inputs name a folder")
    if kind is not None and videos:
        from mien.sink.video import import_av

        import_av()
    if kind == "photo" and (photos != 1 or videos):
        raise UsageError(f"--draw {draw} is one photo; for other inputs name a folder")


def _image(item: SourceFile | InputError, max_megapixels: float) -> str | Frame | InputError:
    """What the recognizer takes of an input; ``-`` is read from stdin, here and once."""
    if isinstance(item, InputError):
        return item
    if item.path != "-":
        return item.path
    from mien.source.image import decode_image

    try:
        return decode_image(sys.stdin.buffer.read(), "-", max_megapixels)
    except InputError as error:
        return error


def _bar_console(console: Console, json: bool) -> Console | None:
    """Where a progress bar is drawn: on stdout's terminal, on that of stderr if stdout is a file, or nowhere.

    What goes through a pipe may come out on the same terminal, as from jq or less, and the bar would be in its way.
    """
    if console.is_terminal:
        return None if json else console
    errors = open_console(stderr=True)
    to_file = errors.is_terminal and stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    return errors if to_file else None


def _summary(console: Console, readings: int, faces: int, unread: int, seconds: float) -> None:
    parts = [counted(readings, "photo"), counted(faces, "face")]
    if unread:
        parts.append(f"{unread} not read")
    console.print(f"{', '.join(parts)} in {seconds:.1f} s", style="dim")


class _Progress(contextlib.AbstractContextManager["_Progress"]):
    """A progress bar that only shows where there is more than a moment's work."""

    def __init__(self, console: Console | None, total: int) -> None:
        self._console = console if total > 1 else None
        self._total = total
        self._start_s = time.monotonic()
        self._done = 0
        self._stack = contextlib.ExitStack()
        self._bar: object | None = None

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def advance(self) -> None:
        """Count one more input as done."""
        self._done += 1
        if self._console is None:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._bar is None and time.monotonic() - self._start_s > _PROGRESS_AFTER_S and self._done < self._total:
            bar = Progress(
                TextColumn("reading"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]:.0f} photos/s"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
                # What goes into a file must stay apart from the terminal.
                redirect_stdout=not self._console.stderr,
                redirect_stderr=sys.stderr.isatty(),
            )
            self._stack.enter_context(bar)
            bar.add_task("reading", total=self._total, rate=0.0)
            self._bar = bar
        if isinstance(self._bar, Progress):
            rate = self._done / max(time.monotonic() - self._start_s, 1e-6)
            self._bar.update(self._bar.task_ids[0], completed=self._done, rate=rate)
