"""Where the labels of faces go on a picture: beside their boxes, over no face, and never past the border."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.result import Face, Reading

__all__ = ["Tag", "place_tags"]

_SMALLEST_PX = 12
_NUMBER_PX = 11
# In a crowd, a label much wider than its face would seem to belong to the neighbours: it is cut down to the number.
_WIDEST = 2.5
# Inside the box only where it covers little of the face.
_INSIDE_SHARE = 0.2


@dataclass(frozen=True)
class Tag:
    """A label and its place.

    Attributes
    ----------
    text : str
    font_px : int
    pad_px : int
        Between the text and the border of the label.
    box_xyxy : (int, int, int, int)
        Left, top, right, bottom in pixels, within the picture; right and bottom are the first outside.
    """

    text: str
    font_px: int
    pad_px: int
    box_xyxy: tuple[int, int, int, int]


def place_tags(
    reading: Reading, size_wh: tuple[int, int], line_px: list[int], measure: Callable[[str, int], tuple[int, int]]
) -> list[Tag | None]:
    """Find a place for the label of each face.

    A face of several has its number (of a video: its person's) before the expression, and where there is no room for
    more, the number alone. A face without room for that has none.

    Parameters
    ----------
    reading : Reading
    size_wh : (int, int)
        Of the picture, in pixels.
    line_px : list of int
        How thick the line around each face is.
    measure : callable
        Takes a text and the size of its letters, and gives width and height in pixels.

    Returns
    -------
    list of Tag or None
        One for each face of the reading.
    """
    boxes = np.array([face.box_xyxy for face in reading.faces], np.float64).reshape(-1, 4)
    inset = 0.08 * (boxes[:, 2:] - boxes[:, :2])  # the corners of a box are not the face
    taken = [*np.hstack([boxes[:, :2] + inset, boxes[:, 2:] - inset])]
    tags: list[Tag | None] = [None] * len(reading.faces)
    # Persons of a video are served in the order of their numbers: labels stay where they were in the frame before.
    order = sorted(range(len(tags)), key=lambda index: reading.faces[index].track_id or 0)
    for index in order:
        face = reading.faces[index]
        number = str(face.track_id) if face.track_id is not None else str(index + 1) if len(tags) > 1 else ""
        others = np.array([*taken[:index], *taken[index + 1 :]]).reshape(-1, 4)
        tag = next(_places(face, number, size_wh, line_px[index], measure, others), None)
        if tag is not None:
            tags[index] = tag
            taken.append(np.array(tag.box_xyxy, np.float64))
    return tags


def _places(
    face: Face,
    number: str,
    size_wh: tuple[int, int],
    line_px: int,
    measure: Callable[[str, int], tuple[int, int]],
    others: npt.NDArray[np.float64],
) -> Iterator[Tag]:
    """Labels that fit, the best first: all of the text, then smaller, then the number."""
    left, top, right, bottom = face.box_xyxy
    # Letters follow the picture, but a small face in a large crowd gets a small label.
    font_px = round(max(_SMALLEST_PX, min(max(size_wh) / 45, 0.22 * (right - left))))
    said = f"{face.expression} {face.confidence:.0%}"
    texts = [(f"{number}  {said}" if number else said, size) for size in dict.fromkeys((font_px, _SMALLEST_PX))]
    if number:
        texts.append((number, _NUMBER_PX))
    edge = line_px / 2
    for text, size in texts:
        pad = max(3, size // 4)
        width, height = (value + 2 * pad for value in measure(text, size))
        if number and text != number and width > _WIDEST * (right - left):
            continue
        # Past the border they move along the box, and never onto it.
        starts = [
            _within(x, size_wh[0] - width) for x in (left - edge, right + edge - width, (left + right - width) / 2)
        ]
        heights = [_within(y, size_wh[1] - height) for y in (top - edge, bottom + edge - height)]
        spots = [(x, y) for y in (top - edge - height, bottom + edge) for x in starts]
        spots += [(x, y) for x in (right + edge, left - edge - width) for y in heights]
        if height <= _INSIDE_SHARE * (bottom - top) and width <= right - left:
            spots += [(x, y) for y in (max(0.0, top + edge), bottom - edge - height) for x in starts[:2]]
        for x, y in ((round(x), round(y)) for x, y in spots):
            box = (x, y, x + width, y + height)
            inside = x >= 0 and y >= 0 and box[2] <= size_wh[0] and box[3] <= size_wh[1]
            if inside and not _touches(box, others):
                yield Tag(text, size, pad, box)


def _within(start: float, most: float) -> float:
    return min(max(start, 0.0), most)


def _touches(box_xyxy: tuple[int, int, int, int], others: npt.NDArray[np.float64]) -> bool:
    left, top, right, bottom = box_xyxy
    apart = (others[:, 0] >= right) | (others[:, 2] <= left) | (others[:, 1] >= bottom) | (others[:, 3] <= top)
    return not apart.all()
