"""`mien data`: import datasets, look at them, audit, clean, align, balance and split them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.flags import with_options
from mien.cli.report import JsonFlag, PageFlag, ReportFlag, check_outputs, give_report, percent
from mien.cli.tables import new_table, print_table
from mien.cli.terminal import (
    counted,
    open_console,
    or_plain,
    print_json,
    progress_bar,
    say,
    warnings_shown,
    written,
)
from mien.data.options import AlignOptions, AuditOptions, BalanceOptions, ImportOptions, SplitOptions
from mien.data.photos.options import PhotoImportOptions
from mien.files import refuse_source

if TYPE_CHECKING:
    from rich.console import Console

    from mien.data import Dataset
    from mien.data.align import AlignSummary
    from mien.data.audit import Audit
    from mien.data.clean import CleanSummary
    from mien.data.importer import ImportSummary
    from mien.data.photos.importer import PhotoImportSummary
    from mien.data.report import Report

__all__ = ["data"]

_NAMED_ROWS = 20

data = typer.Typer(
    no_args_is_help=True, help="Import datasets, look at them, audit, clean, align, balance and split them."
)

_Dataset = Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset that 'mien data import' wrote.")]
_Dest = Annotated[Path, typer.Argument(metavar="DEST", help="The new dataset: a name that ends in .parquet.")]


@data.command(name="import")
@with_options(ImportOptions)
def import_(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A file or folder in any known layout: CSV, Parquet, class folders, ..."),
    ],
    dest: _Dest,
    *,
    json: JsonFlag = False,
    options: ImportOptions,
) -> None:
    """Import a dataset of any known layout into one Parquet file, which Hugging Face datasets reads as well.

    The file is written completely or not at all. Exit status: 0 all rows were read, 1 some were damaged and left out
    (or the source cannot be read), 2 wrong usage.
    """
    from mien.data import import_dataset

    console = open_console()
    with progress_bar(console, "importing", json) as bar:
        dataset, summary = import_dataset(source, dest, options, progress=bar)
    if json:
        print_json({"dataset": str(dest), "labels": dataset.labels, **summary.to_dict()})
    else:
        _show_import(console, summary, dataset.labels, dest)
    _name_damaged(summary)


@data.command()
def report(
    dataset: _Dataset,
    *,
    out: ReportFlag = None,
    page: PageFlag = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed for choosing samples.", min=0)] = 0,
    json: JsonFlag = False,
) -> None:
    """Show what is in a dataset; with --page also as one self-contained HTML page, with pictures."""
    from mien.data import Dataset, report_dataset, report_page

    check_outputs(out, page)
    console = open_console()
    opened = Dataset(dataset)
    with progress_bar(console, "looking", json) as bar:
        found = report_dataset(opened, seed=seed, progress=bar)
    give_report(
        console,
        found.to_dict(),
        lambda console, _: _show_report(console, found),
        lambda: report_page(found),
        out=out,
        page=page,
        json=json,
    )


@data.command()
@with_options(AuditOptions)
def audit(
    dataset: _Dataset,
    *,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the plan, one row per finding: .parquet or .csv."),
    ] = None,
    out: ReportFlag = None,
    page: PageFlag = None,
    json: JsonFlag = False,
    options: AuditOptions,
) -> None:
    """Find copies, leaks into evaluation, flat images, images without a face, and likely wrong labels."""
    from mien.data import Dataset, audit_dataset, audit_page, write_plan
    from mien.files import check_destination

    if plan is not None:
        check_destination(plan, ".csv", ".parquet")
        refuse_source(plan, dataset, "the dataset itself")
    check_outputs(out, page)
    console = open_console()
    opened = Dataset(dataset)
    with warnings_shown(), progress_bar(console, "auditing", json) as bar:
        found = audit_dataset(opened, options, progress=bar)
    if plan is not None:
        write_plan(plan, found.findings)
    give_report(
        console,
        found.to_dict(),
        lambda console, _: _show_audit(console, found),
        lambda: audit_page(opened, found, options),
        out=out,
        page=page,
        json=json,
    )
    if not json:
        written(console, plan)


@data.command()
def clean(
    dataset: _Dataset,
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The reviewed plan of 'mien data audit'.")],
    dest: _Dest,
    *,
    leak_free: Annotated[
        bool, typer.Option("--leak-free", help="Mark evaluation rows that have a copy in training (column 'leaked').")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Apply a reviewed plan and write a new dataset, which records what was done; the source is never changed."""
    from mien.data import Dataset, clean_dataset, read_plan

    opened = Dataset(dataset)
    refuse_source(dest, plan, "the plan")
    _, summary = clean_dataset(opened, read_plan(plan, opened.labels), dest, leak_free=leak_free, plan_name=str(plan))
    if json:
        print_json({"dataset": str(dest), **summary.to_dict()})
    else:
        _show_clean(open_console(), summary, dest)


@data.command()
@with_options(AlignOptions)
def align(dataset: _Dataset, dest: _Dest, *, json: JsonFlag = False, options: AlignOptions) -> None:
    """Cut every face out upright and framed as recognition frames faces, by its landmarks."""
    from mien.data import Dataset, align_dataset

    console = open_console()
    opened = Dataset(dataset)
    with progress_bar(console, "aligning faces", json) as bar:
        _, summary = align_dataset(opened, dest, options, progress=bar)
    if json:
        print_json({"dataset": str(dest), **summary.to_dict()})
    else:
        _show_align(console, summary, options, dest)


@data.command()
@with_options(BalanceOptions)
def balance(dataset: _Dataset, dest: _Dest, *, json: JsonFlag = False, options: BalanceOptions) -> None:
    """Map or drop classes; oversample the training split with mirrored rows, or add sampling weights."""
    from mien.data import Dataset, balance_dataset

    with warnings_shown():
        balanced = balance_dataset(Dataset(dataset), dest, options)
    _show_counts(balanced, json)


@data.command()
@with_options(SplitOptions)
def split(dataset: _Dataset, dest: _Dest, *, json: JsonFlag = False, options: SplitOptions) -> None:
    """Make new splits, or folds: stratified by class, copies of one picture never on both sides."""
    from mien.data import Dataset, split_dataset

    opened = Dataset(dataset)
    with warnings_shown():
        done = split_dataset(opened, dest, options)
    _show_counts(done, json)
    if not json and options.folds is None and options.only is None and len(opened.splits) > 1:
        open_console().print(
            f"the old splits ({', '.join(opened.splits)}) are gone; --only train leaves the evaluation splits as "
            "they are",
            style="yellow",
        )


@data.command()
@with_options(PhotoImportOptions)
def photos(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Photos with boxed faces: .parquet, a .txt list as WIDER FACE has it, a .json file (or a folder of "
            "some) as COCO has it, a folder with a .txt file a photo as YOLO has it, or one with .xml files as Pascal "
            "VOC has it.",
        ),
    ],
    dest: _Dest,
    *,
    json: JsonFlag = False,
    options: PhotoImportOptions,
) -> None:
    """Import photos with face boxes into one Parquet file, to train a detector on and to measure one.

    A tenth of the photos of every collection becomes the split 'validation', unless the source has splits of its own;
    near copies of one picture are never on both sides. Exit status: as for 'mien data import'.
    """
    from mien.data.photos import import_photos

    console = open_console()
    with progress_bar(console, "importing", json) as bar:
        dataset, summary = import_photos(source, dest, options, progress=bar)
    if json:
        print_json({"dataset": str(dest), "rows": len(dataset), **summary.to_dict()})
    else:
        _show_photos(console, summary, dataset.splits, dest)
    _name_damaged(summary)


def _show_photos(console: Console, summary: PhotoImportSummary, splits: Iterable[str], dest: Path) -> None:
    table = new_table("collection", *(title for name in splits for title in (f"{name}: photos", "faces")))
    for name, own in summary.photos.items():
        cells = ((own.get(split, 0), summary.faces[name].get(split, 0)) for split in splits)
        table.add_row(name or "-", *(f"{count:,}" for pair in cells for count in pair))
    print_table(console, table)
    photos = sum(sum(own.values()) for own in summary.photos.values())
    text = f"{counted(photos, 'photo')} from the layout '{summary.layout}' in {dest}"
    text += f"; near copies of others: {summary.copies:,}" if summary.copies else ""
    console.print(text + _damaged(summary), style="dim")


def _name_damaged(summary: ImportSummary | PhotoImportSummary) -> None:
    """Name the first rows that were left out; they make the exit status 1."""
    for error in summary.damaged[:_NAMED_ROWS]:
        say(f"left out {error}")
    # One error stands for all images of a folder.
    more = summary.damaged_rows - sum(getattr(error, "rows", 1) for error in summary.damaged[:_NAMED_ROWS])
    if more:
        say(f"left out {counted(more, 'more row')} as damaged (--json names them)")
    if summary.damaged_rows:
        raise typer.Exit(1)


def _damaged(summary: ImportSummary | PhotoImportSummary) -> str:
    return f"; {summary.damaged_rows:,} damaged" if summary.damaged_rows else ""


def _show_counts(dataset: Dataset, json: bool) -> None:
    counts = _counts(dataset, dataset.split, dataset.splits)
    if json:
        print_json(
            {"dataset": str(dataset.path), "rows": len(dataset), "counts": counts, "done": dataset.info.history[-1]}
        )
        return
    console = open_console()
    fold = dataset.column("fold")
    if folds := sorted({number for number in fold if number is not None}):
        part = dataset.split.astype(object)  # folds in place of the split that was cut into them
        for row, number in enumerate(fold):
            if number is not None:
                part[row] = f"fold {number}"
        names = [f"fold {number}" for number in folds] + [name for name in dataset.splits if name in part]
        counts = _counts(dataset, part, names)
    _table(console, counts, dataset.labels)
    console.print(f"{counted(len(dataset), 'face')} in {dataset.path}", style="dim")


def _counts(dataset: Dataset, part: Any, names: Iterable[str]) -> dict[str, dict[str, int]]:
    """Rows by part and class; `part` is an array with the name of each row's."""
    from mien.data.dataset import count_labels

    return {name: count_labels(dataset.label[part == name], dataset.labels) for name in names}


def _table(console: Console, counts: dict[str, dict[str, int]], labels: tuple[str, ...], title: str = "class") -> None:
    table = new_table(title, *counts)
    for label in labels:
        table.add_row(label, *(f"{own.get(label, 0):,}" for own in counts.values()))
    table.add_row("all", *(f"{sum(own.values()):,}" for own in counts.values()), style="bold")
    print_table(console, table)


def _show_import(console: Console, summary: ImportSummary, labels: tuple[str, ...], dest: Path) -> None:
    _table(console, summary.counts, labels)
    for line in summary.excluded_lines():
        console.print(line, style="dim")
    text = f"{counted(summary.rows, 'face')} from the layout '{summary.layout}' in {dest}"
    console.print(text + _damaged(summary), style="dim")


def _show_report(console: Console, found: Report) -> None:
    _table(console, found.counts, found.labels)
    endless = or_plain("∞", "inf")
    ratios = {name: f"{ratio:.2f}" if math.isfinite(ratio) else endless for name, ratio in found.imbalance.items()}
    console.print(f"imbalance ratio  {', '.join(f'{name} {ratio}' for name, ratio in ratios.items())}")
    console.print(f"sizes            {found.sizes['common']} px ({percent(found.sizes['share'])} of the images)")
    if found.votes is not None:
        console.print(
            f"votes            labels agree with the majority on {percent(found.votes['agreement'])} of "
            f"{found.votes['with_majority']:,};\n{'':17}mean entropy {found.votes['mean_entropy_bits']:.2f} bits"
        )
    for attribute, groups in found.attributes.items():
        console.print()
        _table(console, groups, found.labels, f"by {attribute}")


def _show_audit(console: Console, found: Audit) -> None:
    from mien.data.audit import ACTIONS

    table = new_table("check", "found", *ACTIONS)
    for check, count in found.counts().items():
        actions = [sum(finding.action == action for finding in found.of(check)) for action in ACTIONS]
        judged = check != "wrong_label" or found.judged_rows
        table.add_row(check, f"{count:,}" if judged else "-", *(f"{n:,}" if n else "" for n in actions))
    print_table(console, table)
    leaks = found.to_dict()["leaks"]
    if sum(leaks.values()):
        console.print(f"leaks by the surest copy: {', '.join(f'{count:,} {kind}' for kind, count in leaks.items())}")
    for name, row in found.not_face.items():
        listed = row["listed"]
        console.print(
            f"not a face, {name}: {listed['of_all_votes']} of the {row['all_votes']} that all annotators call so, "
            f"in {listed['rows']} listed"
        )
    if found.in_sample_rows:
        console.print(
            f"labels: {found.in_sample_rows:,} of {found.judged_rows:,} rows are taken for rows that the model learned "
            "from; if it did, give out-of-fold --probabilities for a fair audit, if not, --trained-on none",
            style="yellow",
        )
    if not found.judged_rows:
        console.print(
            "labels: not judged; this takes 50 rows or more, and a model that knows their classes", style="yellow"
        )
    console.print(f"{sum(found.seconds.values()):.1f} s", style="dim")


def _show_align(console: Console, summary: AlignSummary, options: AlignOptions, dest: Path) -> None:
    console.print(
        f"aligned  {summary.by_detector:,} by the detector, {summary.by_own_landmarks:,} by their own landmarks"
    )
    if summary.no_face:
        kept = "kept as they are; --without-face drop leaves them out"
        what = kept if options.without_face == "keep" else "left out"
        console.print(f"no face  {summary.no_face:,} ({what})", style="yellow")
    console.print(f"{counted(summary.rows_after, 'face')} of {options.face_px} px in {dest}", style="dim")


def _show_clean(console: Console, summary: CleanSummary, dest: Path) -> None:
    for check, count in summary.dropped.items():
        console.print(f"dropped     {check:12} {count:,}")
    console.print(f"relabelled  {summary.relabelled:,} by the plan, {summary.merged_labels:,} by their copies")
    if summary.tied_labels:
        console.print(
            f"undecided   {counted(summary.tied_labels, 'face')} with as many copies of another label: kept the first "
            "one's; the plan's column 'note' tells them, so that a person can relabel or drop one of each",
            style="yellow",
        )
    for name, count in summary.leaked.items():
        console.print(f"leaked      {name:12} {count:,} marked")
    console.print(f"{counted(summary.rows_before, 'row')} before, {summary.rows_after:,} in {dest}", style="dim")
