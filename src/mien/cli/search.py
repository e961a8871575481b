"""`mien search`: a better recipe, by cross-validation on the training split."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.flags import with_flags, with_options
from mien.cli.report import JsonFlag, PageFlag, check_outputs
from mien.cli.tables import new_table, print_line, print_table
from mien.cli.terminal import (
    EXIT_INTERRUPTED,
    counted,
    open_console,
    print_json,
    say,
    warnings_shown,
    while_shown,
    written,
)
from mien.shell import program, shell_words
from mien.train.options import ExpressionRecipe
from mien.train.recipe import recipe_sections
from mien.train.search.options import SearchOptions

if TYPE_CHECKING:
    from rich.console import Console

    from mien.train.search import SearchResult
    from mien.train.search.result import SearchReport

__all__ = ["search"]

_SEARCHES = Path("searches")
_MOST_SHOWN = 10


@with_flags({section: [options] for section, options in recipe_sections(ExpressionRecipe).items()})
@with_options(SearchOptions)
def search(
    recipe: Annotated[
        Path,
        typer.Argument(
            metavar="RECIPE.yaml",
            help="A recipe with a section 'search': for each field to vary {low, high, log} or a list of values.",
        ),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the search; by default searches/NAME, named after the recipe."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the search in --out.")] = False,
    page: PageFlag = None,
    json: JsonFlag = False,
    options: SearchOptions,
    given: dict[str, Any],
) -> None:
    """Search for the best values of a recipe's fields, by cross-validation on the training split alone.

    The best recipe is DIR/best.yaml, ready for 'mien train'. A search that was stopped or killed continues with
    --resume. Exit status: 0 done, 1 the faces cannot be read, 2 any other error, 130 stopped by Ctrl-C or SIGTERM.
    """
    from mien.train.search import read_search, search_recipe

    check_outputs(None, page)
    chosen, space = read_search(recipe, given)
    out = out or _SEARCHES / recipe.stem
    console = open_console()
    try:
        with warnings_shown(), _bar(console, json) as show:
            result = search_recipe(chosen, space, out, options, resume=resume, progress=show)
    except KeyboardInterrupt:
        # Flags are part of the recipe: without them it would be another search.
        say(f"stopped; to continue {out}, give the same command with --resume")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if json:
        print_json(result.to_dict())
    else:
        _show(console, result)
    if page is not None:
        from mien.page import write_page
        from mien.train.search.page import search_page

        write_page(page, search_page(result))
        if not json:
            written(console, page)


@contextlib.contextmanager
def _bar(console: Console, json: bool) -> Iterator[Callable[[SearchReport], None]]:
    """A bar on a terminal; elsewhere a line a trial; nothing where JSON goes."""
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        BarColumn(20),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=json or not console.is_interactive,
        redirect_stderr=sys.stderr.isatty(),
    )
    told = 0
    with while_shown(bar):
        task = bar.add_task("folds", total=1.0)

        def show(report: SearchReport) -> None:
            nonlocal told
            parts = (report.finished * report.folds + report.fold - 1 + report.report.progress) / report.folds
            best = "" if report.best is None else f"  best so far {report.best:.4f}"
            text = f"trial {report.trial}/{report.trials}  fold {report.fold}/{report.folds}{best}"
            bar.update(task, completed=parts / report.trials, description=text)
            if not json and not console.is_interactive and report.trial != told:
                told = report.trial
                print(f"trial {report.trial}/{report.trials}  {_values(report.values)}{best}", flush=True)  # noqa: T201

        yield show


def _values(values: dict[str, Any]) -> str:
    from mien.train.search.page import value_text

    return "  ".join(f"{name} {value_text(value)}" for name, value in values.items())


def _show(console: Console, result: SearchResult) -> None:
    from mien.train.search.page import value_text

    states = [trial.state for trial in result.trials]
    measure = result.metric.removeprefix("validation_").replace("_", " ")
    print_line(
        console,
        f"{counted(len(states), 'recipe')} on {counted(result.folds, 'fold')} of {result.rows:,} training faces: "
        f"{states.count('complete')} complete, "
        f"{states.count('pruned')} given up, {states.count('failed')} failed; "
        f"{result.seconds / 60:.1f} minutes of training",
    )
    fields = sorted(result.space, key=lambda name: -result.importances.get(name, 0.0))
    table = new_table("trial", measure, "spread", *fields, "", left=("",))
    scored = sorted(
        (trial for trial in result.trials if trial.state == "complete"), key=lambda trial: -(trial.score or 0.0)
    )
    for trial in scored[:_MOST_SHOWN]:
        spread = "" if trial.deviation is None else f"{trial.deviation:.4f}"
        table.add_row(
            str(trial.number), f"{trial.score:.4f}", spread, *(value_text(trial.values[name]) for name in fields),
            trial.note,
        )  # fmt: skip
    if result.importances:
        shares = (f"{result.importances.get(name, 0.0):.0%}" for name in fields)
        table.add_row("", "", "matters", *shares, "", style="dim")
    print_table(console, table)
    if len(scored) > _MOST_SHOWN:
        console.print(f"and {len(scored) - _MOST_SHOWN} more in {result.folder / 'result.json'}", style="dim")
    if result.stopped_by == "minutes":
        console.print("stopped by --total-minutes; to continue, give --resume and more minutes", style="yellow")
    if result.stopped_by == "space":
        console.print("every recipe in the search space was tried", style="dim")
    if result.recipe_path is None:
        console.print("no recipe was tried to the end", style="yellow")
        return
    written(console, result.recipe_path)
    console.print(f"train it: {program()} train {shell_words(str(result.recipe_path))}", style="dim", soft_wrap=True)
