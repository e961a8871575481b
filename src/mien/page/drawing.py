"""What the charts of all pages are drawn with: inline SVG. Its classes have their colours from the page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Drawing", "ticks"]


class Drawing:
    """Parts of an SVG picture, with places in its pixels; `kind` is a class, and every text is escaped."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def text(self, x: float, y: float, text: str, anchor: str = "middle", kind: str = "") -> None:
        """A text that stands on a place, or begins or ends there."""
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>')

    def turned(self, x: float, y: float, text: str, anchor: str = "middle", kind: str = "soft") -> None:
        """A text that is read from below."""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}" '
            f'transform="rotate(-90 {x:.1f} {y:.1f})">{escape(text)}</text>'
        )

    def rect(
        self, x: float, y: float, width: float, height: float, title: str, style: str = "", kind: str = ""
    ) -> None:
        """A rectangle with what is shown where one points at it."""
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}" style="{style}">'
            f"<title>{escape(title)}</title></rect>"
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "axis", title: str = "") -> None:
        """A straight line; with a title, that is shown where one points at it."""
        place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        inner = f"<title>{escape(title)}</title>" if title else ""
        self._parts.append(f'<line {place} class="{kind}">{inner}</line>')

    def curve(self, points: Iterable[tuple[float, float]], kind: str = "curve") -> None:
        """Straight lines from each place to the next."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline points="{places}" class="{kind}"/>')

    def circle(self, x: float, y: float, radius: float, title: str, kind: str = "dot") -> None:
        """A disc with what is shown where one points at it."""
        self._parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" class="{kind}"><title>{escape(title)}</title></circle>'
        )

    def svg(self, width: float, height: float, label: str, *, style: str = "", kind: str = "") -> Markup:
        """The picture, with what it is called to those who do not see it.

        With a style it needs no page: it may be a file. `kind` is then a class of its own, for the rules of the style.
        """
        from markupsafe import Markup

        own = f'xmlns="http://www.w3.org/2000/svg" class="{kind}" ' if style else ""
        parts = [f"<style>{style}</style>", *self._parts] if style else self._parts
        return Markup(  # noqa: S704 - every text in it is escaped above
            f'<svg {own}viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
            f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
        )


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers at even distances from `low` to `high`: as many parts as `about`, or a few less."""
    least = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(least))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= least)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [tick * step for tick in range(first, last + 1)]
