"""`mien compare`: several models on the same faces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.flags import refuse_flags, with_options
from mien.cli.report import (
    OVER_SEEDS,
    FacesFlag,
    JsonFlag,
    PageFlag,
    ReportFlag,
    check_outputs,
    classes_left_out,
    faces_measured,
    give_report,
    percent,
    points,
    seeds_of,
    span,
)
from mien.cli.tables import new_table, print_line, print_table
from mien.cli.terminal import open_console, progress_bar, warnings_shown
from mien.evaluate.detection_options import DetectionOptions
from mien.evaluate.options import CompareOptions

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["compare"]

# The columns of a table: the title, and the cell of a row.
_Columns = list[tuple[str, "Callable[[dict[str, Any]], str | Text]"]]


@with_options(DetectionOptions, "detection")
@with_options(CompareOptions)
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Two or more: names of shipped models, .onnx files, .safetensors checkpoints, folders of "
            "mien train --seeds or --folds.",
        ),
    ],
    *,
    data: FacesFlag,
    out: ReportFlag = None,
    page: PageFlag = None,
    json: JsonFlag = False,
    options: CompareOptions,
    detection: DetectionOptions,
) -> None:
    """Measure models side by side on the same faces, with paired tests and times.

    Recipes that were trained by 'mien train --seeds' are compared over seeds and faces, those of 'mien train --folds'
    by the answers of each fold's model for the faces that it did not learn from.

    Detectors are compared on photos with boxed faces ('mien data photos').

    Exit status: 0 done, 1 the dataset cannot be read or does not fit the models, 2 wrong usage.
    """
    from mien.evaluate import compare_models
    from mien.evaluate.detection import is_detection
    from mien.evaluate.page import comparison_page

    check_outputs(out, page)
    console = open_console()
    if any(is_detection(model, data) for model in models):
        refuse_flags(options, "can only be used with expression models", ("split", "threads"))
        _compare_detectors(console, models, data, options, detection, out, page, json)
        return
    refuse_flags(detection, "can only be used with detectors")
    with warnings_shown(), progress_bar(console, "reading faces", json) as progress:
        comparison = compare_models(models, data, options, progress=progress)
    values = comparison.to_dict()
    give_report(console, values, _show, lambda: comparison_page(comparison), out=out, page=page, json=json)


def _compare_detectors(
    console: Console,
    models: list[str],
    data: Path,
    options: CompareOptions,
    detection: DetectionOptions,
    out: Path | None,
    page: Path | None,
    json: bool,
) -> None:
    from mien.cli.compare_detectors import show_detectors
    from mien.evaluate.detection_comparison import compare_detectors
    from mien.evaluate.detection_page import detector_comparison_page

    with progress_bar(console, "looking at photos", json) as progress:
        found = compare_detectors(
            models, data, split=options.split, threads=options.threads, options=detection, progress=progress
        )
    give_report(
        console, found.to_dict(), show_detectors, lambda: detector_comparison_page(found), out=out, page=page, json=json
    )


def _show(console: Console, values: dict[str, Any]) -> None:
    data = values["data"]
    print_line(console, f"{faces_measured(data)}: {data['images']:,} faces, the same for all; {values['read']}")
    if left_out := classes_left_out(data):
        print_line(console, left_out, "yellow")
    console.print()
    _show_models(console, values)
    console.print()
    _show_pairs(console, values["pairs"])
    runs = [model["runs"] for model in values["models"] if model["runs"]]
    tests = []
    if any(pair["only_first"] is not None for pair in values["pairs"]):
        tests.append("only one: right by the first alone / the second alone; p: exact McNemar test")
    if runs:
        tests.append(f"{'with seeds: ' if tests else 'p: '}t test over seeds and faces")
    print_line(
        console,
        f"right by all {'runs ' if runs else ''}{values['all_right']:,}, by none {values['all_wrong']:,}; "
        + "; ".join(tests)
        + ("; adjusted after Holm for all pairs together" if len(values["pairs"]) > 1 else "")
        + f"; measured in {values['seconds']:.1f} s",
        "dim",
    )


def _show_models(console: Console, values: dict[str, Any]) -> None:
    from rich.text import Text

    from mien.evaluate.leaks import LEAK_PARTS

    models = values["models"]
    # Only the columns that this comparison has something for.
    parts = [part for part in LEAK_PARTS if part != "leaked_only" and part in (models[0]["leaks"] or {})]
    protocols = next((list(model["ferplus"]["one_pass"]) for model in models if model["ferplus"]), [])
    best = max(model["scores"]["accuracy"] for model in models)
    columns: _Columns = [
        ("accuracy", lambda m: Text(
            percent(m["scores"]["accuracy"]), "bold" if m["scores"]["accuracy"] == best else "")),
    ]  # fmt: skip
    if any(model["runs"] for model in models):
        columns.append(("± seeds", lambda m: points(m["scores"].get("accuracy_deviation"))))
    columns.append(("95 % interval", lambda m: span(m["scores"]["accuracy_interval_95"])))
    if values["read"] == "ten views":
        columns.append(("one pass", lambda m: percent(m["one_pass_accuracy"])))
    columns += [(LEAK_PARTS[part], partial(_leak_cell, part)) for part in parts]
    columns.append(("macro F1", lambda m: percent(m["scores"]["macro_f1"])))
    _print_columns(console, models, columns)
    if any(model["runs"] for model in models):
        print_line(console, OVER_SEEDS, "dim")
    console.print()
    # A second table: one would not fit on a terminal.
    columns = [(f"FER+ {name}", partial(_ferplus_cell, name, values["read"])) for name in protocols]
    columns += [
        ("ECE", lambda m: f"{m['ece']:.3f}"),
        ("parameters", lambda m: f"{m['parameters'] / 1e6:.2f} M"),
        ("file", lambda m: f"{m['file_bytes'] / 1e6:.1f} MB"),
    ]
    if values["timed_faces"]:
        columns.append(("ms a face", lambda m: f"{m['ms_a_face']['median']:.2f}"))
    _print_columns(console, models, columns)
    if values["timed_faces"]:
        in_torch = any(model["runs_in"] == "torch" for model in models)
        print_line(
            console,
            f"ms a face: the network alone, one thread, one face at a time, median of {values['timed_faces']:,}; the "
            "models took turns" + ("; checkpoints run in torch; exported models are faster" if in_torch else ""),
            "dim",
        )
    for name in protocols:
        found = next(model["ferplus"]["one_pass"][name] for model in models if model["ferplus"])
        print_line(console, f"FER+ {name}, {found['images']:,} faces: {found['protocol']}", "dim")
    if models[0]["leaks"] is None:
        print_line(console, "leaks: not looked for; --training PATH finds copies of training faces", "dim")
    else:
        print_line(console, f"leaks: {models[0]['leaks']['found_by']}", "dim")


def _print_columns(console: Console, models: list[dict[str, Any]], columns: _Columns) -> None:
    table = new_table("model", *(title for title, _ in columns))
    for model in models:
        table.add_row(f"{model['name']}{seeds_of(model['runs'])}", *(cell(model) for _, cell in columns))
    print_table(console, table)


def _leak_cell(part: str, model: dict[str, Any]) -> str:
    return percent(model["leaks"][part].get("accuracy", {}).get("accuracy"))


def _ferplus_cell(protocol: str, read: str, model: dict[str, Any]) -> str:
    found = model["ferplus"]
    return percent(found and found[read.replace(" ", "_")][protocol].get("accuracy"))


def _show_pairs(console: Console, pairs: list[dict[str, Any]]) -> None:
    from mien.evaluate.page import p_text, verdict

    columns: _Columns = []
    if any(pair["only_first"] is not None for pair in pairs):
        columns.append(("only one", _only_one))
    columns += [
        ("points", lambda pair: f"{100 * pair['difference']:+.2f}"),
        ("95 % interval", lambda pair: "{:+.2f} to {:+.2f}".format(*(100 * end for end in pair["interval_95"]))),
        ("p", lambda pair: p_text(pair["p_value"])),
    ]
    if len(pairs) > 1:
        columns.append(("adjusted", lambda pair: p_text(pair["p_value_holm"])))
    columns.append(("", verdict))
    table = new_table("pair", *(title for title, _ in columns), left=("",))
    for pair in pairs:
        table.add_row(f"{pair['first']} - {pair['second']}", *(cell(pair) for _, cell in columns))
    print_table(console, table)


def _only_one(pair: dict[str, Any]) -> str:
    """Faces that only the one of two models, or only the other, reads right; several runs have no such number."""
    return "" if pair["only_first"] is None else f"{pair['only_first']:,} / {pair['only_second']:,}"
