"""From a template and values to a file."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien import __version__
from mien.errors import import_extra
from mien.files import check_destination, utf8_text, write_atomically
from mien.opencv import encode_png

__all__ = ["picture_strip", "picture_uri", "render", "write_page"]

_TEMPLATES = Path(__file__).parent / "templates"
_GAP_PX = 2


def picture_uri(image: npt.NDArray[np.uint8]) -> str:
    """An image, uint8 of shape (H, W) or (H, W, 3), as the ``src`` of an HTML image."""
    return "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()


def picture_strip(images: Sequence[npt.NDArray[np.uint8]], columns: int) -> npt.NDArray[np.uint8]:
    """Lay gray images of one size out in rows; gaps and empty places are transparent.

    Returns
    -------
    uint8 array of shape (H, W, 4)
        BGRA.
    """
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    strip = np.zeros((rows * (height + _GAP_PX) - _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX, 4), np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = row * (height + _GAP_PX), column * (width + _GAP_PX)
        strip[top : top + height, left : left + width, :3] = image[:, :, None]
        strip[top : top + height, left : left + width, 3] = 255
    return strip


def render(template: str, *, folder: Path = _TEMPLATES, **values: Any) -> str:
    """Fill a template of `folder` or of this package's own one; text is escaped, charts are not.

    What comes can be written as UTF-8, also where a file's name is none.
    """
    import_extra("Writing pages", "jinja2", "data")
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = lambda name: str(name).removeprefix(f"{values.get('only_source')} ")
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["ratio"] = lambda value: f"{value:.2f}" if math.isfinite(value) else "\N{INFINITY}"
    environment.filters["minus"] = _minus
    environment.filters["percent"] = lambda value: f"{100 * value:.1f} %"
    return utf8_text(environment.get_template(template).render(version=__version__, **values))


def _minus(text: str) -> str:
    """Signed numbers as they are printed: with a minus sign in place of the hyphen, and zero without a sign."""
    text = re.sub(r"[+-](0(?:\.0+)?)(?![\d.])", r"\1", text)
    return re.sub(r"-(?=\d)", "\N{MINUS SIGN}", text)


def write_page(path: str | os.PathLike[str], text: str) -> None:
    """Write a page; whole or not at all (UsageError, OutputError)."""
    write_atomically(check_destination(path, ".html"), text.encode())
