"""Between stored image bytes and pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from mien.errors import InputError
from mien.opencv import completed, quiet_opencv
from mien.source.header import read_header
from mien.source.image import DEFAULT_MAX_MEGAPIXELS, MOST_SCANS, decode_image

__all__ = [
    "check_box",
    "cut_face",
    "decode_gray",
    "decode_gray_or_color",
    "enlarged",
    "fit_square",
    "parse_pixels",
    "scaled_box",
]

GrayImage = npt.NDArray[np.uint8]

# OpenCV refuses a WebP of fewer than 32 bytes, and a black face takes 30; bytes after the end do no harm.
_SHORTEST = 32
# A face that fills a picture of 48 px is found more surely in one of twice that size.
_LEAST_FOR_DETECTOR_PX = 96
_LARGEST_ENLARGED_PX = 1024  # no face is in a strip, and enlarged it would take any amount of memory
_TRANSPARENT_OR_TURNED = ("PNG", "WebP", "GIF", "TIFF", "AVIF")


def decode_gray(data: bytes, source: str) -> GrayImage:
    """Decode an image file's bytes to gray, as recognition sees it: upright, transparent pixels over white.

    Raises
    ------
    InputError
        If the bytes are no whole image.
    """
    image = None
    if data and _is_plain(data):
        with quiet_opencv():
            image = cv2.imdecode(np.frombuffer(data.ljust(_SHORTEST, b"\0"), np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        # Slower, but it handles transparency, and says why something cannot be decoded.
        image = decode_image(data, source).gray
    return np.asarray(image, np.uint8)


def decode_gray_or_color(data: bytes, source: str) -> npt.NDArray[np.uint8]:
    """Decode an image file's bytes: gray (H, W) if it is a gray file, else BGR (H, W, 3); upright, of 8 bits.

    Raises
    ------
    InputError
        If the bytes are no whole image.
    """
    with quiet_opencv():
        stored = cv2.imdecode(np.frombuffer(data.ljust(_SHORTEST, b"\0"), np.uint8), cv2.IMREAD_UNCHANGED)
    # Its pixels as they are stored need be neither upright nor of 8 bits.
    is_gray = stored is not None and stored.ndim == 2
    return decode_gray(data, source) if is_gray else decode_image(data, source).image


def _is_plain(data: bytes) -> bool:
    """Whether OpenCV's gray is all that there is to see: nothing is transparent, nor turned in a way of its own.

    And whether it may be decoded at all: what is too large is left to `decode_image`, which says so.
    """
    header = read_header(data)
    if header.size_wh is None or header.scans > MOST_SCANS:
        return False
    if header.size_wh[0] * header.size_wh[1] > DEFAULT_MAX_MEGAPIXELS * 1e6:
        return False
    return header.opaque or header.format not in _TRANSPARENT_OR_TURNED


def parse_pixels(text: str, source: str, side_px: int | None = 48) -> GrayImage:
    """Turn numbers between spaces into a square gray image.

    Parameters
    ----------
    text : str
        Whole numbers from 0 to 255, row by row.
    source : str
        What the text is, for the error.
    side_px : int or None
        Expected width and height; None for any square.

    Raises
    ------
    InputError
        If the count is wrong, or a value is no number from 0 to 255.
    """
    expected = "a square number of pixels" if side_px is None else f"{side_px * side_px} pixels ({side_px} x {side_px})"
    if not text.strip():
        raise InputError(source, f"no pixel values; expected {expected}")
    try:
        # Four times as fast as splitting, and stricter than np.fromstring.
        values = np.loadtxt([text.replace("\n", " ")], np.int64, comments=None, ndmin=1)
    except (ValueError, OverflowError):
        bad = next((word for word in text.split() if not word.isdigit()), text[:20])
        raise InputError(source, f"pixel value '{bad[:20]}' is no number; expected {expected} from 0 to 255") from None
    side = side_px or int(len(values) ** 0.5)
    if len(values) != side * side or not side:
        raise InputError(source, f"{len(values)} pixel values; expected {expected}")
    if values.min() < 0 or values.max() > 255:
        raise InputError(source, f"pixel values from {values.min()} to {values.max()}; expected 0 to 255")
    return values.astype(np.uint8).reshape(side, side)


def cut_face(image: GrayImage, box_xyxy: Sequence[float] | None) -> GrayImage:
    """The part of an image inside a box; the whole image without a box, or where the box misses the image."""
    if box_xyxy is None:
        return image
    height, width = image.shape[:2]
    left, top, right, bottom = (round(float(value)) for value in box_xyxy)
    part = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    return part if part.size else image


def scaled_box(shares: Sequence[float], image: GrayImage) -> list[float]:
    """A box in shares of an image's width and height, in its pixels."""
    height, width = image.shape[:2]
    return [share * side for share, side in zip(shares, (width, height) * 2, strict=True)]


def check_box(box_xyxy: Sequence[float] | None, image: GrayImage, where: str) -> None:
    """Some of the image must be in a box: what is cut out by an empty one would be the whole image."""
    if box_xyxy is None:
        return
    height, width = image.shape[:2]
    if all(map(math.isfinite, box_xyxy)):
        left, top, right, bottom = (round(float(value)) for value in box_xyxy)
        if max(left, 0) < min(right, width) and max(top, 0) < min(bottom, height):
            return
    box = ", ".join(f"{value:g}" for value in box_xyxy)
    raise InputError(where, f"box ({box}) holds nothing of the image of {width} x {height} pixels")


def fit_square(image: GrayImage, size_px: int) -> GrayImage:
    """Scale to a square of `size_px`; sides of other proportions are first completed by their mirror image."""
    square = completed(image, 1.0)
    if square.shape[0] == size_px:
        return square
    interpolation = cv2.INTER_AREA if square.shape[0] > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (size_px, size_px), interpolation=interpolation), np.uint8)


def enlarged(image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], int]:
    """A picture as a face detector gets it, and the whole factor by which it was enlarged, if it is a small crop."""
    shorter, longer = sorted(image.shape[:2])
    factor = min(-(-_LEAST_FOR_DETECTOR_PX // shorter), _LARGEST_ENLARGED_PX // longer)
    if factor <= 1:
        return image, 1
    larger = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    return np.asarray(larger, np.uint8), factor
