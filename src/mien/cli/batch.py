"""`mien batch`: very many images and videos, on all cores or a cluster, in parts that can be gone on with."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.flags import with_options
from mien.cli.terminal import EXIT_INTERRUPTED, open_console, print_json, say, warnings_shown
from mien.cluster.options import BatchOptions
from mien.errors import UsageError
from mien.shell import shell_words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from mien.cluster.destination import Destination
    from mien.cluster.rows import Tally
    from mien.cluster.summary import Summary

__all__ = ["batch"]

_LINE_S = 60.0


@with_options(BatchOptions)
def batch(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a pattern, a .parquet, .csv or .tsv table, .tar shards, videos, a .txt list of addresses; "
            "here or on s3://, gs://, https://.",
        ),
    ] = None,
    dest: Annotated[
        str | None, typer.Argument(metavar="DEST", help="The folder for the results; here or on s3://, gs://.")
    ] = None,
    *,
    status: Annotated[
        str | None, typer.Option(metavar="DEST", help="Only show how far the batch in DEST has got.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, and nothing else.")] = False,
    options: BatchOptions,
) -> None:
    """Read very many images and videos: in parts, on all cores or on a Ray cluster.

    Started again with the same arguments, it continues where it stopped. DEST gets faces/ (one row per face), inputs/
    (one row per input, with its status), manifest.json and summary.html. Exit status: 0 all inputs were read, 1 some
    could not be read (DEST/inputs says which and why), 2 wrong usage, or it cannot continue, 130 stopped by Ctrl-C or
    SIGTERM.
    """
    from mien.cluster.destination import open_destination
    from mien.cluster.summary import summarize

    console = open_console()
    if status is not None:
        if source is not None:
            raise UsageError("--status takes the destination and nothing else")
        _tell(console, summarize(open_destination(status)), json)
        return
    if source is None or dest is None:
        raise UsageError("expected SOURCE and DEST, or --status DEST; see mien batch --help")
    from mien.cluster.run import run_batch

    with warnings_shown(), _Progress(console, shown=not json) as progress:
        try:
            destination = run_batch(source, dest, options, planned=progress.planned, part_done=progress.part_done)
        except KeyboardInterrupt:
            progress.close()
            command = shell_words("mien", *sys.argv[1:])
            say(f"stopped; {progress.done:,} of {progress.parts:,} parts are done. To continue: {command}")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    summary = summarize(destination)
    _tell(console, summary, json)
    if summary.total.unreadable:
        raise typer.Exit(1)


def _tell(console: Console, summary: Summary, json: bool) -> None:
    if json:
        print_json(summary.to_dict())
    else:
        console.print(summary.to_text(), soft_wrap=True)


class _Progress(contextlib.AbstractContextManager["_Progress"]):
    """How far the batch is: a bar on a terminal, a line a minute in a log."""

    def __init__(self, console: Console, shown: bool) -> None:
        self._console = console
        self._shown = shown and console.is_interactive
        self._told = shown and not console.is_interactive
        self._told_s = time.monotonic()
        self._first_s: float | None = None
        self._images = 0
        self._bar: Progress | None = None
        self.parts = 0
        self.done = 0

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def planned(self, destination: Destination, done: int) -> None:
        """The plan is there; some parts may be done already."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.parts, self.done = destination.manifest.parts, done
        if done and self._console.is_terminal:
            say(f"continuing: {done:,} of {self.parts:,} parts are done")
        if not self._shown:
            return
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("parts, {task.fields[rate]:.0f} images/s"),
            TextColumn("time left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
            speed_estimate_period=600.0,
            refresh_per_second=2,
        )
        bar.add_task("starting", total=self.parts, completed=done, rate=0.0)
        bar.start()
        self._bar = bar

    def part_done(self, tally: Tally) -> None:
        """One more part is done."""
        self.done += 1
        now_s = time.monotonic()
        if self._first_s is None:
            self._first_s = now_s  # the time that Ray takes to start says nothing of the time left
        else:
            self._images += tally.frames
        rate = self._images / max(now_s - self._first_s, 1e-6)
        if self._told and now_s - self._told_s >= _LINE_S:  # for the log of a job
            self._told_s = now_s
            say(f"{self.done:,} of {self.parts:,} parts are done, {rate:,.0f} images/s")
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, rate=rate, description="reading")
