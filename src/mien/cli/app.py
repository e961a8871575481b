"""The `mien` program: gathers the commands and turns errors into a line and an exit status."""

from __future__ import annotations

import contextlib
import errno
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Annotated, Any

import typer

from mien import __version__
from mien.background import any_left
from mien.cli.help import ReadableCommand, ReadableGroup
from mien.cli.terminal import EXIT_INTERRUPTED, open_screen, say
from mien.errors import InputError, MienError
from mien.shell import is_closed_pipe, shell_words

__all__ = ["COMMANDS", "main"]

COMMANDS = (
    "recognize",
    "explain",
    "models",
    "serve",
    "batch",
    "data",
    "train",
    "search",
    "evaluate",
    "compare",
    "export",
)
"""Each is a function, or a group of them, in the file of its name beside this one."""

_OWN_PATTERNS = ("recognize", "batch")
"""Commands that take patterns as they are: they leave out the clips of Live Photos, and a batch has one source."""

_ELSEWHERE = ("analyse", "analyze", "classify", "detect", "predict", "read")
"""What other programs call `mien recognize`."""

EXIT_UNREADABLE = 1
EXIT_USAGE = 2
EXIT_PIPE_CLOSED = 141
"""What a shell reports of a program whose output nobody reads any more (128 + SIGPIPE)."""

_RETRY_S = 0.05
"""How long an interruption waits for the end of an import, before it looks again."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _Program(ReadableGroup):
    """Turns what ends a command into a line and an exit status, before Typer does so in its own way."""

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        with _ending():  # the program's own help is printed here
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: Any) -> Any:
        with _ending():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            if os.path.exists(args[0]):  # noqa: PTH110
                ctx.fail(f"'{args[0]}' is not a command. To read it: mien recognize {shell_words(*args)}")
            if args[0] in _ELSEWHERE:
                ctx.fail(
                    f"'{args[0]}' is not a command. To read faces: mien recognize {shell_words(*args[1:])}".rstrip()
                )
        return super().resolve_command(ctx, args)


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    try:
        yield
    except MienError as error:
        say(str(error))
        sys.exit(EXIT_UNREADABLE if isinstance(error, InputError) else EXIT_USAGE)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # Rich's way of saying it
            _drop_output()
            sys.exit(EXIT_PIPE_CLOSED)
        raise
    except OSError as error:
        if is_closed_pipe(error):
            _drop_output()
            sys.exit(EXIT_PIPE_CLOSED)
        # Errors of files are wrapped where they are written: this one is of stdout.
        if error.errno not in _FULL or error.filename is not None:
            raise
        _drop_output()
        say(f"<stdout>: cannot be written ({error.strerror})")
        sys.exit(EXIT_USAGE)


@contextlib.contextmanager
def _leaving() -> Iterator[None]:
    """End at once also where a thread waits within FFmpeg for a stream that says nothing: Python would wait for it."""
    try:
        yield
    except SystemExit as end:
        if not any_left():
            raise
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else end.code is not None)


@contextlib.contextmanager
def _no_late_interruption() -> Iterator[None]:
    """Forget an interruption that waits for the end of an import, where the command has ended before it came."""
    try:
        yield
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)


def _drop_output() -> None:
    """Discard what waits to be written on stdout: the interpreter would fail on it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mien {__version__}")
        raise typer.Exit


def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


def _make_app(commands: Iterable[str]) -> typer.Typer:
    app = typer.Typer(
        name="mien",
        cls=_Program,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Read facial expressions from photos, videos and cameras on this computer; train and evaluate the models."
        "\n\nStart with 'mien recognize PHOTO', or 'mien serve' for a live camera. 'mien COMMAND -h' has the options.",
    )
    app.callback()(_program)
    for name in commands:
        command = getattr(importlib.import_module(f"mien.cli.{name}"), name)
        if isinstance(command, typer.Typer):
            for inner in command.registered_commands:
                inner.help = _help(inner.callback)
                inner.cls = ReadableCommand
            app.add_typer(command, name=name, cls=ReadableGroup)
        else:
            app.command(cls=ReadableCommand, help=_help(command))(command)
    return app


def _help(command: Any) -> str:
    """A command's docstring with one line a paragraph: Typer keeps the line breaks of all but the first."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (inspect.getdoc(command) or "").split("\n\n"))


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but after the import that is under way.

    Python's own code of imports may drop it, and a library written in C makes an ImportError of it. That of torch takes
    seconds: a second interruption does not wait.
    """
    del number
    again = signal.setitimer(signal.ITIMER_REAL, 0.0)[0] > 0.0
    while not again and frame is not None and frame.f_code is not main.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def main() -> None:
    """Run the program; the entry point of the `mien` script."""
    # Service managers, containers and schedulers end a program by SIGTERM. It is taken for Ctrl-C, that nothing is left
    # half-written; whoever started us to ignore both has a reason.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "setitimer"):  # not on Windows
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is signal.default_int_handler:
                signal.signal(number, _interrupt)
        signal.signal(signal.SIGALRM, _interrupt)
    open_screen()
    # Where a command is asked for, the others are not loaded: the flags of `mien train` alone take longer than Typer.
    asked = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    with _leaving(), _no_late_interruption(), _ending():
        app = _make_app([asked] if asked in COMMANDS else COMMANDS)
        # Windows' shells leave patterns to the programs, and Typer makes of each, in quotes or not, the files that it
        # matches: of "shot [1].jpg", which may be the name of a photo, "shot 1.jpg". They leave a ~, too.
        own = asked in _OWN_PATTERNS
        if own and sys.platform == "win32":
            sys.argv[1:] = [os.path.expanduser(word) for word in sys.argv[1:]]  # noqa: PTH111 - most are no paths
        app(windows_expand_args=not own)
