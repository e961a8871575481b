"""What the commands that measure share: a report as a table, as JSON and as a page, and how its figures are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.terminal import print_json, written

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "OVER_SEEDS",
    "FacesFlag",
    "JsonFlag",
    "PageFlag",
    "ReportFlag",
    "check_outputs",
    "classes_left_out",
    "faces_measured",
    "give_report",
    "percent",
    "points",
    "seeds_of",
    "span",
    "three",
]

FacesFlag = Annotated[
    Path, typer.Option(metavar="PATH", help="Labelled faces: Parquet, a folder of class folders, or any known layout.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
PageFlag = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page to FILE.html.")]
ReportFlag = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report to FILE.json.")]

OVER_SEEDS = "± seeds: standard deviation over the seeds, in points; their interval: over seeds and faces"
"""What a report's columns say of several runs."""


def check_outputs(json_file: Path | None, page: Path | None) -> None:
    """Refuse what cannot be written, before any work is done (UsageError, MissingExtraError)."""
    from mien.errors import import_extra
    from mien.files import check_destination

    if json_file is not None:
        check_destination(json_file, ".json")
    if page is not None:
        check_destination(page, ".html")
        import_extra("Writing pages", "jinja2", "data")


def give_report(
    console: Console,
    values: Any,
    show: Callable[[Console, Any], None],
    make_page: Callable[[], str],
    *,
    out: Path | None,
    page: Path | None,
    json: bool,
) -> None:
    """Write a report as JSON and as a page, where they are asked for; then print it, for a program or for a person.

    The files come first: a reader who leaves early (``| head``) costs the screen only, and a full disk the files only.
    """
    from mien.files import write_json
    from mien.page import write_page

    try:
        if out is not None:
            write_json(out, values)
        if page is not None:
            write_page(page, make_page())
    finally:
        if json:
            print_json(values)
        else:
            show(console, values)
    if not json:
        written(console, out)
        written(console, page)


def faces_measured(data: Mapping[str, Any]) -> str:
    """What a report's models were measured on, from its part ``data``."""
    return str(data["held_out"] or data["learned"] or f"{data['source']}, {data['split']}")


def classes_left_out(data: Mapping[str, Any]) -> str:
    """The rows that a report leaves out, by class, from its part ``data``; empty where there are none."""
    classes = ", ".join(f"{count:,} {name}" for name, count in data["left_out"].items())
    return f"left out, since '{data['labels']}' has no label for them: {classes}" if classes else ""


def percent(value: float | None) -> str:
    """A share as it is read."""
    return "-" if value is None else f"{100 * value:.1f} %"


def span(interval: Sequence[float | None] | None) -> str:
    """An interval of shares in percent; empty where there is none."""
    return " to ".join(f"{100 * end:.1f}" for end in interval or () if end is not None)


def three(value: float | None) -> str:
    """A figure with three places."""
    return "-" if value is None else f"{value:.3f}"


def points(value: float | None) -> str:
    """A difference of shares in percentage points, without its sign."""
    return "" if value is None else f"{100 * value:.1f}"


def seeds_of(runs: Sequence[Mapping[str, Any]]) -> str:
    """How many runs a report's model stands for, to put after its name; empty for a model of one file."""
    return f", {len(runs)} seeds" if runs else ""
