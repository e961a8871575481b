"""`mien train`: a recipe in; a trained model, its curves and all that is needed to go on out."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.flags import with_flags
from mien.cli.tables import new_table, print_line, print_table
from mien.cli.terminal import EXIT_INTERRUPTED, counted, open_console, print_json, say, warnings_shown, written
from mien.data.info import TRAIN
from mien.errors import UsageError
from mien.shell import program, shell_words
from mien.train.options import RECIPES, ExpressionRecipe, Recipe
from mien.train.process import is_first_process
from mien.train.recipe import change_recipe, read_recipe, recipe_kind, recipe_sections, recipe_text
from mien.train.seeds import holds_seeds, read_seeds, run_name

if TYPE_CHECKING:
    from rich.console import Console

    from mien.train import FoldsResult, Report, RunResult, SeedsResult

__all__ = ["train"]

_RUNS = Path("runs")


def _flag_groups() -> dict[str, list[type[Any]]]:
    """The flags by headline: the sections of expression recipes, then what other kinds have of their own."""
    groups: dict[str, list[type[Any]]] = {}
    shared = recipe_sections(Recipe)
    for kind, recipe in RECIPES.items():
        for section, options in recipe_sections(recipe).items():
            headline = section if section in shared or kind == ExpressionRecipe.kind else f"{kind}: {section}"
            groups.setdefault(headline, []).append(options)
    return groups


@with_flags(_flag_groups())
def train(
    recipe: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECIPE.yaml", help="The recipe (YAML). Without one, the defaults apply; flags override it."
        ),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the run; by default runs/NAME, named after the recipe or the data."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out where it stopped.")] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="Train with N seeds, from --seed on: one run after the other, each in its own folder in --out.",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="Cross-validation: train N times, each time without one of N folds of the training split, and measure "
            "on it.",
        ),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help=f"Without a recipe: what to train, {' or '.join(RECIPES)}.")
    ] = None,
    print_recipe: Annotated[
        bool, typer.Option("--print-recipe", help="Print the recipe with all values and explanations, and exit.")
    ] = False,
    show_augmentations: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw some augmented training faces, and exit."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
    ] = False,
    given: dict[str, Any],
) -> None:
    """Train a model by a recipe. The run folder gets checkpoints, metrics, curves and the recipe itself.

    'mien train --data FOLDER' trains on a folder of class folders. Ctrl-C saves everything; --resume continues. The
    runs of --seeds or --folds are measured together by 'mien evaluate' and 'mien compare', which take their folder.

    Exit status: 0 done, 1 the faces cannot be read, 2 any other error, 130 stopped by Ctrl-C or SIGTERM.
    """
    if resume and recipe is None and out is None:
        raise UsageError("--resume needs the run folder: --out DIR")
    chosen = change_recipe(_read(recipe, kind, out if resume else None), given)
    if print_recipe:
        typer.echo(recipe_text(chosen, explained=True), nl=False)
        return
    if show_augmentations is not None:
        _show_augmentations(chosen, show_augmentations)
        return
    chosen.require_source()  # said at once, without torch
    out = out or _RUNS / _name(recipe, given)
    console = open_console()
    if seeds is not None and folds is not None:
        raise UsageError("--seeds and --folds cannot be used together: cross-validate, then again with another --seed")
    if seeds is not None or (resume and holds_seeds(out)):
        _train_seeds(console, chosen, out, seeds, resume, json)
        return
    if folds is not None or (resume and _holds_folds(out)):
        _train_folds(console, chosen, out, folds, resume, json)
        return
    ended = resume and _is_complete(out)
    first = is_first_process(chosen.run)
    with warnings_shown(first), _Bar(console, json, out) as bar, _told_how_to_go_on(out):
        from mien.train import train_model

        result = train_model(chosen, out, resume=resume, progress=bar.show)
    if not first:
        return
    if json:
        print_json(_plain(result))
        return
    if ended:
        console.print(f"the run in {out} is complete: nothing was left to train")
    _show(console, result, chosen)


def _read(path: Path | None, kind: str | None, resumed: Path | None) -> Recipe:
    if path is None and resumed is not None and holds_seeds(resumed):
        return read_seeds(resumed)[0]
    if path is None and resumed is not None and _holds_folds(resumed):
        from mien.train.cross_validation import read_folds

        return read_folds(resumed)[0]
    if path is None and resumed is not None:
        path = resumed / "recipe.yaml"
        if not path.is_file():
            raise UsageError(f"{resumed}: holds no run to resume (no {path.name})")
    if path is None:
        return recipe_kind(kind or ExpressionRecipe.kind)()
    recipe = read_recipe(path)
    if kind not in (None, recipe.kind):
        raise UsageError(f"{path} is a recipe of kind '{recipe.kind}', not '{kind}'; leave --kind out")
    return recipe


def _show_augmentations(recipe: Recipe, path: Path) -> None:
    if not isinstance(recipe, ExpressionRecipe):
        raise UsageError(f"--show-augmentations shows faces of an expression recipe, not of kind '{recipe.kind}'")
    from mien.train.expression.sheet import write_augmentation_sheet

    written(open_console(), write_augmentation_sheet(recipe, path))


def _name(recipe: Path | None, given: Mapping[str, Any]) -> str:
    """What to call the run: after its recipe, else after its data."""
    return recipe.stem if recipe is not None else Path(given.get("dataset", "train")).stem or "train"


def _is_complete(folder: Path) -> bool:
    from mien.train.folder import RunFolder

    return RunFolder(folder).finished_result() is not None


def _holds_folds(folder: Path) -> bool:
    from mien.train.cross_validation import holds_folds

    return holds_folds(folder)


def _train_seeds(console: Console, recipe: Recipe, out: Path, seeds: int | None, resume: bool, json: bool) -> None:
    from mien.train import train_seeds

    first = is_first_process(recipe.run)
    with warnings_shown(first), _Bar(console, json) as bar, _told_how_to_go_on(out):
        result = train_seeds(
            recipe,
            out,
            seeds,
            resume=resume,
            progress=lambda seed, report: bar.show(report, out / run_name(seed), f"seed {seed}: "),
        )
    if not first:
        return
    if json:
        print_json(result.to_dict())
        return
    _show_seeds(console, result, recipe)


def _train_folds(console: Console, recipe: Recipe, out: Path, folds: int | None, resume: bool, json: bool) -> None:
    from mien.train import cross_validate
    from mien.train.cross_validation import fold_name

    with warnings_shown(), _Bar(console, json) as bar, _told_how_to_go_on(out):
        result = cross_validate(
            recipe,
            out,
            folds,
            resume=resume,
            progress=lambda fold, report: bar.show(report, out / fold_name(fold), f"without fold {fold}: "),
        )
    if json:
        print_json(result.to_dict())
        return
    _show_folds(console, result)


@contextlib.contextmanager
def _told_how_to_go_on(out: Path) -> Iterator[None]:
    """Where training is interrupted, say how it is continued, and exit."""
    from mien.train.result import Interrupted

    try:
        yield
    except Interrupted as stopped:
        say(str(stopped))
        say(f"continue with: {program()} train --resume --out {shell_words(str(out))}")
        raise typer.Exit(EXIT_INTERRUPTED) from None


class _Bar(contextlib.AbstractContextManager["_Bar"]):
    """Says what is trained on; then shows a bar on a terminal, a line an epoch elsewhere, nothing with --json."""

    def __init__(self, console: Console, json: bool, folder: Path | None = None) -> None:
        self._console = console
        self._quiet = json
        self._folder = folder
        self._told: Path | None = None
        self._stack = contextlib.ExitStack()
        self._update: Any = None

    def __enter__(self) -> _Bar:
        if self._console.is_interactive and not self._quiet:
            self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, report: Report, folder: Path | None = None, name: str = "") -> None:
        """Show how far the run is; of several, the one in `folder`, with what to call it."""
        folder = folder or self._folder
        if folder is not None and folder != self._told and not self._quiet:
            print_line(self._console, f"{name}{_about(folder)}", "dim")
            self._told = folder
        if self._update is not None:
            self._update(report)
        elif report.metrics is not None and not self._quiet:
            print(self._line(report), flush=True)  # noqa: T201

    def _line(self, report: Report, width: int | None = None) -> str:
        """How far the run is, in words; where they are longer than `width`, the least important are left out."""
        epochs = f"/{report.epochs}" if report.epochs else ""
        measure = report.metric.removeprefix("validation_")
        parts = {"epoch": f"epoch {report.epoch}{epochs}", "loss": f"loss {report.loss:.4f}"}
        if report.metrics is not None:
            parts["now"] = f"{measure} {report.metrics[report.metric]:.4f}"
        if report.best_epoch:
            parts["best"] = f"best {report.best:.4f} in {report.best_epoch}"
        if report.validating:
            parts["left"] = "validating"
        else:
            parts["speed"] = f"{report.images_per_s:,.0f} images/s"
            parts["left"] = f"{_time(report.seconds_left)} left"
        for least in ("speed", "now", "loss", "best"):
            if width is not None and len("  ".join(parts.values())) > width:
                parts.pop(least, None)
        return "  ".join(parts.values())

    def _open(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        cells = 20 if self._console.width >= 110 else 10
        bar = Progress(
            BarColumn(cells),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._stack.enter_context(bar)
        task = bar.add_task("reading the data", total=None)
        self._update = lambda report: bar.update(
            task,
            total=1.0,
            completed=report.progress,
            description=self._line(report, self._console.width - cells - 1),
        )


def _about(folder: Path) -> str:
    """What a run trains and validates on, and on which device, from its record."""
    from mien.train.folder import RunFolder

    record = RunFolder(folder).read_record()
    data, on = record["data"], record["parts"][-1]["device"]
    if "photos" in data:
        return (
            f"trains on {data['faces']:,} faces in {data['photos']:,} photos and {data['crops']:,} crops, validates on "
            f"{data['choosing_photos']:,} photos; on {on}"
        )
    training, choosing = data["training"], data["validation"]
    classes = ", ".join(f"{name} {count:,}" for name, count in training["classes"].items())
    held_out = all(training[name] == choosing[name] for name in ("source", "split"))
    whose = "that are held out" if held_out else f"of '{choosing['split']}'"
    return f"trains on {training['faces']:,} faces ({classes}), validates on {choosing['faces']:,} {whose}; on {on}"


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _plain(result: RunResult) -> dict[str, Any]:
    values = {**vars(result), "history": list(result.history)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _show(console: Console, result: RunResult, recipe: Recipe) -> None:
    from rich.text import Text

    measure = result.metric.replace("_", " ")
    early = ", without improvement since" if result.stopped_by == "early_stop" else ""
    took = f"{_time(result.seconds)} for {counted(result.steps, 'step')}"
    how = f" in epoch {result.best_epoch} of {result.epochs}{early}; {took}"
    print_line(console, Text.assemble((f"{measure} {result.best:.4f}", "bold"), how))
    for path in (result.best_path, result.last_path, result.folder / "run.html"):
        written(console, path)
    if isinstance(recipe, ExpressionRecipe):
        for line in _next_commands(recipe, result):
            console.print(line, style="dim", soft_wrap=True)


def _show_seeds(console: Console, result: SeedsResult, recipe: Recipe) -> None:
    """Each seed's score, and what they say together."""
    from rich.text import Text

    measure = result.metric.replace("_", " ")
    table = new_table("seed", measure, "epoch", "time")
    for seed, run in result.runs.items():
        table.add_row(str(seed), f"{run.best:.4f}", f"{run.best_epoch} of {run.epochs}", _time(run.seconds))
    print_table(console, table)
    text = f" ± {result.deviation:.4f}: mean and standard deviation over {len(result.runs)} seeds"
    print_line(console, Text.assemble((f"{measure} {result.mean:.4f}", "bold"), text))
    written(console, result.folder)
    if isinstance(recipe, ExpressionRecipe):
        best = max(result.runs.values(), key=lambda run: run.best)
        for line in _next_commands(recipe, best, result.folder):
            console.print(line, style="dim", soft_wrap=True)


def _show_folds(console: Console, result: FoldsResult) -> None:
    """What was scored on each fold, and what that says together."""
    from rich.text import Text

    measure = result.metric.replace("_", " ").removeprefix("validation ")
    table = new_table("fold", measure, "best epoch", "of", "time")
    for fold, run in result.runs.items():
        best = (f"{run.best:.4f} in {run.best_epoch}", str(run.epochs))
        table.add_row(str(fold), f"{result.scores[fold]:.4f}", *best, _time(run.seconds))
    print_table(console, table)
    text = f" ± {result.deviation:.4f}: mean and standard deviation over {len(result.runs)} folds, each after the "
    print_line(console, Text.assemble((f"{measure} {result.mean:.4f}", "bold"), text + "last epoch"))
    print_line(console, "the best epoch is chosen by the fold that it is measured on, and so scores too high", "dim")
    written(console, result.folder)
    folder, data = shell_words(str(result.folder)), shell_words(str(result.data_path))
    line = f"all faces, each by the model that did not learn from it: {program()} evaluate {folder} --data {data}"
    console.print(line, style="dim", soft_wrap=True)


def _next_commands(recipe: ExpressionRecipe, result: RunResult, measured: Path | None = None) -> tuple[str, str]:
    """What to do after a run: measure and export its best checkpoint, on the validation faces.

    Of several seeds `measured` is the folder, in the place of the checkpoint.
    """
    from mien.train.folder import RunFolder

    data = recipe.data
    split = RunFolder(result.folder).read_record()["data"]["validation"]["split"]
    other_dataset = data.validation_data if data.fold is None else None
    faces = f"--data {shell_words(str(other_dataset or data.dataset))}"
    # Faces that were held out of the training split need no name: the checkpoint knows them.
    if other_dataset is not None or data.fold is not None or split != TRAIN:
        faces += f" --split {shell_words(split)}"
    training = "" if other_dataset is None else f" --training {shell_words(str(data.dataset))}"
    best = shell_words(str(result.best_path))
    whole = best if measured is None else shell_words(str(measured))
    mien = program()
    return f"measure it: {mien} evaluate {whole} {faces}", f"use it:     {mien} export {best} {faces}{training}"
