"""The `mien` program: gathers the commands and turns errors into a line and an exit status."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mien import __version__
from mien.cli.batch import batch
from mien.cli.compare import compare
from mien.cli.data import data
from mien.cli.evaluate import evaluate
from mien.cli.export import export
from mien.cli.models import models
from mien.cli.recognize import recognize
from mien.cli.search import search
from mien.cli.serve import serve
from mien.cli.train import train
from mien.errors import InputError, MienError

__all__ = ["app", "main"]

EXIT_UNREADABLE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="mien",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Read facial expressions from photos and videos, on this computer: nothing is uploaded.",
)
app.command()(recognize)
app.command()(models)
app.command()(serve)
app.command()(batch)
app.add_typer(data, name="data")
app.command()(train)
app.command()(search)
app.command()(evaluate)
app.command()(compare)
app.command()(export)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the program; the entry point of the `mien` script."""
    try:
        app()
    except MienError as error:
        typer.echo(f"mien: {error}", err=True)
        sys.exit(EXIT_UNREADABLE if isinstance(error, InputError) else EXIT_USAGE)
    except KeyboardInterrupt:
        typer.echo("mien: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; that is no error of ours.
        sys.stderr.close()
        sys.exit(0)
