"""`mien export`: a checkpoint becomes a model that mien runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mien.cli.report import percent, span
from mien.cli.tables import print_line
from mien.cli.terminal import open_console, print_json, progress_bar, warnings_shown, written
from mien.errors import ModelError, UsageError, import_extra
from mien.shell import shell_words

if TYPE_CHECKING:
    from rich.console import Console

    from mien.zoo import ModelCard

__all__ = ["export"]


def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A .safetensors file that training wrote.")],
    *,
    data: Annotated[
        Path,
        typer.Option(metavar="PATH", help="Labelled faces to measure on and to calibrate with, in any known layout."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The .onnx file; by default NAME-PRECISION.onnx beside the checkpoint."),
    ] = None,
    precision: Annotated[
        Literal["int8", "float32"] | None,
        typer.Option(
            metavar="{int8,float32}",
            help="int8 is smaller and faster, float32 exact. By default int8 for expressions, float32 for detectors, "
            "which int8 makes no faster.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="NAME", help="Split of --data to measure on.")] = None,
    training: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="What the model was trained on; by default the split 'train' of --data."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Measure one pass only: no ten views, and no temperatures for small faces."),
    ] = False,
    summary: Annotated[str, typer.Option(metavar="TEXT", help="One sentence for the card.")] = "",
    licence: Annotated[str, typer.Option(metavar="TEXT", help="The weights' licence, for the card.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the card as JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Turn a checkpoint into an ONNX file with its card, checked against torch, for 'mien recognize --model FILE'.

    Exit status: 0 done, 1 the faces cannot be read or do not fit the model, 2 any other error.
    """
    from mien.files import check_destination

    if not checkpoint.exists():  # said at once, without torch
        raise ModelError(f"{checkpoint}: no such file; expected a checkpoint of 'mien train', such as best.safetensors")
    for library in ("torch", "onnx", "safetensors"):
        import_extra("Exporting models", library, "train")
    from mien.export import export_checkpoint
    from mien.export.detector import export_measured, is_detector_checkpoint

    detector = is_detector_checkpoint(checkpoint)
    precision = precision or ("float32" if detector else "int8")
    out = check_destination(out or checkpoint.with_name(f"{checkpoint.stem}-{precision}.onnx"), ".onnx")
    check_destination(out.with_suffix(".json"), ".json")
    console = open_console()
    if detector:
        if training is not None or quick:
            flags = " and ".join(["--training"] * (training is not None) + ["--quick"] * quick)
            raise UsageError(f"{flags} can only be used with expression models")
        with progress_bar(console, "looking at photos", json) as progress:
            card = export_measured(
                checkpoint, out, data, split=split, precision=precision, summary=summary, licence=licence,
                progress=progress,
            )  # fmt: skip
    else:
        with warnings_shown(), progress_bar(console, "reading faces", json) as progress:
            card = export_checkpoint(
                checkpoint, out, data, split=split, training=training, precision=precision, full=not quick,
                summary=summary, licence=licence, progress=progress,
            )  # fmt: skip
    if json:
        print_json(card.to_dict())
        return
    _show_file(console, card, out)
    (_show_detector if detector else _show_expression)(console, card)
    written(console, out)
    written(console, out.with_suffix(".json"))
    flag = "--detector" if detector else "--model"
    console.print(f"try it: mien recognize PHOTO {flag} {shell_words(str(out))}", style="dim", soft_wrap=True)


def _show_file(console: Console, card: ModelCard, out: Path) -> None:
    from rich.text import Text

    facts = f" {card.precision}, {out.stat().st_size:,} bytes, {card.parameters:,} parameters"
    console.print(Text.assemble((card.name, "bold"), facts))
    _fact(console, "sha256", card.sha256)


def _fact(console: Console, name: str, text: str) -> None:
    print_line(console, f"{name:13}{text}", indent=13)


def _show_detector(console: Console, card: ModelCard) -> None:
    strict = card.scores["overall"]["iou_0.5"]
    difference = card.scores["torch_to_onnx_max_difference"]
    _fact(console, "parity", f"torch and float32 ONNX differ by at most {difference:.1e}")
    threshold, bar = card.scores["threshold"], card.settings["score_threshold"]
    _fact(
        console, "recall", f"{percent(strict['recall'])} at 0.1 false detections a photo, from score {threshold:.2f} on"
    )
    if bar != round(threshold, 2):  # kept within limits, whatever these photos say
        _fact(console, "", f"recognition takes faces from score {bar:g} on")


def _show_expression(console: Console, card: ModelCard) -> None:
    scores = card.scores[card.heads[0].output]
    one_pass = scores["one_pass"]
    difference = card.scores["torch_to_onnx_max_logit_difference"]
    _fact(console, "parity", f"torch and float32 ONNX differ by at most {difference:.1e} of the largest logit")
    if card.precision == "int8":
        _fact(
            console,
            "",
            f"int8 gives float32's answer on {percent(scores['float32_agreement'])} of the faces "
            f"(accuracy {percent(scores['float32_accuracy'])} before)",
        )
    views = f"; ten views {percent(scores['ten_views']['accuracy'])}" if "ten_views" in scores else ""
    _fact(
        console,
        "accuracy",
        f"{percent(one_pass['accuracy'])} ({span(one_pass['accuracy_interval_95'])}) on "
        f"{one_pass['images']:,} faces of {card.scores['split']}{views}",
    )
    for name, what in (("without_training_copies", "exact copies of"), ("without_any_copy", "copies of any kind of")):
        copies = one_pass["images"] - one_pass.get(f"images_{name}", one_pass["images"])
        if copies and f"accuracy_{name}" in one_pass:
            rest = percent(one_pass[f"accuracy_{name}"])
            _fact(console, "", f"{rest} without the {copies:,} that are {what} training faces")
    temperatures = ", ".join(f"{head.output} {head.temperature:.3f}" for head in card.heads)
    calibration = scores["calibration"]
    held_out = f"; ECE {calibration['ece_held_out']:.3f} held out" if "ece_held_out" in calibration else ""
    _fact(console, "calibration", f"temperature {temperatures}, a scale and a bias for each class{held_out}")
