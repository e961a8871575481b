"""`mien compare`: several models on the same faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.bench import check_outputs, print_json, progress_bar, write_outputs
from mien.evaluate.options import CompareOptions
from mien.options import with_options

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["compare"]


@with_options(CompareOptions)
def compare(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Two or more: names of shipped models, or .onnx files.")
    ],
    *,
    data: Annotated[
        Path,
        typer.Option(metavar="PATH", help="Labelled faces: Parquet, a folder of class folders, or any known layout."),
    ],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report to FILE.json.")] = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page to FILE.html.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
    options: CompareOptions,
) -> None:
    """Measure models side by side on the same faces, with paired tests and times.

    Exit status: 0 done, 1 the dataset cannot be read or does not fit the models, 2 wrong usage.
    """
    from rich.console import Console

    from mien.evaluate import compare_models
    from mien.evaluate.page import comparison_page

    check_outputs(out, page)
    console = Console(highlight=False)
    with progress_bar(console, "reading faces", json) as progress:
        comparison = compare_models(models, data, options, progress=progress)
    values = comparison.to_dict()
    if json:
        print_json(values)
    else:
        _show(console, values)
    write_outputs(console, values, lambda: comparison_page(comparison), out, page, json)


def _show(console: Console, values: dict[str, Any]) -> None:
    data = values["data"]
    console.print(f"{data['source']}, {data['split']}: {data['images']:,} faces, the same for all; {values['read']}")
    if data["left_out"]:
        classes = ", ".join(f"{count:,} {name}" for name, count in data["left_out"].items())
        console.print(f"left out, since '{data['labels']}' has no label for them: {classes}", style="yellow")
    console.print()
    _show_models(console, values)
    console.print()
    _show_pairs(console, values["pairs"])
    console.print(
        f"right by all {values['all_right']:,}, by none {values['all_wrong']:,}; "
        "only one: right by the first alone / the second alone; p: exact McNemar test"
        + ("; adjusted after Holm for all pairs together" if len(values["pairs"]) > 1 else "")
        + f"; measured in {values['seconds']:.1f} s",
        style="dim",
        soft_wrap=True,
    )


def _show_models(console: Console, values: dict[str, Any]) -> None:
    from rich.table import Table

    from mien.cli.evaluate import percent, span

    models = values["models"]
    leaks = models[0]["leaks"] is not None
    titles = [
        "accuracy",
        "95 % interval",
        *(["without leaks"] if leaks else []),
        "macro F1",
        "ECE",
        "parameters",
        "file",
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    for title in [*titles, *(["ms a face"] if values["timed_faces"] else [])]:
        table.add_column(title, justify="right")
    best = max(model["scores"]["accuracy"] for model in models)
    for model in models:
        scores = model["scores"]
        accuracy = percent(scores["accuracy"])
        cells = [f"[bold]{accuracy}[/]" if scores["accuracy"] == best else accuracy]
        cells.append(span(scores["accuracy_interval_95"]))
        if leaks:
            cells.append(percent(model["leaks"]["without_leaks"].get("accuracy", {}).get("accuracy")))
        cells += [
            percent(scores["macro_f1"]),
            f"{model['ece']:.3f}",
            f"{model['parameters'] / 1e6:.2f} M",
            f"{model['file_bytes'] / 1e6:.1f} MB",
        ]
        if values["timed_faces"]:
            cells.append(f"{model['ms_a_face']['median']:.2f}")
        table.add_row(model["name"], *cells)
    console.print(table)
    if values["timed_faces"]:
        console.print(
            f"ms a face: the network alone, one thread, one face at a time, median of {values['timed_faces']:,}; the "
            "models took turns",
            style="dim",
            soft_wrap=True,
        )


def _show_pairs(console: Console, pairs: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from mien.evaluate.page import p_text, verdict

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("pair", no_wrap=True)
    adjusted = ("adjusted",) if len(pairs) > 1 else ()
    for title in ("only one", "points", "95 % interval", "p", *adjusted):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for pair in pairs:
        low, high = pair["interval_95"]
        p_values = [p_text(pair["p_value"]), p_text(pair["p_value_holm"])][: 1 + len(adjusted)]
        table.add_row(
            f"{pair['first']} - {pair['second']}",
            f"{pair['only_first']:,} / {pair['only_second']:,}",
            f"{100 * pair['difference']:+.2f}",
            f"{100 * low:+.2f} to {100 * high:+.2f}",
            *p_values,
            verdict(pair),
        )
    console.print(table)
