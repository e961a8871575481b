"""Charts as inline SVG or HTML. Colours of text and lines are the page's: they fit light, dark and print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

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
    parts = [
        f'<rect x="{10 + i * step:.2f}" y="{base - 96 * count / largest:.2f}" width="{step - 0.8:.2f}" '
        f'height="{96 * count / largest:.2f}" class="bar"><title>{count:,}</title></rect>'
        for i, count in enumerate(counts.tolist())
    ]
    parts.append(f'<line x1="10" x2="{width - 10}" y1="{base}" y2="{base}" class="axis"/>')
    for tick in _ticks(low, high):
        at = 10 + (width - 20) * (tick - low) / (high - low)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{base}" y2="{base + 4}" class="axis"/>')
        parts.append(_text(at, base + 16, f"{tick:g}", anchor="middle", soft=True))
    many = f"{len(values):,} face{'' if len(values) == 1 else 's'}"
    parts.append(_text(10, 11, many, soft=True))
    label = f"{caption}, {many}"
    if len(values):
        median = float(np.median(values))
        at = 10 + (width - 20) * (min(max(median, low), high) - low) / (high - low)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="16" y2="{base}" class="mark"/>')
        anchor, shift = ("end", -4) if at > width * 0.6 else ("start", 4)
        parts.append(_text(at + shift, 24, f"median {median:.3g}", anchor=anchor))
        label += f", median {median:.3g}"
    parts.append(_text(width / 2, base + 34, caption, anchor="middle"))
    return _svg(width, height, parts, label)


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


def _ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw)
    first = math.ceil(low / step) * step
    return [first + i * step for i in range(int((high - first) / step + 1e-9) + 1)]


def _rgb(name: str, among: Sequence[str]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color_rgb(name, among))


def _text(x: float, y: float, text: str, anchor: str = "start", soft: bool = False) -> str:
    kind = ' class="soft"' if soft else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> Markup:
    from markupsafe import Markup

    body = "".join(parts)
    return Markup(  # noqa: S704 - every text in it is escaped
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escape(label)}">{body}</svg>'
    )
