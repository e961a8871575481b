"""What `mien evaluate` prints for a detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mien.cli.report import percent, span, three
from mien.cli.tables import new_table, print_line, print_table
from mien.cli.terminal import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["show_detection"]


def show_detection(console: Console, values: dict[str, Any]) -> None:
    """Print the report of `mien.evaluate.detection` as tables."""
    from rich.text import Text

    model, data = values["model"], values["data"]
    parameters = f", {model['parameters']:,} parameters" if model["parameters"] else ""
    about = (
        f" ({model['precision']}{parameters}) on {data['source']}, {data['split']}: "
        f"{data['faces']:,} faces of {data['min_face_px']:g} px and more in {data['photos']:,} photos"
    )
    print_line(console, Text.assemble((model["name"], "bold"), about))
    print_line(
        console,
        f"not counted: {counted(data['neutral_faces'], 'smaller face')}, "
        f"{counted(data['ignored_places'], 'place')} neither face nor background\n",
        "dim",
    )
    shipped = ("as shipped", "false/photo") if values["as_shipped"] else ()
    legend = "; as shipped: with the score on its card" if shipped else ""
    print_line(console, f"recall at {values['false_finds_a_photo']:g} false detections a photo{legend}")
    for table in (_overlaps(values, shipped), _sizes(values), _conditions(values)):
        print_table(console, table)
        console.print()
    time_ms = values["ms_a_photo"]
    print_line(
        console,
        f"IoU 0.5 and the score of {values['false_finds_a_photo']:g} false detections a photo unless said otherwise; "
        f"landmarks: error in eye distances; {time_ms['median']:.1f} ms a photo (one in ten takes "
        f"{time_ms['p90']:.1f}); measured in {values['seconds']:.0f} s",
        "dim",
    )


def _overlaps(values: dict[str, Any], shipped: tuple[str, ...]) -> Table:
    from rich.text import Text

    table = new_table("overlap", "recall", "95 % interval", "AP", "score", *shipped)
    for name, one in values["overall"].items():
        own = values["as_shipped"][name] if values["as_shipped"] else None
        table.add_row(
            f"IoU {name[4:]}",
            Text(percent(one["recall"]), "bold"),
            span(one["recall_interval_95"]),
            three(one["ap"]),
            three(one["threshold"]),
            *((percent(own["recall"]), three(own["false_finds_a_photo"])) if own else ()),
        )
    return table


def _sizes(values: dict[str, Any]) -> Table:
    from mien.evaluate.detection_page import size_name

    table = new_table("size", "faces", "recall", "IoU 0.3", "landmarks", "of")
    for row in values["sizes"]:
        if row["faces"]:
            table.add_row(
                size_name(row),
                f"{row['faces']:,}",
                percent(row["recall_iou_0.5"]),
                percent(row["recall_iou_0.3"]),
                three(row["landmarks"]["mean"]),
                f"{row['landmarks']['faces']:,}",
            )
    return table


def _conditions(values: dict[str, Any]) -> Table:
    from mien.evaluate.detection_page import condition_rows

    table = new_table("condition", "photos", "faces", "recall", "false/photo", "AP", "landmarks")
    for name, row in condition_rows(values):
        one = row["iou_0.5"]
        table.add_row(
            name,
            f"{row['photos']:,}",
            f"{row['faces']:,}",
            percent(one["recall"]),
            three(one["false_finds_a_photo"]),
            three(one["ap"]),
            three(row["landmarks"]["mean"]),
        )
    return table
