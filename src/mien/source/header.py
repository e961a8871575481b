"""What an image file says of itself before it is decoded: format, size, number of frames, whether it is whole.

OpenCV decodes, but it tells nothing beforehand; a decompression bomb must be refused, and a truncated file named,
without decoding. The formats' own specifications are the source of the offsets.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["ImageHeader", "read_header"]

_MOST_PAGES = 10_000


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of a file tell.

    Attributes
    ----------
    format : str
        Such as ``"JPEG"``; empty where the bytes are no image format that is known here.
    size_wh : (int, int) or None
        Width and height in pixels before EXIF rotation; None where it was not found.
    frames : int
        Number of pictures; above 1 for an animation, or a TIFF of several pages.
    truncated : bool
        True where the file surely ends too early.
    quarter_turns : int
        How often the picture must be turned anticlockwise by 90 degrees. Only read of AVIF: OpenCV turns the others.
    flip_axis : int or None
        The axis of the array along which it must be mirrored after that (0: top to bottom); likewise.
    extra_sample : int
        Only of TIFF, its tag ExtraSamples: 1 for associated (premultiplied) alpha, 2 for unassociated alpha, else 0.
    opaque : bool
        True where the file says that it has no transparent pixels. Only read of PNG and WebP.
    """

    format: str
    size_wh: tuple[int, int] | None = None
    frames: int = 1
    truncated: bool = False
    quarter_turns: int = 0
    flip_axis: int | None = None
    extra_sample: int = 0
    opaque: bool = False


def read_header(data: bytes) -> ImageHeader:
    """Read the header of an image file; never raises, whatever the bytes are."""
    for signature, name, reader in _FORMATS:
        if data.startswith(signature):
            if name == "WebP" and data[8:12] != b"WEBP":
                continue
            try:
                return reader(data)
            except (struct.error, IndexError):
                return ImageHeader(name, truncated=True)
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        # Some writers name the general kind first, and AVIF among those that it is compatible with.
        if brand in (b"avif", b"avis") or b"avif" in data[16 : int.from_bytes(data[:4], "big")][:64]:
            return _avif(data)
        if brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
            return ImageHeader("HEIC", _ispe_size(data))
    return ImageHeader("")


def _jpeg(data: bytes) -> ImageHeader:
    size: tuple[int, int] | None = None
    position = 2
    while True:
        while data[position] != 0xFF:
            position += 1
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        if marker == 0xDA:
            # Entropy-coded data follows; the end marker must come somewhere after it (an embedded thumbnail,
            # which has an end marker of its own, lies before).
            return ImageHeader("JPEG", size, truncated=data.rfind(b"\xff\xd9") < position)
        (length,) = struct.unpack_from(">H", data, position + 1)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 4)
            size = (width, height)
        position += 1 + length


def _png(data: bytes) -> ImageHeader:
    size = struct.unpack_from(">II", data, 16)
    opaque = data[25] not in (4, 6)  # gray or colours with a channel of their transparency
    frames = 1
    position = 8
    while True:
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        if kind == b"acTL":
            (frames,) = struct.unpack_from(">I", data, position + 8)
        if kind == b"tRNS":
            opaque = False
        if kind == b"IEND" or len(kind) < 4:
            return ImageHeader("PNG", size, frames, truncated=kind != b"IEND", opaque=opaque)
        position += 12 + length
        if position >= len(data):
            return ImageHeader("PNG", size, frames, truncated=True)


def _gif(data: bytes) -> ImageHeader:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    frames = 0
    truncated = False
    try:
        while data[position] != 0x3B:
            if data[position] == 0x2C:
                frames += 1
                local = data[position + 9]
                position += 11 + (3 << ((local & 7) + 1) if local & 0x80 else 0)
            else:
                position += 2
            while data[position]:
                position += data[position] + 1
            position += 1
    except IndexError:
        truncated = True
    return ImageHeader("GIF", (width, height), max(frames, 1), truncated)


def _webp(data: bytes) -> ImageHeader:
    (riff_length,) = struct.unpack_from("<I", data, 4)
    truncated = len(data) < riff_length + 8
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
        return ImageHeader("WebP", (width, height), truncated=truncated, opaque=True)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        size = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        return ImageHeader("WebP", size, truncated=truncated, opaque=not bits >> 28 & 1)
    width = int.from_bytes(data[24:27], "little") + 1
    height = int.from_bytes(data[27:30], "little") + 1
    frames = 0
    position = 12
    while position + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, position + 4)
        frames += data[position : position + 4] == b"ANMF"
        position += 8 + length + (length & 1)
    return ImageHeader("WebP", (width, height), max(frames, 1), truncated, opaque=not data[20] & 0x10)


def _bmp(data: bytes) -> ImageHeader:
    (length,) = struct.unpack_from("<I", data, 2)
    width, height = struct.unpack_from("<ii", data, 18)
    return ImageHeader("BMP", (abs(width), abs(height)), truncated=len(data) < length)


def _tiff(data: bytes) -> ImageHeader:
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    found: dict[int, int] = {}
    for index in range(count):
        tag, kind = struct.unpack_from(order + "HH", data, directory + 2 + 12 * index)
        if tag in (256, 257, 338):
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, directory + 10 + 12 * index)
    size = (found[256], found[257]) if 256 in found and 257 in found else None
    return ImageHeader("TIFF", size, _pages(data, order, directory), extra_sample=found.get(338, 0))


def _pages(data: bytes, order: str, directory: int) -> int:
    """How many pages a TIFF has from this directory on; reduced-resolution copies of a page do not count."""
    pages, seen = 0, set[int]()
    try:
        while directory and directory not in seen and len(seen) < _MOST_PAGES:
            seen.add(directory)
            count, tag, _, _, value = struct.unpack_from(order + "HHHII", data, directory)
            pages += not (tag == 254 and value & 1)  # the first, as they are sorted
            (directory,) = struct.unpack_from(order + "I", data, directory + 2 + 12 * count)
    except struct.error:
        pass  # what the first page says of itself holds all the same
    return max(pages, 1)


def _avif(data: bytes) -> ImageHeader:
    turns, axis = _small_property(data, b"irot"), _small_property(data, b"imir")
    return ImageHeader(
        "AVIF", _ispe_size(data), quarter_turns=(turns or 0) & 3, flip_axis=None if axis is None else axis & 1
    )


def _small_property(data: bytes, kind: bytes) -> int | None:
    """The first property of this kind in an ISO media file, of one byte; None where it has none."""
    position = data.find(b"\0\0\0\x09" + kind, 0, 65536)
    return None if position < 0 or position + 8 >= len(data) else data[position + 8]


def _ispe_size(data: bytes) -> tuple[int, int] | None:
    """The largest "image spatial extents" property of an ISO media file."""
    best: tuple[int, int] | None = None
    position = data.find(b"ispe", 0, 65536)
    while 0 <= position <= len(data) - 16:
        size: tuple[int, int] = struct.unpack_from(">II", data, position + 8)
        if best is None or size[0] * size[1] > best[0] * best[1]:
            best = size
        position = data.find(b"ispe", position + 4, 65536)
    return best


_FORMATS = (
    (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"\x89PNG\r\n\x1a\n", "PNG", _png),
    (b"GIF87a", "GIF", _gif),
    (b"GIF89a", "GIF", _gif),
    (b"RIFF", "WebP", _webp),
    (b"BM", "BMP", _bmp),
    (b"II*\x00", "TIFF", _tiff),
    (b"MM\x00*", "TIFF", _tiff),
)
