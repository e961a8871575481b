"""`mien recognize`: photos and videos in; a table, rows and annotated copies out."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.flags import with_options
from mien.cli.terminal import bar_console, counted, open_console, say, warnings_shown, written
from mien.errors import InputError, UsageError
from mien.recognizer_options import RecognizerOptions
from mien.video_options import VideoOptions

if TYPE_CHECKING:
    from mien.labels import LabelScheme
    from mien.sink import Sink, TimelineSink
    from mien.sink.rows import RowFile
    from mien.source import SourceFile
    from mien.source.expand import OutputFolder

__all__ = ["recognize"]


@with_options(VideoOptions, "video_options")
@with_options(RecognizerOptions)
def recognize(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help='Photos, folders, patterns such as "shots/*.jpg", videos, camera:0, rtsp://..., or - for a photo '
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
            help="Write annotated copies into DIR; for one input also a file such as seen.jpg or seen.mp4. With "
            "--every or --fps a video holds only the frames that were read.",
        ),
    ] = None,
    timeline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Videos: write a page (.html) with each person's expressions over time."),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Read subfolders too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines, and nothing else, on stdout.")] = False,
    include_empty: Annotated[
        bool,
        typer.Option(
            "--include-empty", help="--json and --out: also a row, with empty cells, for each image without a face."
        ),
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

    from mien.cli.recognize_photos import PhotoRun
    from mien.recognizer import Recognizer
    from mien.sink import JsonLinesSink
    from mien.sink.draw import drawn_kind
    from mien.source import expand_inputs
    from mien.source.expand import OutputFolder

    if include_empty and not json and out is None:
        raise UsageError("--include-empty adds rows to what is written; add --json or --out FILE")
    drawn, kind = (None, None) if draw is None else (Path(draw), drawn_kind(draw))
    output = None if draw is None or kind != "folder" else OutputFolder(draw)
    with warnings_shown():
        found = expand_inputs(inputs, recursive, output)
    photos, videos = _photos_and_videos(found)
    _check_fit(video_options, drawn, kind, timeline, len(videos), len(photos))
    if output is not None and output.left_out:
        say(f"note: {counted(len(output.left_out), 'file')} in {draw} left out, since --draw writes there")
    recognizer = Recognizer(**vars(options))
    console = None if json else open_console()
    bar = bar_console(console)
    table = None if quiet else console
    read = unread = 0
    with contextlib.ExitStack() as stack:
        files = _open_files(stack, out, timeline, recognizer.scheme, include_empty)
        sinks: list[Sink] = [*files.values()]
        if json:  # after the files: a screen that takes no more costs no row of what was read
            sinks.append(stack.enter_context(JsonLinesSink(sys.stdout, include_empty)))
        if len(photos) != 1 and not videos:  # each photo has a thread, with which OpenCV's own would only compete
            cv2.setNumThreads(1)
        into_folder = kind == "folder"
        if photos:
            read, unread = PhotoRun(recognizer, sinks, drawn, into_folder, table, bar).read(photos)
        if read:
            _tell_of_videos_in_folders(inputs, recursive, output)
        if videos:
            from mien.cli.recognize_video import VideoRun

            video_run = VideoRun(recognizer, sinks, drawn, into_folder, table, bar, video_options)
            failed = video_run.read(videos)
            read, unread = read + len(videos) - failed, unread + failed
    for path, sink in files.items():
        if not sink.begun:
            say(f"{path}: not written, since {'no video' if path == timeline else 'nothing'} could be read")
        elif table is not None:
            written(table, path)
    if table is not None and read:
        written(table, drawn)
    if unread:
        raise typer.Exit(1)


def _photos_and_videos(
    found: list[SourceFile | InputError],
) -> tuple[list[SourceFile | InputError], list[SourceFile]]:
    """Divide the inputs; those that cannot be read count as photos."""
    from mien.source import SourceFile, is_video

    photos: list[SourceFile | InputError] = []
    videos: list[SourceFile] = []
    for item in found:
        if isinstance(item, SourceFile) and is_video(item.path):
            videos.append(item)
        else:
            photos.append(item)
    return photos, videos


def _open_files(
    stack: contextlib.ExitStack, out: Path | None, timeline: Path | None, scheme: LabelScheme, include_empty: bool
) -> dict[Path, RowFile | TimelineSink]:
    """The files that are written besides what is printed, by their paths; `stack` closes them."""
    from mien.sink import open_row_sink

    files: dict[Path, RowFile | TimelineSink] = {}
    if out is not None:
        files[out] = stack.enter_context(open_row_sink(out, scheme, include_empty))
    if timeline is not None:
        from mien.sink import TimelineSink

        files[timeline] = stack.enter_context(TimelineSink(timeline, scheme))
    return files


def _tell_of_videos_in_folders(inputs: list[str], recursive: bool, output: OutputFolder | None) -> None:
    from mien.source.expand import count_videos

    for name in inputs:
        if left_out := count_videos(name, recursive, output):
            say(f"note: {name}: {counted(left_out, 'video')} left out; of folders only photos are read: name videos")


def _check_fit(
    options: VideoOptions, draw: Path | None, kind: str | None, timeline: Path | None, videos: int, photos: int
) -> None:
    """Refuse outputs and options that do not fit the inputs, before any file is made."""
    if timeline is not None and not videos:
        raise UsageError("--timeline shows videos, and no input is one")
    if options.interval_s is not None and not videos:
        raise UsageError("--every and --fps thin out videos, and no input is one")
    if options.rotate_deg and not videos:
        raise UsageError(
            "--rotate turns videos, and no input is one; photos on their sides are read as upright ones without it"
        )
    if (options.start_s or options.end_s is not None) and not videos:
        raise UsageError("--start and --end are seconds of a video, and no input is one")
    if kind == "video" and (videos != 1 or photos):
        raise UsageError(f"--draw {draw} is one video; for other inputs name a folder")
    if kind is not None and videos:
        from mien.sink.video import import_av

        import_av()
    if kind == "photo" and (photos != 1 or videos):
        raise UsageError(f"--draw {draw} is one photo; for other inputs name a folder")
