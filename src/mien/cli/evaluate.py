"""`mien evaluate`: what a model is worth on labelled faces."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev
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
from mien.cli.terminal import open_console, or_plain, progress_bar, warnings_shown, written
from mien.errors import UsageError
from mien.evaluate.detection_options import DetectionOptions
from mien.evaluate.options import EvaluateOptions

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["evaluate"]

_BAR_CELLS = 12


@with_options(DetectionOptions, "detection")
@with_options(EvaluateOptions)
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A shipped model's name, an .onnx file, a .safetensors checkpoint of mien train, or the folder of "
            "mien train --seeds or --folds.",
        ),
    ],
    *,
    data: FacesFlag,
    out: ReportFlag = None,
    page: PageFlag = None,
    faces: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write one row per face, with its probabilities, to FILE: .csv or .parquet."),
    ] = None,
    json: JsonFlag = False,
    options: EvaluateOptions,
    detection: DetectionOptions,
) -> None:
    """Measure a model on labelled faces: accuracy with its interval, classes, confusions, calibration.

    The runs of 'mien train --seeds' are measured together: means, with intervals over seeds and faces. Of those of
    'mien train --folds' each face is read by the one that did not learn from it.

    A detector is measured on photos with boxed faces ('mien data photos'): recall, average precision, landmark error,
    by size of the face and under harder conditions.

    Exit status: 0 done, 1 the dataset cannot be read or does not fit the model, 2 wrong usage.
    """
    from mien.evaluate import evaluate_model
    from mien.evaluate.detection import is_detection
    from mien.evaluate.face_rows import check_face_rows, write_face_rows
    from mien.evaluate.models import is_folder
    from mien.evaluate.page import evaluation_page
    from mien.train.cross_validation import holds_folds

    check_outputs(out, page)
    if faces is not None:
        check_face_rows(faces, data, options.training)
        if is_folder(model) and not holds_folds(Path(model)):
            raise UsageError(
                f"--faces writes the rows of one model; {model} is a folder: give the checkpoint of one run"
            )
    console = open_console()
    if is_detection(model, data):
        if faces is not None:
            raise UsageError("--faces can only be used with expression models")
        refuse_flags(options, "can only be used with expression models", ("split", "threads"))
        _evaluate_detector(console, model, data, options, detection, out, page, json)
        return
    refuse_flags(detection, "can only be used with detectors")
    with warnings_shown(), progress_bar(console, "reading faces", json) as progress:
        evaluation = evaluate_model(model, data, options, progress=progress)
    values = evaluation.to_dict()
    try:
        if faces is not None:
            write_face_rows(faces, evaluation.to_columns())
    finally:
        give_report(console, values, _show, lambda: evaluation_page(evaluation), out=out, page=page, json=json)
    if not json:
        written(console, faces)


def _evaluate_detector(
    console: Console,
    model: str,
    data: Path,
    options: EvaluateOptions,
    detection: DetectionOptions,
    out: Path | None,
    page: Path | None,
    json: bool,
) -> None:
    from mien.cli.evaluate_detector import show_detection
    from mien.evaluate.detection import evaluate_detector
    from mien.evaluate.detection_page import detection_page

    with progress_bar(console, "looking at photos", json) as progress:
        found = evaluate_detector(
            model, data, split=options.split, threads=options.threads, options=detection, progress=progress
        )
    values = found.to_dict()
    give_report(console, values, show_detection, lambda: detection_page(found), out=out, page=page, json=json)


def _show(console: Console, values: dict[str, Any]) -> None:
    from rich.text import Text

    model, data = values["model"], values["data"]
    about = (
        f"{seeds_of(values['runs'])} ({model['precision']}, {model['parameters'] / 1e6:.2f} M parameters) "
        f"on {faces_measured(data)}: {data['images']:,} faces"
    )
    print_line(console, Text.assemble((model["name"], "bold"), about))
    if left_out := classes_left_out(data):
        print_line(console, left_out, "yellow")
    console.print()
    _show_scores(console, values)
    console.print()
    _show_runs(console, values["runs"])
    _show_folds(console, values["folds"])
    _show_classes(console, values["one_pass"], data["classes"])
    console.print()
    _show_calibration(console, values["calibration"])
    _show_ferplus(console, values["ferplus"])
    _show_groups(console, values["by"])
    if values["leaks"] is None and values["folds"]:
        found_by = "copies of a picture lie in one fold, unless the dataset came with folds of its own"
    elif values["leaks"] is None:
        found_by = "not looked for; --training PATH, without --no-leaks, finds copies of training faces"
    else:
        found_by = values["leaks"]["found_by"] + ("" if values["leaks"]["leaked_only"]["images"] else ": none found")
    print_line(console, f"leaks        {found_by}", indent=13)
    if values["occlusion"]:
        _show_edges(console, values["occlusion"])
    console.print(f"measured in {values['seconds']:.1f} s", style="dim")


def _show_scores(console: Console, values: dict[str, Any]) -> None:
    from rich.text import Text

    from mien.evaluate.page import score_rows

    spread = ["± seeds"] if values["runs"] else []
    table = new_table("", "faces", "accuracy", *spread, "95 % interval", "balanced", "macro F1")
    for name, part in score_rows(values):
        table.add_row(
            name,
            f"{part['images']:,}",
            Text(percent(part["accuracy"]), "bold"),
            *(points(part["accuracy_deviation"]) for _ in spread),
            span(part["accuracy_interval_95"]),
            percent(part["balanced_accuracy"]) if "balanced_accuracy" in part else "",
            percent(part["macro_f1"]) if "macro_f1" in part else "",
        )
    print_table(console, table)


def _show_runs(console: Console, runs: list[dict[str, Any]]) -> None:
    """The runs of several seeds, and what the table above says of them."""
    if not runs:
        return
    print_line(console, OVER_SEEDS, "dim")
    console.print()
    ten_views = ["ten views"] if runs[0]["ten_views_accuracy"] is not None else []
    table = new_table("seed", "one pass", *ten_views, "balanced", "macro F1", "ECE")
    for run in runs:
        table.add_row(
            str(run["seed"]),
            percent(run["accuracy"]),
            *(percent(run["ten_views_accuracy"]) for _ in ten_views),
            percent(run["balanced_accuracy"]),
            percent(run["macro_f1"]),
            f"{run['ece']:.3f}",
        )
    print_table(console, table)
    console.print()


def _show_folds(console: Console, folds: list[dict[str, Any]]) -> None:
    """How each fold of a cross-validation is read, and how much that differs."""
    if not folds:
        return
    table = new_table("fold", "faces", "one pass")
    for fold in folds:
        table.add_row(str(fold["fold"]), f"{fold['images']:,}", percent(fold["accuracy"]))
    print_table(console, table)
    each = [fold["accuracy"] for fold in folds]
    if len(each) > 1:
        text = f"mean of the folds {percent(fmean(each))}, standard deviation {points(stdev(each))} points"
        print_line(console, text, "dim")
    console.print()


def _show_classes(console: Console, scores: dict[str, Any], names: list[str]) -> None:
    from rich.text import Text

    from mien.evaluate.page import most_mistaken
    from mien.sink.palette import terminal_style

    full, rest = or_plain("█", "#"), or_plain("░", ".")
    mistakes = most_mistaken(scores["confusion"], names, 1)
    table = new_table("class", "faces", "recall", "", "precision", "F1", "taken for", left=("", "taken for"))
    for name, row in scores["classes"].items():
        color = terminal_style(name, names)
        filled = round(_BAR_CELLS * (row["recall"] or 0))
        bar = Text.assemble((full * filled, color), (rest * (_BAR_CELLS - filled), "dim"))
        table.add_row(
            name,
            f"{row['support']:,}",
            percent(row["recall"]),
            bar,
            percent(row["precision"]),
            percent(row["f1"]),
            mistakes[name],
        )
    print_table(console, table)
    if absent := [name for name, row in scores["classes"].items() if not row["support"]]:
        print_line(console, f"no face of {', '.join(absent)}: balanced accuracy and macro F1 are of the others", "dim")


def _show_calibration(console: Console, found: dict[str, Any]) -> None:
    from rich.text import Text

    held_out = f" ({found['ece_held_out']:.3f} held out)" if "ece_held_out" in found else ""
    calibrated = found["temperature_card"] != 1 or found["ece_card"] != found["ece_without"]
    by_card = f" as calibrated by the card (temperature {found['temperature_card']:.3f}), {found['ece_without']:.3f}"
    others = (
        f"{by_card if calibrated else ''} uncalibrated, {found['ece_best']:.3f} with the best temperature here, "
        f"{found['temperature_best']:.3f}{held_out}"
    )
    line = Text.assemble("calibration  ECE ", (f"{found['ece_card']:.3f}", "bold"), others)
    print_line(console, line, indent=13)
    by_chance = (
        f"by chance alone {found['ece_by_chance']:.3f}, in 95 of 100 samples at most {found['ece_by_chance_95']:.3f}"
    )
    print_line(console, f"{'':13}{by_chance}", "dim", indent=13)


def _show_ferplus(console: Console, found: dict[str, Any] | None) -> None:
    from rich.text import Text

    if found is None:
        return
    for name, part in found["one_pass"].items():
        if "accuracy" in part:
            views = f"; ten views {percent(found['ten_views'][name]['accuracy'])}" if found["ten_views"] else ""
            rest = f" ({span(part['accuracy_interval_95'])}) of {part['images']:,} faces{views}"
            line = Text.assemble(f"{'FER+ ' + name:16} ", (percent(part["accuracy"]), "bold"), rest)
            print_line(console, line, indent=17)


def _show_edges(console: Console, found: dict[str, Any]) -> None:
    edges = ", ".join(f"{name} {percent(one['edge'])}" for name, one in found["classes"].items())
    line = f"at the edge  of what the answers rest on: {edges} (of the crop: {percent(found['edge_share'])})"
    print_line(console, line, indent=13)


def _show_groups(console: Console, found: dict[str, Any]) -> None:
    """Each group's scores, and what sets it apart from the other groups at the same labels."""
    from rich.text import Text

    from mien.evaluate.page import apart, most_taken_for, p_text

    for attribute, part in found.items():
        table = new_table(
            f"by {attribute}", "faces", "accuracy", "95 % interval", "same labels", "p", "taken for",
            left=("taken for",),
        )  # fmt: skip
        for name, own in part["groups"].items():
            right = own["right"]
            table.add_row(
                name,
                f"{own['images']:,}",
                Text(percent(own["accuracy"]), "bold"),
                span(own["accuracy_interval_95"]),
                apart(right),
                "" if right is None else p_text(right["p_value_holm"]),
                most_taken_for(own),
            )
        console.print()
        print_table(console, table)
        if part["unknown"]:
            console.print(f"{part['unknown']:,} faces are in no group", style="dim")
    if found:
        print_line(
            console,
            "same labels: points better than the other groups, each class held against itself; p after Holm, for all "
            "groups. taken for: what faces of other classes are read as more often than in the other groups, in points",
            "dim",
        )
        console.print()
