"""What the index of an MP4 or QuickTime file says of its pictures (ISO/IEC 14496-12), and OpenCV does not pass on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["is_live_photo_clip", "picture_track"]

_FOLDERS = (b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl")
_NO_PICTURES = frozenset((b"soun", b"text", b"sbtl", b"subt", b"tmcd"))
_DEEPEST = 5
_LIVE = b"com.apple.quicktime.content.identifier"
# More of these no video has; a file may say anything.
_MOST_BOXES = 100_000
_MOST_BYTES = 64 << 20


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
        for kind, body in _boxes(file, 0, file.seek(0, 2)):
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
    return any(kind == b"meta" and _LIVE in body for kind, body in _boxes(file, 0, file.seek(0, 2)))


def _boxes(file: BinaryIO, position: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The boxes that are asked for and those within them, in order; of a box that holds others without its content."""
    for _ in range(_MOST_BOXES):
        if position + 8 > end or depth > _DEEPEST:
            return
        file.seek(position)
        head = file.read(16)
        size, kind, used = _number(head[:4]), head[4:8], 8
        if size == 1:
            size, used = _number(head[8:16]), 16
        stop = min(position + size, end) if size else end
        if stop < position + used:
            return
        if kind in _FOLDERS:
            yield kind, b""
            yield from _boxes(file, position + used, stop, depth + 1)
        elif kind in (b"mvhd", b"elst", b"mdhd", b"hdlr", b"stts", b"meta"):
            file.seek(position + used)
            yield kind, file.read(min(stop - position - used, _MOST_BYTES))
        position = stop


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
