"""One colour for each label, the same on the terminal, on pictures and on pages."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

__all__ = ["color_rgb", "terminal_style", "text_rgb"]

# They differ in lightness, too: whoever does not see red, green or blue tells any two of them apart.
_RGB = {
    "angry": (206, 52, 50),
    "disgust": (100, 158, 80),
    "fear": (140, 70, 176),
    "happy": (240, 168, 24),
    "sad": (66, 116, 238),
    "surprise": (20, 188, 204),
    "neutral": (166, 164, 164),
    "contempt": (142, 82, 88),
    "positive": (240, 168, 24),
    "negative": (206, 52, 50),
}
_OTHERS = ((204, 102, 153), (120, 160, 40), (90, 110, 170), (190, 130, 60))
_POOL = tuple(dict.fromkeys((*_OTHERS, *_RGB.values())))
# Of WCAG 2: in these bounds a text has a contrast of 3 and more on black and on white.
_LEAST_LUMINANCE, _MOST_LUMINANCE = 0.11, 0.29


def color_rgb(label: str, among: Iterable[str] = ()) -> tuple[int, int, int]:
    """The colour of a label as red, green, blue in [0, 255].

    Parameters
    ----------
    label : str
    among : iterable of str
        The labels of its scheme. Labels of one's own get colours that no other of them has, as far as there are so
        many; alone, a label has one that follows from its name.
    """
    return _colors(tuple(sorted({label, *among})))[label]


@lru_cache(maxsize=256)
def _colors(labels: tuple[str, ...]) -> dict[str, tuple[int, int, int]]:
    colors = {label: _RGB[label] for label in labels if label in _RGB}
    for label in labels:
        if label not in colors:
            start = sum(label.encode("utf-8", "backslashreplace")) % len(_OTHERS)
            taken = set(colors.values())
            free = (color for color in (*_POOL[start:], *_POOL[:start]) if color not in taken)
            colors[label] = next(free, _POOL[start])
    return colors


def terminal_style(label: str, among: Iterable[str] = ()) -> str:
    """The colour of a label in the words of rich; legible on a dark and on a light terminal."""
    linear = _linear(color_rgb(label, among))
    luminance = _luminance(linear)
    wanted = min(max(luminance, _LEAST_LUMINANCE), _MOST_LUMINANCE)
    scaled = (min(1.0, value * wanted / luminance) for value in linear)
    rgb = (value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055 for value in scaled)
    return "rgb({},{},{})".format(*(round(255 * value) for value in rgb))


def text_rgb(background_rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever reads better on a background (relative luminance of WCAG 2)."""
    return (0, 0, 0) if _luminance(_linear(background_rgb)) > 0.179 else (255, 255, 255)


def _linear(rgb: tuple[int, int, int]) -> list[float]:
    return [c / 12.92 if c <= 0.04045 else float(((c + 0.055) / 1.055) ** 2.4) for c in (v / 255 for v in rgb)]


def _luminance(linear: list[float]) -> float:
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
