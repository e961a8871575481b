"""What an image file says of itself before it is decoded: format, size, number of frames, whether it is whole.

OpenCV decodes, but it tells nothing beforehand; a decompression bomb must be refused, and a truncated file named,
without decoding. The formats' own specifications are the source of the offsets.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

__all__ = ["AVIF_BRANDS", "HEIC_BRANDS", "ImageHeader", "read_header"]

AVIF_BRANDS = (b"avif", b"avis")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
"""What photos call themselves in containers that are else those of videos."""

_MOST_PAGES = 10_000
_MOST_EXTENTS = 1000
_MOST_SEGMENTS = 10_000
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Of a JPEG, within or behind coded pixels: restart markers belong to these."""
# To OpenCV a number ends with the byte after it, whatever that is; only of white space both read the same.
_PNM_SIZE = re.compile(rb"P[1-6]\s(?:\s|#[^\r\n]*[\r\n])*(\d{1,9})\s(?:\s|#[^\r\n]*[\r\n])*(\d{1,9})\s")
_PNM_BYTES = 4096
_J2K_START = b"\xff\x4f\xff\x51"


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of a file tell.

    Attributes
    ----------
    format : str
        Such as ``"JPEG"``; empty where the bytes are no image format that is known here.
    size_wh : (int, int) or None
        Width and height in pixels before EXIF rotation; None where it was not found, or the file contradicts itself.
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
    scans : int
        How often a decoder goes over the picture: of a progressive JPEG several times, else once.
    """

    format: str
    size_wh: tuple[int, int] | None = None
    frames: int = 1
    truncated: bool = False
    quarter_turns: int = 0
    flip_axis: int | None = None
    extra_sample: int = 0
    opaque: bool = False
    scans: int = 1


def read_header(data: bytes) -> ImageHeader:
    """Read the header of an image file; never raises, whatever the bytes are."""
    for signature, name, reader in _FORMATS:
        if data.startswith(signature):
            if name == "WebP" and data[8:12] != b"WEBP":
                continue
            try:
                return reader(data)
            except (struct.error, IndexError, OverflowError):
                return ImageHeader(name, truncated=True)
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        # Some writers name the general kind first, and AVIF among those that it is compatible with.
        if brand in AVIF_BRANDS or b"avif" in data[16 : int.from_bytes(data[:4], "big")][:64]:
            return _avif(data)
        if brand in HEIC_BRANDS:
            return ImageHeader("HEIC", _ispe_size(data))
    return ImageHeader("")


def _jpeg(data: bytes) -> ImageHeader:
    size: tuple[int, int] | None = None
    position = 2
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            return ImageHeader("JPEG", truncated=True)
        position, marker = found.end(), data[found.end() - 1]
        if marker == 0xDA:
            # Entropy-coded data follows; the end marker must come somewhere after it (an embedded thumbnail,
            # which has an end marker of its own, lies before).
            truncated = data.rfind(b"\xff\xd9") < position
            return ImageHeader("JPEG", size, truncated=truncated, scans=_jpeg_scans(data, position))
        if marker == 0x01 or 0xD0 <= marker <= 0xD9:  # these stand alone
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 3)
            size = (width, height)
        position += length
    return ImageHeader("JPEG")


def _jpeg_scans(data: bytes, position: int) -> int:
    """How many scans a JPEG has, of which the first one's header begins here; very many are not counted."""
    scans = 1
    for _ in range(_MOST_SEGMENTS):
        found = _NEXT_MARKER.search(data, position)
        if found is None or data[found.end() - 1] == 0xD9:
            return scans
        position, marker = found.end(), data[found.end() - 1]
        scans += marker == 0xDA
        if marker >= 0xC0:  # what belongs to it may hold bytes like a marker's
            position += int.from_bytes(data[position : position + 2], "big")
    return _MOST_SEGMENTS


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
        if kind == b"IEND":
            return ImageHeader("PNG", size, frames, opaque=opaque)
        position += 12 + length


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
    if kind != b"VP8X":  # pixels without any header of theirs, which libwebp takes too
        return ImageHeader("WebP", truncated=truncated)
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
    length, header_length = struct.unpack_from("<I8xI", data, 2)
    width, height = struct.unpack_from("<HH" if header_length == 12 else "<ii", data, 18)
    return ImageHeader("BMP", (abs(width), abs(height)), truncated=len(data) < length)


def _tiff(data: bytes) -> ImageHeader:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")  # with numbers of 64 bits
    (directory,) = struct.unpack_from(order + ("8xQ" if big else "4xI"), data)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, directory)
    first, step, inside = (directory + 8, 20, 12) if big else (directory + 2, 12, 8)
    forms = {3: "H", 4: "I", **({16: "Q"} if big else {})}
    found: dict[int, int | None] = {}
    for position in range(first, first + step * count, step):
        tag, kind = struct.unpack_from(order + "HH", data, position)
        if tag in (256, 257, 338):
            # What is of another type, or comes twice, libtiff reads in ways of its own.
            known = kind in forms and tag not in found
            found[tag] = struct.unpack_from(order + forms[kind], data, position + inside)[0] if known else None
    width, height = found.get(256), found.get(257)
    size = None if width is None or height is None else (width, height)
    return ImageHeader("TIFF", size, 1 if big else _pages(data, order, directory), extra_sample=found.get(338) or 0)


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
        "AVIF",
        _ispe_size(data),
        _sequence_frames(data),
        quarter_turns=(turns or 0) & 3,
        flip_axis=None if axis is None else axis & 1,
    )


def _sequence_frames(data: bytes) -> int:
    """The pictures of an ISO media file that is an animation: the samples of its first track."""
    position = data.find(b"stsz") if b"avis" in data[8 : int.from_bytes(data[:4], "big")][:64] else -1
    return max(1, int.from_bytes(data[position + 12 : position + 16], "big")) if position >= 0 else 1


def _small_property(data: bytes, kind: bytes) -> int | None:
    """The first property of this kind in an ISO media file, of one byte; None where it has none."""
    position = data.find(b"\0\0\0\x09" + kind, 0, 65536)
    return None if position < 0 or position + 8 >= len(data) else data[position + 8]


def _ispe_size(data: bytes) -> tuple[int, int] | None:
    """The largest "image spatial extents" property of an ISO media file."""
    best: tuple[int, int] | None = None
    position, count = data.find(b"ispe"), 0
    while 0 <= position <= len(data) - 16:
        size: tuple[int, int] = struct.unpack_from(">II", data, position + 8)
        if best is None or size[0] * size[1] > best[0] * best[1]:
            best = size
        position, count = data.find(b"ispe", position + 4), count + 1
        if count > _MOST_EXTENTS:
            return None
    return best


def _jp2(data: bytes) -> ImageHeader:
    position = 0
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        if kind == b"jp2c":
            return _j2k(data, start)
        if position + length < start:
            return ImageHeader("JPEG 2000")
        position += length


def _j2k(data: bytes, position: int = 0) -> ImageHeader:
    if data[position : position + 4] != _J2K_START:
        return ImageHeader("JPEG 2000")
    right, bottom, left, top = struct.unpack_from(">4I", data, position + 8)
    return ImageHeader("JPEG 2000", (right - left, bottom - top) if right > left and bottom > top else None)


def _pnm(data: bytes) -> ImageHeader:
    found = _PNM_SIZE.match(data, 0, _PNM_BYTES)
    return ImageHeader("PNM", found and (int(found[1]), int(found[2])))


_FORMATS = (
    (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"\x89PNG\r\n\x1a\n", "PNG", _png),
    (b"GIF87a", "GIF", _gif),
    (b"GIF89a", "GIF", _gif),
    (b"RIFF", "WebP", _webp),
    (b"BM", "BMP", _bmp),
    (b"II*\x00", "TIFF", _tiff),
    (b"MM\x00*", "TIFF", _tiff),
    (b"II+\x00", "TIFF", _tiff),
    (b"MM\x00+", "TIFF", _tiff),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000", _jp2),
    (_J2K_START, "JPEG 2000", _j2k),
    *((b"P%d" % number, "PNM", _pnm) for number in range(1, 7)),
)
