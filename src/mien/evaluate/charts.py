"""Charts of evaluations as inline SVG. Colours of text and lines come from the page: light, dark and print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mien.metrics.classification import wilson_interval
from mien.page.drawing import Drawing
from mien.sink.palette import color_rgb

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["confusion_chart", "interval_chart", "reliability_chart"]

_CELL_PX = 62
_LONGEST_ACROSS = 9  # letters


def confusion_chart(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """The confusion matrix: counts, each cell shaded by its share of the row, the diagonal in the class's colour.

    Parameters
    ----------
    confusion : C rows of C int
        A row for each true class.
    names : sequence of C str
    """
    drawing = Drawing()
    longest = max(map(len, names))
    left = max(112, 24 + 7 * longest)
    upright = longest > _LONGEST_ACROSS  # names above the columns would run into each other
    top = 36 + 7 * longest if upright else 46
    size = _CELL_PX * len(names)
    drawing.text(left + size / 2, 14, "read as", kind="soft")
    drawing.turned(14, top + size / 2, "labelled")
    for i, name in enumerate(names):
        if upright:
            drawing.turned(left + (i + 0.5) * _CELL_PX + 4, top - 10, name, anchor="start", kind="")
        else:
            drawing.text(left + (i + 0.5) * _CELL_PX, top - 10, name)
        drawing.text(left - 10, top + (i + 0.5) * _CELL_PX + 4, name, anchor="end")
    for i, row in enumerate(confusion):
        whole = max(sum(row), 1)
        for j, count in enumerate(row):
            share = count / whole
            x, y = left + j * _CELL_PX, top + i * _CELL_PX
            fill = "rgb({}, {}, {})".format(*color_rgb(names[i], names)) if i == j else "var(--ink)"
            opacity = 0.12 + 0.6 * share if i == j else min(0.5, 1.4 * share)
            title = f"{names[i]} read as {names[j]}: {count:,} of {whole:,} ({share:.1%})"
            drawing.rect(x, y, _CELL_PX - 2, _CELL_PX - 2, title, f"fill: {fill}; fill-opacity: {opacity:.3f}", "cell")
            middle = x + _CELL_PX / 2 - 1
            drawing.text(middle, y + 28, f"{100 * share:.0f} %" if count else "0", kind="" if count else "soft")
            if count:
                drawing.text(middle, y + 44, f"{count:,}", kind="small")
    return drawing.svg(left + size, top + size, "confusion matrix")


def reliability_chart(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Accuracy against confidence, a bar a bin with its 95 % interval and its number of images.

    The diagonal is perfect calibration.
    """
    drawing = Drawing()
    side, left, top, counts_px = 300, 66, 12, 54
    bottom = top + side

    def x_at(value: float) -> float:
        return left + side * value

    def y_at(value: float) -> float:
        return bottom - side * value

    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1.0):
        drawing.line(left, y_at(tick), left + side, y_at(tick), "grid")
        drawing.text(left - 8, y_at(tick) + 4, f"{100 * tick:.0f} %", anchor="end", kind="soft")
        drawing.text(x_at(tick), bottom + counts_px + 24, f"{100 * tick:.0f} %", kind="soft")
    most = max([part["images"] for part in bins] + [1])
    for part in bins:
        if not part["images"]:
            continue
        low, width = x_at(part["low"]), side * (part["high"] - part["low"]) - 2
        accuracy, confidence = part["accuracy"], part["confidence"]
        title = f"{part['images']:,.0f} faces: confidence {confidence:.1%}, right {accuracy:.1%}"
        # A bin of a few faces says little: it is drawn pale.
        strength = 0.25 + 0.65 * min(1.0, part["images"] / 50)
        drawing.rect(low + 1, y_at(accuracy), width, side * accuracy, title, f"fill-opacity: {strength:.2f}", "bar")
        upper, lower = max(accuracy, confidence), min(accuracy, confidence)
        drawing.rect(low + 1, y_at(upper), width, side * (upper - lower), title, f"opacity: {strength:.2f}", "gap")
        middle, (least, most_of) = low + 1 + width / 2, wilson_interval(part["accuracy"], part["images"])
        drawing.line(middle, y_at(least), middle, y_at(most_of), "whisker")
        tall = (counts_px - 16) * part["images"] / most
        drawing.rect(low + 1, bottom + counts_px + 6 - tall, width, tall, title, kind="count")
    drawing.line(left, bottom, left + side, top, "mark")
    drawing.line(left, bottom, left + side, bottom)
    drawing.turned(12, top + side / 2, "right answers")
    faces = sum(part["images"] for part in bins)
    drawing.text(left + side / 2, bottom + counts_px + 42, "confidence", kind="soft")
    drawing.text(left, bottom + 16, f"faces: {faces:,.0f}, in a bin {most:,.0f} at most", anchor="start", kind="small")
    return drawing.svg(left + side + 20, bottom + counts_px + 50, f"right answers over confidence, {faces:,.0f} faces")


def interval_chart(rows: Sequence[tuple[str, float, Sequence[float]]], faces: int, what: str = "accuracy") -> Markup:
    """Shares with their intervals, one below the other.

    Parameters
    ----------
    rows : sequence of (str, float, two float)
        What it is called, the share, and its interval.
    faces : int
        On how many it was measured.
    what : str
        What the shares are.
    """
    drawing = Drawing()
    left, width, step = 24 + 7 * max(len(name) for name, _, _ in rows), 560, 34
    low = min(interval[0] for _, _, interval in rows)
    high = max(interval[1] for _, _, interval in rows)
    low, high = max(0.0, low - 0.01), min(1.0, max(high + 0.01, low + 0.02))
    height = step * len(rows) + 8

    def x_at(value: float) -> float:
        return left + width * (value - low) / (high - low)

    percents = next(
        [p for p in range(0, 101, every) if low * 100 <= p <= high * 100] for every in (1, 2, 5, 10, 20)
        if (high - low) * 100 / every <= 10
    )  # fmt: skip
    for percent in percents:
        drawing.line(x_at(percent / 100), 4, x_at(percent / 100), height, "grid")
        drawing.text(x_at(percent / 100), height + 18, f"{percent} %", kind="soft")
    for number, (name, share, interval) in enumerate(rows):
        y = 4 + step * (number + 0.5)
        title = f"{name}: {share:.2%} ({interval[0]:.2%} to {interval[1]:.2%})"
        drawing.text(left - 12, y + 4, name, anchor="end")
        drawing.line(x_at(interval[0]), y, x_at(interval[1]), y, "range")
        drawing.circle(x_at(share), y, 5, title)
        drawing.text(left + width + 12, y + 4, f"{100 * share:.1f} %", anchor="start")
    title = f"{what} on {faces:,} faces, with its 95 % interval"
    drawing.text(left + width / 2, height + 38, title, kind="soft")
    return drawing.svg(left + width + 70, height + 46, title)
