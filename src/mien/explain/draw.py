"""Explanations as pictures: each face beside the map of what its answer rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from mien.align import align_faces
from mien.errors import UsageError
from mien.explain.explanation import Explanation
from mien.opencv import as_gray
from mien.sink.lettering import put_text, text_size
from mien.source import ImageLike, load_image

__all__ = ["LEGEND", "draw_explanations", "heat_bgr", "largest_change"]

Image = npt.NDArray[np.uint8]

# They differ to all eyes (Okabe and Ito, 2008).
_FALLS_RGB, _RISES_RGB = (235, 110, 0), (0, 110, 205)
_STRONGEST = 0.72
_LEAST_CHANGE = 0.05
"""A map of smaller changes is not drawn in strong colours: they say that no part matters much."""

LEGEND = (
    ("orange speaks for it: where it is hidden, it is less probable", _FALLS_RGB),
    ("blue speaks against it: where it is hidden, it is more probable", _RISES_RGB),
)
"""What the colours mean, and which they are: red, green, blue in [0, 255]."""

_PANEL_PX, _GAP_PX, _MARGIN_PX, _BAR_PX = 256, 8, 16, 12
_CELL_WH = (2 * (_PANEL_PX + _MARGIN_PX) + _GAP_PX, _PANEL_PX + 92)
_FONT_PX, _SMALL_PX = 17, 14
_PAPER, _INK, _SOFT_INK = (255, 255, 255), (36, 31, 28), (112, 102, 96)
_SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def draw_explanations(
    image: ImageLike, explanations: Sequence[Explanation], numbers: Sequence[int] | None = None
) -> Image:
    """Draw the faces of a photo, each beside its map.

    Parameters
    ----------
    image : path, bytes, array or PIL image
        The image that was explained.
    explanations : sequence of Explanation
        What `Recognizer.explain` gave; at least one.
    numbers : sequence of int, optional
        The number that each face is drawn with. By default they are counted from 1, and a single one has none.

    Returns
    -------
    uint8 array of shape (H, W, 3)
        BGR. For each face its number, expression and confidence above the crop; beside it the map over the crop in
        gray, with its scale below.

    Raises
    ------
    InputError
        If the image cannot be read.
    UsageError
        If it is of a type that is no image, or there is nothing to draw.
    """
    if not explanations:
        raise UsageError("there is no explanation to draw; expected one for each face: has the photo any?")
    photo = load_image(image, math.inf).bgr
    width, height = _CELL_WH
    # About as wide as high.
    columns = max(1, round(math.sqrt(len(explanations) * height / width)))
    rows = -(-len(explanations) // columns)
    line_px = round(1.6 * _SMALL_PX)
    canvas = np.full((rows * height + len(LEGEND) * line_px + _MARGIN_PX, columns * width, 3), _PAPER, np.uint8)
    for index, one in enumerate(explanations):
        row, column = divmod(index, columns)
        number = f"{numbers[index]}  " if numbers is not None else f"{index + 1}  " if len(explanations) > 1 else ""
        _draw_cell(canvas[row * height :][:height, column * width :][:, :width], photo, one, number)
    for line, (text, color) in enumerate(LEGEND):
        top = rows * height + line * line_px
        cv2.rectangle(canvas, (_MARGIN_PX, top), (_MARGIN_PX + _SMALL_PX, top + 10), color[::-1], -1)
        _put(canvas, text, (2 * _MARGIN_PX + 6, top), _SMALL_PX, _SOFT_INK, width - 3 * _MARGIN_PX - 6)
    return canvas


def heat_bgr(gray: Image, drop: npt.NDArray[np.floating], most: float, side_px: int) -> Image:
    """A map over a face: orange where hiding lowers the probability, blue where it raises it.

    Parameters
    ----------
    gray : uint8 array of shape (H, W)
        The crop.
    drop : float array of shape (R, C)
        As `Explanation.drop`.
    most : float
        The change that has the strongest colour.
    side_px : int
        Of the picture.

    Returns
    -------
    uint8 array of shape (side_px, side_px, 3)
        BGR.
    """
    size_wh = (side_px, side_px)
    value = cv2.resize(np.asarray(drop, np.float32), size_wh, interpolation=cv2.INTER_CUBIC) / most
    crop = gray if gray.shape == size_wh else cv2.resize(gray, size_wh, interpolation=cv2.INTER_CUBIC)
    value = np.clip(value, -1, 1)[..., None]
    strength = _STRONGEST * np.abs(value)
    color = np.where(value > 0, _FALLS_RGB[::-1], _RISES_RGB[::-1])
    # Less contrast in the face than it has, so that neither its light nor its dark parts look like a part of the map.
    face = 128 + 0.6 * (crop[..., None].astype(np.float32) - 128)
    return np.asarray(np.rint(face * (1 - strength) + color * strength), np.uint8)


def largest_change(drop: npt.NDArray[np.floating], least: float = _LEAST_CHANGE) -> float:
    """The change that a map's strongest colour stands for: its largest one, or `least` where all are smaller."""
    return max(least, float(np.abs(drop).max()))


def _draw_cell(canvas: Image, photo: Image, one: Explanation, number: str) -> None:
    """One face: two panels with their titles, and the scale of the map."""
    (crop,) = align_faces(photo, np.array([one.corners_xy]), _SQUARE, (_PANEL_PX, _PANEL_PX))
    most = largest_change(one.drop)
    left, right, top = _MARGIN_PX, _MARGIN_PX + _PANEL_PX + _GAP_PX, 38
    canvas[top : top + _PANEL_PX, left : left + _PANEL_PX] = crop
    canvas[top : top + _PANEL_PX, right : right + _PANEL_PX] = heat_bgr(as_gray(crop), one.drop, most, _PANEL_PX)
    read = f"{number}{one.face.expression} {one.face.confidence:.0%}"
    _put(canvas, read, (left, 16), _FONT_PX, _INK)
    _put(canvas, f"what {one.expression} {one.probability:.0%} rests on", (right, 16), _FONT_PX, _INK)
    # A bar with the colours of the map, from where the probability rises to where it falls.
    bar = np.linspace(-most, most, _PANEL_PX, dtype=np.float32)[None].repeat(2, axis=0)
    scale = heat_bgr(np.full((_PANEL_PX, _PANEL_PX), 128, np.uint8), bar, most, _PANEL_PX)
    below = top + _PANEL_PX + _GAP_PX
    canvas[below : below + _BAR_PX, right : right + _PANEL_PX] = scale[:_BAR_PX]
    rises, falls = (f"{word} {100 * most:.0f} points" for word in ("rises", "falls"))
    below += _BAR_PX + 5
    put_text(canvas, rises, (right, below), _SMALL_PX, _SOFT_INK)
    put_text(canvas, falls, (right + _PANEL_PX - text_size(falls, _SMALL_PX)[0], below), _SMALL_PX, _SOFT_INK)


def _put(
    canvas: Image,
    text: str,
    left_top: tuple[int, int],
    font_px: int,
    color: tuple[int, int, int],
    most_px: int = _PANEL_PX,
) -> None:
    """A text no wider than `most_px`: a long one is written in smaller letters."""
    wide = text_size(text, font_px)[0]
    put_text(canvas, text, left_top, max(1, min(font_px, font_px * most_px // max(1, wide))), color)
