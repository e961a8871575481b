"""Charts as inline SVG or HTML. Colours of text and lines are the page's: they fit light, dark and print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.page.drawing import Drawing, ticks
from mien.sink.palette import color_rgb

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["bar_chart", "histogram", "matrix"]


def bar_chart(counts: Mapping[str, Mapping[str, int]], classes: Sequence[str]) -> Markup:
    """Horizontal bars, one a class, stacked by split: the first split solid, each further one paler.

    Parameters
    ----------
    counts : mapping of split to mapping of class to int
    classes : sequence of str
        From top to bottom.
    """
    from markupsafe import Markup

    total = {name: sum(own.get(name, 0) for own in counts.values()) for name in classes}
    largest = max([*total.values(), 1])
    # Of the page's own elements rather than SVG: they fit a narrow screen without small letters.
    lines = ['<div class="bars">']
    for name in classes:
        lines.append(f"<span>{escape(name)}</span><div>")
        for number, (split, own) in enumerate(counts.items()):
            count = own.get(name, 0)
            opacity = 1.0 / (1 + 1.2 * number)
            # What is left of the width is for the number behind the bar.
            lines.append(
                f'<i style="width:{86 * count / largest:.2f}%;background:{_rgb(name, classes)};opacity:{opacity:.2f}" '
                f'title="{escape(name)}, {escape(split)}: {count:,}"></i>'
            )
        lines.append(f"<b>{total[name]:,}</b></div>")
    return Markup("".join([*lines, "</div>"]))  # noqa: S704 - every name is escaped above


def histogram(values: npt.NDArray[np.floating], low: float, high: float, caption: str, bins: int = 32) -> Markup:
    """A histogram with the number of faces, and the median marked; values outside count in the outermost bins.

    Parameters
    ----------
    values : float array of shape (N,)
    low, high : float
        The range that is shown.
    caption : str
        Title of the horizontal axis.
    """
    width, height, base = 300, 168, 130
    counts, _ = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    largest = max(int(counts.max()), 1)
    step = (width - 20) / bins
    drawing = Drawing()
    for i, count in enumerate(counts.tolist()):
        tall = 96 * count / largest
        drawing.rect(10 + i * step, base - tall, step - 0.8, tall, f"{count:,}", kind="bar")
    drawing.line(10, base, width - 10, base)

    def x_at(value: float) -> float:
        return 10 + (width - 20) * (min(max(value, low), high) - low) / (high - low)

    for tick in ticks(low, high, 5):
        drawing.line(x_at(tick), base, x_at(tick), base + 4)
        drawing.text(x_at(tick), base + 16, f"{tick:g}", kind="soft")
    many = f"{len(values):,} face{'' if len(values) == 1 else 's'}"
    drawing.text(10, 11, many, "start", "soft")
    label = f"{caption}, {many}"
    if len(values):
        median = float(np.median(values))
        at = x_at(median)
        drawing.line(at, 16, at, base, "mark")
        anchor, shift = ("end", -4) if at > width * 0.6 else ("start", 4)
        drawing.text(at + shift, 24, f"median {median:.3g}", anchor)
        label += f", median {median:.3g}"
    drawing.text(width / 2, base + 34, caption)
    return drawing.svg(width, height, label)


def matrix(values: npt.NDArray[np.integer], rows: Sequence[str], columns: Sequence[str]) -> Markup:
    """A table of counts, each cell shaded by its share of the row.

    Parameters
    ----------
    values : int array of shape (len(rows), len(columns))
    """
    from markupsafe import Markup

    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    lines = [f'<table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>']
    for name, row in zip(rows, np.asarray(values).tolist(), strict=True):
        whole = max(sum(row), 1)
        cells = "".join(
            f'<td style="--share:{count / whole:.3f}" title="{count:,}">{100 * count / whole:.1f}</td>' for count in row
        )
        lines.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return Markup("".join([*lines, "</tbody></table>"]))  # noqa: S704 - every name is escaped above


def _rgb(name: str, among: Sequence[str]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color_rgb(name, among))
