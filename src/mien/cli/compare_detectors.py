"""What `mien compare` prints for detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mien.cli.report import percent, span, three
from mien.cli.tables import new_table, print_line, print_table

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_detectors"]


def show_detectors(console: Console, values: dict[str, Any]) -> None:
    """Print the report of `mien.evaluate.detection_comparison` as tables."""
    data, models = values["data"], values["models"]
    print_line(
        console,
        f"{data['source']}, {data['split']}: {data['faces']:,} faces of {data['min_face_px']:g} px and more in "
        f"{data['photos']:,} photos, the same for all\n",
    )
    _show_scores(console, models)
    console.print()
    _show_by(console, models, _size_cells(models), "size")
    if models[0]["conditions"]:
        console.print()
        _show_by(console, models, _condition_cells(models), "condition")
    console.print()
    _show_pairs(console, values["pairs"])
    alone = "each interval is for its pair alone; " if len(values["pairs"]) > 1 else ""
    in_torch = any(one["as_shipped"] is None for one in models)
    slower = "; checkpoints run in torch, at all that scores 0.1: export them to compare times" if in_torch else ""
    print_line(
        console,
        f"recall at {values['false_finds_a_photo']:g} false detections a photo; as shipped: with the score on its "
        f"card; landmarks: error in eye distances; {alone}"
        f"ms: a photo without decoding, {values['threads']} thread{'s' if values['threads'] > 1 else ''}, median, in "
        f"turns{slower}; measured in {values['seconds']:.0f} s",
        "dim",
    )


def _show_scores(console: Console, models: list[dict[str, Any]]) -> None:
    from rich.text import Text

    best = max(one["overall"]["iou_0.5"]["recall"] or 0.0 for one in models)
    table = new_table(
        "detector", "recall", "95 % interval", "IoU 0.3", "AP", "landmarks", "as shipped", "false/photo", "ms", "file"
    )
    for one in models:
        strict, shipped = one["overall"]["iou_0.5"], (one["as_shipped"] or {}).get("iou_0.5")
        table.add_row(
            one["model"]["name"],
            Text(percent(strict["recall"]), "bold" if strict["recall"] == best else ""),
            span(strict["recall_interval_95"]),
            percent(one["overall"]["iou_0.3"]["recall"]),
            three(strict["ap"]),
            three(one["landmarks"]["mean"]),
            percent(shipped["recall"]) if shipped else "-",
            three(shipped["false_finds_a_photo"]) if shipped else "-",
            f"{one['ms_a_photo']['median']:.1f}",
            f"{one['model']['file_bytes'] / 1e6:.2f} MB",
        )
    print_table(console, table)


def _size_cells(models: list[dict[str, Any]]) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """Sizes with faces: the name, how many, and what each detector scored."""
    from mien.evaluate.detection_page import size_name

    rows = zip(*(one["sizes"] for one in models), strict=True)
    return [
        (size_name(own[0]), own[0]["faces"], [{"recall": row["recall_iou_0.5"]} for row in own])
        for own in rows
        if own[0]["faces"]
    ]


def _condition_cells(models: list[dict[str, Any]]) -> list[tuple[str, int, list[dict[str, Any]]]]:
    return [
        (name, first["faces"], [one["conditions"][name]["iou_0.5"] for one in models])
        for name, first in models[0]["conditions"].items()
    ]


def _show_by(
    console: Console, models: list[dict[str, Any]], cells: list[tuple[str, int, list[dict[str, Any]]]], title: str
) -> None:
    """A row for each size or condition, a column for each detector."""
    table = new_table(title, "faces", *(one["model"]["name"] for one in models))
    for name, faces, scores in cells:
        table.add_row(name, f"{faces:,}", *(percent(score["recall"]) for score in scores))
    print_table(console, table)


def _show_pairs(console: Console, pairs: list[dict[str, Any]]) -> None:
    from mien.evaluate.detection_page import verdict

    table = new_table("pair", "of", "difference", "95 % interval", "", left=("of", ""))
    for pair in pairs:
        name = f"{pair['first']} - {pair['second']}"
        for key in ("iou_0.5", "iou_0.3"):
            found = pair[key]
            table.add_row(name, f"recall, IoU {key[4:]}", *_difference(found, 100, 1), verdict(pair, found))
            name = ""
        found = pair["landmarks"]
        table.add_row(name, "landmarks", *_difference(found, 1, 3), verdict(pair, found, smaller=True))
    print_table(console, table)


def _difference(found: dict[str, Any], times: int, places: int) -> tuple[str, str]:
    if found["difference"] is None:
        return "-", ""
    ends = " to ".join(f"{times * end:+.{places}f}" for end in found["interval_95"] or ())
    return f"{times * found['difference']:+.{places}f}", ends
