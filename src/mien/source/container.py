"""What the bytes of a video file tell without decoding: the kind of its container, and whether its end is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mien.source.header import AVIF_BRANDS, HEIC_BRANDS
from mien.source.mp4 import boxes, picture_track

__all__ = ["Container", "beginning", "container_kind", "read_container"]

_SIGNATURES = {
    b"\x1a\x45\xdf\xa3": "Matroska or WebM",
    b"FLV\x01": "FLV",
    b"\x00\x00\x01\xba": "MPEG",
    b"\x00\x00\x01\xb3": "MPEG",
    b"OggS": "Ogg",
    b"\x30\x26\xb2\x75": "WMV",
}


@dataclass(frozen=True)
class Container:
    """A video file's container.

    Attributes
    ----------
    kind : str
        Such as ``"MP4"``; empty where the bytes are no video container that is known here.
    cut : bool
        True where the file surely ends too early.
    indexed : bool
        True where the file's number of frames comes from an index of them all, and is no estimate.
    boxes : tuple of bytes
        For MP4 and QuickTime the kinds of the outermost boxes.
    shown_s : float
        How much of the pictures is shown, where they were trimmed without being written anew; else 0.
    last_frame_s : float
        How long the last picture is shown, as the index says; 0 where there is none.
    sound_alone : bool
        True where the index has tracks of sound alone; the cover of an album is none of pictures.
    """

    kind: str
    cut: bool = False
    indexed: bool = False
    boxes: tuple[bytes, ...] = ()
    shown_s: float = 0.0
    last_frame_s: float = 0.0
    sound_alone: bool = False


def read_container(path: str) -> Container:
    """Look at a file; never raises, whatever the bytes are."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(512)
            length = file.seek(0, 2)
    except (OSError, ValueError):
        return Container("")
    kind = container_kind(data)
    if kind in ("MP4", "QuickTime"):
        kinds, cut = _outermost(Path(path), length)
        indexed = b"moov" in kinds and b"moof" not in kinds
        track = picture_track(path) if indexed else (0.0, 0.0)
        return Container(kind, cut, indexed, kinds, *(track or (0.0, 0.0)), sound_alone=track is None)
    if kind == "AVI":
        return Container(kind, int.from_bytes(data[4:8], "little") + 8 > length)
    return Container(kind, kind.startswith("Matroska") and _segment_end(data) > length)


def beginning(start: bytes) -> str:
    """What a file of no known kind begins with, in words: text without the marks of Python's bytes."""
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return f"text: it starts with {start.decode('ascii')!r}"
    return f"unknown data: it starts with {start!r}"


def container_kind(data: bytes) -> str:
    """The kind of video container that begins with these bytes; empty if it is unknown."""
    box = data[4:8]
    if box == b"ftyp" and data[8:12] not in (*AVIF_BRANDS, *HEIC_BRANDS):
        return "QuickTime" if data[8:12] == b"qt  " else "MP4"
    if box in (b"moov", b"mdat", b"wide"):
        return "QuickTime"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "AVI"
    if len(data) > 376 and data[0] == data[188] == data[376] == 0x47:
        return "MPEG-TS"
    return _SIGNATURES.get(data[:4], "")


def _outermost(path: Path, length: int) -> tuple[tuple[bytes, ...], bool]:
    """Kinds of the outermost boxes of an ISO media file, and whether the last one reaches past the end."""
    kinds: list[bytes] = []
    cut = False
    with path.open("rb") as file:
        for kind, start, stop in boxes(file, 0, length):
            if not kind.isascii():
                return tuple(kinds), True
            kinds.append(kind)
            cut = not start <= stop <= length
    return tuple(kinds), cut


def _segment_end(data: bytes) -> int:
    """Where a Matroska file's one segment ends; 0 where it does not say."""
    header_size, used = _ebml_number(data[4:12])
    start = 4 + used + header_size
    if data[start : start + 4] != b"\x18\x53\x80\x67":
        return 0
    size, used = _ebml_number(data[start + 4 : start + 12])
    return start + 4 + used + size if size else 0


def _ebml_number(data: bytes) -> tuple[int, int]:
    """A number of variable length, and how many bytes it takes; 0 for "unknown"."""
    if not data or not data[0]:
        return 0, 1
    used = 9 - data[0].bit_length()
    value = int.from_bytes(data[:used], "big") & ((1 << 7 * used) - 1)
    return (0 if value == (1 << 7 * used) - 1 else value), used
