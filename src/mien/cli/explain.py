"""`mien explain`: photos in; pictures of what the answers rest on, or the numbers behind them, out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.flags import with_options
from mien.cli.terminal import bar_console, counted, open_console, say, warnings_shown, written
from mien.errors import InputError, UsageError
from mien.recognizer_options import RecognizerOptions

if TYPE_CHECKING:
    from mien.source import SourceFile

__all__ = ["explain"]


@with_options(RecognizerOptions)
def explain(
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO", help='Photos, folders, patterns such as "shots/*.jpg", or - for a photo on stdin.'
        ),
    ],
    *,
    draw: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Write a picture of each photo's faces into DIR; for one photo also a file: seen.png."
        ),
    ] = None,
    expression: Annotated[
        str | None,
        typer.Option(metavar="LABEL", help="Explain this label. Default: the expression that each face is read as."),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Read subfolders too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines, and nothing else, on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no table.")] = False,
    options: RecognizerOptions,
) -> None:
    """Show what the expression of each face rests on: which parts speak for it, which against.

    For example: 'mien explain photo.jpg --draw seen.png', or 'mien explain photos --draw maps --expression sad'.

    Half of each face is hidden, in 256 ways, and what is left is read. Exit status: 0 all photos were read, 1 some
    could not be read (each is named on stderr), 2 wrong usage.
    """
    # Loaded here, so that `mien --help` need not wait for OpenCV and ONNX Runtime.
    import cv2

    from mien.cli.explain_sink import ExplanationSink
    from mien.cli.recognize_photos import PhotoRun, open_pictures
    from mien.explain.faces import find_expression
    from mien.recognizer import Recognizer
    from mien.sink.draw import drawn_kind
    from mien.source import SourceFile, expand_inputs
    from mien.source.expand import OutputFolder

    if draw is None and not json:
        raise UsageError("an explanation is a picture, or numbers: add --draw DIR or --json")
    kind = None if draw is None else drawn_kind(draw)
    output = None if draw is None or kind != "folder" else OutputFolder(draw)
    with warnings_shown():
        found = [_photo(item) for item in expand_inputs(photos, recursive, output)]
    if kind == "video" or (kind == "photo" and len(found) != 1):
        raise UsageError(f"--draw {draw} is one {kind}; explain draws photos: for several inputs name a folder")
    if output is not None and output.left_out:
        say(f"note: {counted(len(output.left_out), 'file')} in {draw} left out, since --draw writes there")
    recognizer = Recognizer(**vars(options))
    expression = find_expression(expression, recognizer.scheme.labels)
    console = None if json else open_console()
    table = None if quiet else console
    files = [item for item in found if isinstance(item, SourceFile)]
    pictures = None if draw is None else open_pictures(Path(draw), kind == "folder", files)
    if len(found) != 1:  # each photo has a thread, with which OpenCV's own would only compete
        cv2.setNumThreads(1)
    sink = ExplanationSink(recognizer, expression, pictures, json)
    run = PhotoRun(recognizer, [sink], None, False, table, bar_console(console))
    read, unread = run.read(found, keep_frames=True)
    if table is not None and sink.drawn:
        written(table, None if draw is None else Path(draw))
    elif draw is not None and read and not sink.drawn:
        say(f"{draw}: nothing drawn, since no face was found")
    if unread:
        raise typer.Exit(1)


def _photo(item: SourceFile | InputError) -> SourceFile | InputError:
    """An input, or why it is no photo."""
    from mien.source import SourceFile, is_video

    if isinstance(item, SourceFile) and is_video(item.path):
        return InputError(item.path, "is a video; explain reads photos: save one of its frames")
    return item
