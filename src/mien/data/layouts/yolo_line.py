"""A line of YOLO's labels: the class and the box, or the polygon, of one object."""

from __future__ import annotations

from mien.errors import InputError

__all__ = ["SHARE_SLACK", "parse_box"]

_BOX_CELLS = (5, 6)
"""Numbers in a line of a box; the sixth is a score."""
SHARE_SLACK = 0.02
"""How far outside of its photo something may lie."""
# Cells of a line with five landmarks of two or three numbers; from seven on others are polygons.
_LANDMARK_CELLS = (15, 20)
_EXPECTED = "'class x y w h', the middle and the size of a box in shares of the photo from 0 to 1, or a polygon in such"


def parse_box(cells: list[str], where: str) -> tuple[str, list[float]]:
    """The class and the box of a line: left, top, right and bottom in shares of the photo.

    Raises
    ------
    InputError
        If it is neither a box nor a polygon.
    """
    kind = cells[0].removesuffix(".0") if cells else ""
    try:
        values = [float(cell) for cell in cells[1:]]
    except ValueError:
        values = []
    polygon = len(cells) > max(_BOX_CELLS) and len(cells) % 2 == 1 and not _has_landmarks(values)
    told = values if polygon else values[:4]
    known = polygon or len(cells) in (*_BOX_CELLS, *_LANDMARK_CELLS)
    inside = bool(told) and all(-SHARE_SLACK <= value <= 1 + SHARE_SLACK for value in told)
    if not (kind.isdigit() and known and inside):
        raise InputError(where, f"'{' '.join(cells)[:60]}'; expected {_EXPECTED}")
    if polygon:
        return kind, [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
    x, y, w, h = told
    return kind, [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def _has_landmarks(values: list[float]) -> bool:
    """Whether these are a box and five points in it, and not the seven corners of a polygon."""
    if len(values) != _LANDMARK_CELLS[0] - 1:
        return False
    x, y, w, h = values[:4]
    points = zip(values[4::2], values[5::2], strict=True)
    return all(abs(px - x) <= w / 2 and abs(py - y) <= h / 2 for px, py in points)
