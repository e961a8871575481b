"""Text on pictures, in the best letters that OpenCV has."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["put_text", "text_size"]


def _font() -> object | None:
    """OpenCV 5 brings a TrueType font; OpenCV 4 has only stroke fonts (None)."""
    return cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None


def _hershey_scale(font_px: int) -> tuple[float, int]:
    return font_px / 30.0, max(1, round(font_px / 14))


def text_size(text: str, font_px: int) -> tuple[int, int]:
    """Width of the text and height of its capital letters, in pixels."""
    font = _font()
    if font is None:
        scale, line_px = _hershey_scale(font_px)
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, line_px)
        return width, height
    box = cv2.getTextSize((0, 0), text, (0, 0), font, font_px, 600)  # type: ignore[call-overload]
    return int(box[2]), round(font_px * 0.72)


def put_text(
    canvas: npt.NDArray[np.uint8], text: str, top_left: tuple[int, int], font_px: int, color: tuple[int, int, int]
) -> None:
    """Write a text onto a picture.

    Parameters
    ----------
    canvas : uint8 array of shape (H, W, 3)
    text : str
    top_left : (int, int)
        Of its capital letters, in pixels.
    font_px : int
    color : (int, int, int)
        In the order of the canvas.
    """
    font = _font()
    baseline = (top_left[0], top_left[1] + text_size(text, font_px)[1])
    if font is None:
        scale, line_px = _hershey_scale(font_px)
        cv2.putText(canvas, text, baseline, cv2.FONT_HERSHEY_DUPLEX, scale, color, line_px, cv2.LINE_AA)
    else:
        cv2.putText(canvas, text, baseline, color, font, font_px, 600)  # type: ignore[call-overload]
