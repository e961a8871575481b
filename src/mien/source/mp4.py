"""What the index of an MP4 or QuickTime file says of its pictures (ISO/IEC 14496-12), and OpenCV does not pass on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

__all__ = ["Box", "boxes", "is_live_photo_clip", "picture_track"]

_FOLDERS = frozenset((b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"))
_ASKED_FOR = frozenset((b"mvhd", b"elst", b"mdhd", b"hdlr", b"stts", b"meta"))
_NO_PICTURES = frozenset((b"soun", b"text", b"sbtl", b"subt", b"tmcd"))
_DEEPEST = 5
_LIVE = b"com.apple.quicktime.content.identifier"
# More of these no video has; a file may say anything.
_MOST_BOXES = 100_000
_MOST_BYTES = 64 << 20


class Box(NamedTuple):
    """A part of the file.

    Attributes
    ----------
    kind : bytes
        Four of them.
    start : int
        Where its content begins, in bytes from the beginning of the file.
    stop : int
        Where the box says that it ends: past the end of the file where that is cut, before `start` where it is damaged.
    """

    kind: bytes
    start: int
    stop: int


def picture_track(path: str) -> tuple[float, float] | None:
    """Look at the first track of pictures.

    Parameters
    ----------
    path : str
        Of a file that can be read, whatever its bytes are.

    Returns
    -------
    shown_s : float
        The sum of its edits in seconds: telephones and quick cutters trim a video by them alone, and leave all pictures
        in the file. 0 where there are none.
    last_frame_s : float
        For how long the last picture of the file is shown, in seconds. 0 where that is not known.

    None is returned where all tracks are of sound or text.
    """
    film_ticks = 0
    tracks: list[dict[bytes, bytes]] = []
    with open(path, "rb") as file:  # noqa: PTH123 - a name of any kind
        for kind, body in _contents(file, 0, file.seek(0, 2)):
            if kind == b"mvhd":
                film_ticks = _ticks_a_second(body)
            elif kind == b"trak":
                tracks.append({})
            elif tracks:
                tracks[-1].setdefault(kind, body)  # QuickTime has a second "hdlr" within "minf"
    handlers = [track.get(b"hdlr", b"")[8:12] for track in tracks]
    if b"vide" not in handlers:
        return None if handlers and set(handlers) <= _NO_PICTURES else (0.0, 0.0)
    track = tracks[handlers.index(b"vide")]
    ticks = _ticks_a_second(track.get(b"mdhd", b""))
    last_frame_s = _number(track.get(b"stts", b"")[-4:]) / ticks if ticks else 0.0
    return _edited(track.get(b"elst", b"")) / film_ticks if film_ticks else 0.0, last_frame_s


def is_live_photo_clip(file: BinaryIO) -> bool:
    """Whether a file says that it belongs to a photo, as the clip of an iPhone's Live Photo does."""
    return any(kind == b"meta" and _LIVE in body for kind, body in _contents(file, 0, file.seek(0, 2)))


def boxes(file: BinaryIO, position: int, end: int) -> Iterator[Box]:
    """The boxes that lie side by side from a position on; one that is damaged, or reaches past the end, is the last."""
    for _ in range(_MOST_BOXES):
        if position + 8 > end:
            return
        file.seek(position)
        head = file.read(16)
        size, kind, used = _number(head[:4]), head[4:8], 8
        if size == 1:
            size, used = _number(head[8:16]), 16
        box = Box(kind, position + used, position + size if size else end)
        yield box
        if box.stop < box.start:
            return
        position = box.stop


def _contents(file: BinaryIO, position: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The boxes that are asked for and those within them, in order; of a box that holds others without its content."""
    if depth > _DEEPEST:
        return
    for kind, start, stop in boxes(file, position, end):
        if kind in _FOLDERS:
            yield kind, b""
            yield from _contents(file, start, min(stop, end), depth + 1)
        elif kind in _ASKED_FOR:
            file.seek(start)
            yield kind, file.read(max(0, min(stop - start, end - start, _MOST_BYTES)))


def _ticks_a_second(header: bytes) -> int:
    return _number(header[20:24] if header[:1] == b"\1" else header[12:16])


def _edited(edits: bytes) -> int:
    """The length of all edits, in ticks of the film, but for those that show nothing: a late start."""
    wide = 8 if edits[:1] == b"\1" else 4
    step = 2 * wide + 4
    starts = range(8, min(len(edits), 8 + step * _number(edits[4:8])) - step + 1, step)
    return sum(
        _number(edits[start : start + wide])
        for start in starts
        if edits[start + wide : start + 2 * wide] != b"\xff" * wide
    )


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
