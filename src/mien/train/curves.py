"""The curves of a run as a picture, and its page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.files import write_atomically
from mien.metrics.classification import wilson_interval
from mien.page.drawing import Drawing, ticks
from mien.train.folder import RunFolder
from mien.train.options import Recipe
from mien.train.recipe import recipe_text

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["curves_svg", "write_curves"]

_WIDTH_PX, _HEIGHT_PX = 320, 220
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 46, 10, 30, 34
_LEGEND_PX = 66
_STYLE = (
    "svg{color-scheme:light dark;--paper:#fff;--ink:#1c1f24;--soft:#667080;--grid:#dfe3e8;--one:#2f6fd0;--two:#b95614}"
    "@media screen and (prefers-color-scheme:dark){svg{--paper:#14161a;--ink:#e6e8eb;--soft:#98a2b0;--grid:#2d323a;"
    "--one:#6ea6ff;--two:#ff9d57}}"
    '.curves text{font:12px system-ui,"Segoe UI",Arial,sans-serif;fill:var(--ink)}.curves .soft{fill:var(--soft)}'
    ".curves .title{font-weight:600}.curves .paper{fill:var(--paper)}.curves .grid{stroke:var(--grid)}"
    ".curves .best{stroke:var(--soft);stroke-dasharray:3 3}"
    ".curves .validation{--line:var(--one)}.curves .train{--line:var(--two)}"
    ".curves .name,.curves circle{fill:var(--line)}.curves polyline{fill:none;stroke:var(--line);stroke-width:1.6}"
)
_RATE = "learning rate"

Points = Sequence[tuple[float, float]]
"""Epochs, from 1, and what was measured after each."""


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
        curves=[
            _svg({title: curves}, len(history), _best_epoch(history, metric))
            for title, curves in _panels(history, metric).items()
        ],
    )
    write_atomically(files.page, text.encode())


def curves_svg(history: Sequence[Mapping[str, float]], metric: str) -> Markup:
    """Loss, the metric that chooses, and learning rate over the epochs, side by side; an SVG for light and dark."""
    return _svg(_panels(history, metric), len(history), _best_epoch(history, metric))


def _interval(record: Mapping[str, Any]) -> list[float] | None:
    """Of the best epoch's accuracy on the faces that chose it; None where something else was measured."""
    validation = record["data"].get("validation")
    faces = validation.get("faces") if isinstance(validation, Mapping) else None
    if not faces or record["result"]["metric"] != "validation_accuracy":
        return None
    return wilson_interval(record["result"]["best"], faces)


def _best_epoch(history: Sequence[Mapping[str, float]], metric: str) -> float:
    return max(history, key=lambda row: row[metric])["epoch"]


def _panels(history: Sequence[Mapping[str, float]], metric: str) -> dict[str, dict[str, Points]]:
    """The curves of each panel, by its title and their names."""
    measure = metric.removeprefix("validation_")
    # The training loss may have more parts than the labels' loss, which is what validation measures.
    learned = "train_label_loss" if "train_label_loss" in history[0] else "train_loss"
    panels = {
        "loss": {"train": learned, "validation": "validation_loss"},
        measure.replace("_", " "): {name: f"{name}_{measure}" for name in ("train", "validation")},
        _RATE: {"": "learning_rate"},
    }
    return {
        title: {
            name: [(row["epoch"], row[key]) for row in history if math.isfinite(row.get(key, math.nan))]
            for name, key in keys.items()
        }
        for title, keys in panels.items()
    }


def _svg(panels: Mapping[str, Mapping[str, Points]], epochs: int, best: float) -> Markup:
    width = _WIDTH_PX * len(panels)
    drawing = Drawing()
    drawing.rect(0, 0, width, _HEIGHT_PX, "", kind="paper")
    for number, (title, curves) in enumerate(panels.items()):
        if any(curves.values()):
            _draw_panel(drawing, number * _WIDTH_PX, title, curves, epochs, best)
    label = f"{', '.join(panels)} over the epochs"
    return drawing.svg(width, _HEIGHT_PX, label, style=_STYLE, kind="curves")


def _draw_panel(
    drawing: Drawing, start_px: float, title: str, curves: Mapping[str, Points], epochs: int, best: float
) -> None:
    """Draw curves in a panel that begins at `start_px`, with the best epoch marked."""
    low, high = _range([value for points in curves.values() for _, value in points], from_zero=title == _RATE)
    left, right, bottom = start_px + _LEFT_PX, start_px + _WIDTH_PX - _RIGHT_PX, _HEIGHT_PX - _BOTTOM_PX
    middle = (left + right) / 2

    def x_of(epoch: float) -> float:
        return left + (right - left) * (epoch - 1) / (epochs - 1) if epochs > 1 else middle

    def y_of(value: float) -> float:
        return bottom - (bottom - _TOP_PX) * (value - low) / (high - low)

    drawing.text(left, 18, title, "start", "title")
    for tick in ticks(low, high, 4):
        drawing.line(left, y_of(tick), right, y_of(tick), "grid")
        drawing.text(left - 6, y_of(tick) + 4, f"{tick:.3g}", "end", "soft")
    for x, text in [(left, "1"), (middle, "epoch"), (right, f"{epochs}")] if epochs > 1 else [(middle, "epoch 1")]:
        drawing.text(x, bottom + 18, text, kind="soft")
    if title != _RATE:
        drawing.line(x_of(best), _TOP_PX, x_of(best), bottom, "best", f"best epoch {best:g}")
    legend_x = right
    for name, points in curves.items():
        if not points:
            continue
        kind = name or "validation"
        places = [(x_of(epoch), y_of(value)) for epoch, value in points]
        if len(places) == 1:
            drawing.circle(*places[0], 3, f"{points[0][1]:.4g}", kind)
        drawing.curve(places, kind)
        if name:
            drawing.text(legend_x, 18, name, "end", f"name {kind}")
            legend_x -= _LEGEND_PX


def _range(values: Sequence[float], *, from_zero: bool) -> tuple[float, float]:
    """What an axis reaches from and to: a little more than the values do."""
    low, high = 0.0 if from_zero else min(values), max(values)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - (margin if low else 0.0), high + margin
