"""The curves of a run as a picture, and its page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mien.files import write_atomically
from mien.metrics.classification import wilson_interval
from mien.page.drawing import ticks
from mien.train.folder import RunFolder
from mien.train.options import Recipe
from mien.train.recipe import recipe_text

__all__ = ["curves_svg", "write_curves"]

_WIDTH_PX, _HEIGHT_PX = 320, 220
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 46, 10, 30, 34
_STYLE = (
    "svg{color-scheme:light dark;--paper:#fff;--ink:#1c1f24;--soft:#667080;--grid:#dfe3e8;--one:#2f6fd0;--two:#b95614}"
    "@media screen and (prefers-color-scheme:dark){svg{--paper:#14161a;--ink:#e6e8eb;--soft:#98a2b0;--grid:#2d323a;"
    "--one:#6ea6ff;--two:#ff9d57}}"
    '.curves text{font:12px system-ui,"Segoe UI",Arial,sans-serif;fill:var(--ink)}.curves .soft{fill:var(--soft)}'
    ".curves .grid{stroke:var(--grid)}.curves .curve{fill:none;stroke-width:1.6}.curves .best{stroke:var(--soft);"
    "stroke-dasharray:3 3}.curves .paper{fill:var(--paper)}"
)
_COLORS = {"validation": "var(--one)", "train": "var(--two)"}


def write_curves(
    files: RunFolder,
    history: Sequence[Mapping[str, float]],
    metric: str,
    *,
    page_of: tuple[Recipe, Mapping[str, Any]] | None = None,
) -> None:
    """Write ``curves.svg``, and at the end of a run ``run.html`` (OSError).

    Parameters
    ----------
    files : RunFolder
    history : sequence of mapping
        A row an epoch.
    metric : str
        What chose the best epoch.
    page_of : (Recipe, mapping), optional
        The recipe and the record of a run that is done: writes the page.
    """
    picture = curves_svg(history, metric)
    write_atomically(files.curves, f'<?xml version="1.0" encoding="UTF-8"?>\n{picture}\n'.encode())
    if page_of is None:
        return
    from markupsafe import Markup

    from mien.page import render

    recipe, record = page_of
    text = render(
        "run.html.j2",
        folder=Path(__file__).parent / "templates",
        title=f"Training run {files.path.name}",
        record=record,
        result=record["result"],
        best_row=next(row for row in history if row["epoch"] == record["result"]["best_epoch"]),
        recipe=recipe_text(recipe),
        interval=_interval(record),
        # One by one: on a narrow screen they stand below each other.
        curves=[Markup(_svg({title: panel})) for title, panel in _panels(history, metric).items()],  # noqa: S704 - escaped
    )
    write_atomically(files.page, text.encode())


def curves_svg(history: Sequence[Mapping[str, float]], metric: str) -> str:
    """Loss, the metric that chooses, and learning rate over the epochs, side by side; an SVG for light and dark."""
    return _svg(_panels(history, metric))


def _interval(record: Mapping[str, Any]) -> list[float] | None:
    """Of the best epoch's accuracy on the faces that chose it; None where something else was measured."""
    validation = record["data"].get("validation")
    faces = validation.get("faces") if isinstance(validation, Mapping) else None
    if not faces or record["result"]["metric"] != "validation_accuracy":
        return None
    return wilson_interval(record["result"]["best"], faces)


def _svg(panels: Mapping[str, str]) -> str:
    width = _WIDTH_PX * len(panels)
    parts = [
        f'<g transform="translate({number * _WIDTH_PX} 0)">{panel}</g>' for number, panel in enumerate(panels.values())
    ]
    label = f"{', '.join(panels)} over the epochs"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="curves" viewBox="0 0 {width} {_HEIGHT_PX}" width="{width}" '
        f'height="{_HEIGHT_PX}" role="img" aria-label="{escape(label)}"><style>{_STYLE}</style>'
        f'<rect class="paper" width="{width}" height="{_HEIGHT_PX}"/>{"".join(parts)}</svg>'
    )


def _panels(history: Sequence[Mapping[str, float]], metric: str) -> dict[str, str]:
    """The parts of an SVG, by their titles."""
    measure = metric.removeprefix("validation_")
    best = max(history, key=lambda row: row[metric])["epoch"]
    # The training loss may have more parts than the labels' loss, which is what validation measures.
    learned = "train_label_loss" if "train_label_loss" in history[0] else "train_loss"
    panels = [
        ("loss", {"train": learned, "validation": "validation_loss"}),
        (measure.replace("_", " "), {name: f"{name}_{measure}" for name in ("train", "validation")}),
        ("learning rate", {"": "learning_rate"}),
    ]
    parts = {}
    for title, names in panels:
        curves = {
            name: [(row["epoch"], row[key]) for row in history if math.isfinite(row.get(key, math.nan))]
            for name, key in names.items()
        }
        parts[title] = _panel(title, curves, len(history), best)
    return parts


def _panel(title: str, curves: Mapping[str, Sequence[tuple[float, float]]], epochs: int, best: float) -> str:
    values = [value for points in curves.values() for _, value in points]
    if not values:
        return ""
    low, high = min(values), max(values)
    if title == "learning rate":
        low = 0.0
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - (margin if low else 0.0), high + margin
    right, bottom = _WIDTH_PX - _RIGHT_PX, _HEIGHT_PX - _BOTTOM_PX

    def x_of(epoch: float) -> float:
        return _LEFT_PX + (right - _LEFT_PX) * ((epoch - 1) / (epochs - 1) if epochs > 1 else 0.5)

    def y_of(value: float) -> float:
        return bottom - (bottom - _TOP_PX) * (value - low) / (high - low)

    parts = [f'<text x="{_LEFT_PX}" y="18" font-weight="600">{escape(title)}</text>']
    for tick in ticks(low, high, 4):
        y = y_of(tick)
        parts.append(f'<line class="grid" x1="{_LEFT_PX}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="soft" x="{_LEFT_PX - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    parts += [
        f'<text class="soft" x="{x_of(epoch):.1f}" y="{bottom + 18}" text-anchor="middle">{epoch}</text>'
        for epoch in ([1, epochs] if epochs > 1 else [])
    ]
    middle = "epoch" if epochs > 1 else "epoch 1"
    parts.append(
        f'<text class="soft" x="{(_LEFT_PX + right) / 2}" y="{bottom + 18}" text-anchor="middle">{middle}</text>'
    )
    if title != "learning rate":
        x = x_of(best)
        parts.append(
            f'<line class="best" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP_PX}" y2="{bottom}"><title>best epoch {best:g}'
            "</title></line>"
        )
    legend_x = right
    for name, points in curves.items():
        if not points:
            continue
        color = _COLORS.get(name, "var(--one)")
        if len(points) == 1:
            parts.append(
                f'<circle cx="{x_of(points[0][0]):.1f}" cy="{y_of(points[0][1]):.1f}" r="3" style="fill:{color}"/>'
            )
        line = " ".join(f"{x_of(epoch):.1f},{y_of(value):.1f}" for epoch, value in points)
        parts.append(f'<polyline class="curve" style="stroke:{color}" points="{line}"/>')
        if name:
            parts.append(f'<text x="{legend_x}" y="18" text-anchor="end" style="fill:{color}">{escape(name)}</text>')
            legend_x -= 66
    return "".join(parts)
