"""What all commands say, and where: the screen, lines on stderr, progress, warnings, JSON on stdout."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mien.errors import MienWarning

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = [
    "EXIT_INTERRUPTED",
    "bar_console",
    "counted",
    "open_console",
    "open_screen",
    "or_plain",
    "print_json",
    "progress_bar",
    "say",
    "warnings_shown",
    "while_shown",
    "written",
]

_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # all but the line break

EXIT_INTERRUPTED = 130
"""What a shell reports of a program that Ctrl-C ended (128 + SIGINT)."""


def open_screen() -> None:
    """Let stdout and stderr take every character: those that their encoding lacks are written as ``?``.

    A file name, a bar or a sign of the help that cannot be shown must end no command. Streams that were closed before
    the program began, as by a shell's ``>&-``, lead nowhere.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as we run
    for stream in (sys.stdout, sys.stderr):
        # stderr already writes what it cannot show as an escape.
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def open_console(stderr: bool = False) -> Console:
    """Where a person reads. Text is shown as it is: a class or a file may be called ``[b]``, ``[/x]`` or ``:smile:``.

    So style comes as ``style=`` or as `rich.text.Text`, and never as markup within a text. Codes in a text, which a
    terminal would obey, are left out: what cards, classes and files are called others wrote.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for text, style, control in super().render(renderable, options):
                # Left out and not replaced: Rich counts them as no wider than nothing.
                yield Segment(text if control else _CONTROLS.sub("", text), style, control)

    return SafeConsole(stderr=stderr, highlight=False, markup=False, emoji=False)


def bar_console(console: Console | None) -> Console | None:
    """Where a progress bar is drawn: on the terminal of `console`, on that of stderr if stdout is a file, or nowhere.

    What goes through a pipe may come out on the same terminal, as from jq or less, and the bar would be in its way.
    """
    if console is not None and console.is_terminal:
        return console if console.is_interactive else None
    to_file = sys.stderr.isatty() and stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    return open_console(stderr=True) if to_file else None


def or_plain(text: str, plain: str) -> str:
    """The text, or the plain one where stdout's encoding lacks one of its characters."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return plain
    return text


def say(line: str) -> None:
    """Tell a person something, on stderr; on a terminal in lines that end between words."""
    # A name of a file may hold codes that the terminal would obey.
    text = _CONTROLS.sub("?", f"mien: {line}")
    if sys.stderr.isatty():
        wrapper = textwrap.TextWrapper(
            max(20, open_console(stderr=True).width),
            subsequent_indent="  ",
            expand_tabs=False,
            replace_whitespace=False,
            break_long_words=False,
            break_on_hyphens=False,
        )
        text = "\n".join("\n".join(wrapper.wrap(part)) or part for part in text.split("\n"))
    # Not typer.echo, which goes around what Rich puts in the place of stderr while a progress bar is shown.
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def counted(number: int, what: str) -> str:
    """A number of things, such as ``"1 face"`` and ``"2,000 faces"``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def print_json(value: Any) -> None:
    """Print plain values on stdout, as JSON."""
    from mien.files import json_text

    typer.echo(json_text(value, sys.stdout.encoding, indent=2))


def written(console: Console, path: Path | None) -> None:
    """Say which file was written."""
    if path is not None:
        console.print(f"wrote {path}", style="dim", soft_wrap=True)


@contextlib.contextmanager
def warnings_shown(shown: bool = True) -> Iterator[None]:
    """Print our warnings when they come, a line each; those of other libraries are not for users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if shown:
            warnings.simplefilter("always", MienWarning)
        warnings.showwarning = lambda message, *_, **__: say(str(message))
        yield


@contextlib.contextmanager
def progress_bar(console: Console, title: str, json: bool) -> Iterator[Callable[..., None]]:
    """A progress bar, on a terminal that can wipe it away; the function takes what is done, the total, the part."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=json or not console.is_interactive,
        redirect_stderr=sys.stderr.isatty(),
    )
    with while_shown(bar):
        task = bar.add_task(title, total=None)
        yield lambda done, total=None, part=None: bar.update(
            task, completed=done, total=total, description=part or title
        )


def while_shown(bar: Progress) -> contextlib.AbstractContextManager[object]:
    """The block in which a bar is drawn; of one that is disabled, Rich 14.2 and older would leave an empty line."""
    return contextlib.nullcontext() if bar.disable else bar
