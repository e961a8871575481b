"""One colour for each label, the same on the terminal, on pictures and on pages."""

from __future__ import annotations

__all__ = ["color_rgb", "text_rgb"]

_RGB = {
    "angry": (214, 69, 65),
    "disgust": (77, 148, 82),
    "fear": (142, 91, 208),
    "happy": (240, 168, 24),
    "sad": (66, 126, 219),
    "surprise": (31, 178, 178),
    "neutral": (140, 147, 158),
    "contempt": (164, 116, 73),
    "positive": (240, 168, 24),
    "negative": (214, 69, 65),
}
_OTHERS = ((204, 102, 153), (120, 160, 40), (90, 110, 170), (190, 130, 60))


def color_rgb(label: str) -> tuple[int, int, int]:
    """The colour of a label as red, green, blue in [0, 255]; a stable one for labels of other schemes."""
    return _RGB.get(label) or _OTHERS[sum(label.encode()) % len(_OTHERS)]


def text_rgb(background_rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever reads better on a background (relative luminance of WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in background_rgb)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
