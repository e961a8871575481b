"""From what a person names (a folder, a pattern, a table, shards, videos, an address) to the sources of the plan."""

from __future__ import annotations

import codecs
import glob
import hashlib
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from mien.cluster.options import BatchOptions
from mien.cluster.storage import before_magic, forward, is_local, local_path, open_address, reason, split_address
from mien.cluster.table import cut_table, find_columns, read_addresses, read_keys, slashes
from mien.errors import InputError, UsageError
from mien.source.name import (
    A_PIPE,
    HIDDEN,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    is_pipe,
    shown_name,
    without_live_photo_clips,
)

__all__ = ["Source", "cut_parts", "list_sources"]

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_SHARES = 16
_SMALLEST_PART = 32
_BATCH = 16
_LEAST_BYTES_A_SECOND = 8
TABLE_SUFFIXES = (".parquet", ".csv", ".tsv")


@dataclass(frozen=True)
class Source:
    """One line of the plan.

    Attributes
    ----------
    kind : {"photo", "rows", "shard", "video"}
        One photo; rows of a table that hold image bytes; a tar file of photos; a segment of a video.
    key : str
        What names the photo or the segment in the result; of rows and a shard the start of their photos' keys.
    address : str
        Where it is.
    start, stop : float or None
        Of rows the first and the one after the last, of a segment seconds; None for the whole.
    """

    kind: str
    key: str
    address: str
    start: float | None = None
    stop: float | None = None


def list_sources(address: str, options: BatchOptions) -> Iterator[Source]:
    """List what an address names, each thing once, in an order that does not change.

    Parameters
    ----------
    address : str
        A photo, a video, a tar shard, a folder or a pattern of these; a ``.parquet``, ``.csv`` or ``.tsv`` table, a
        ``.txt`` list of addresses (one a line). Any of them of this machine or of any place that fsspec knows.
    options : BatchOptions

    Raises
    ------
    UsageError
        If it cannot be opened, or names nothing to read.

    Warns
    -----
    MienWarning
        If a folder or pattern gives Live Photos: their clips are left out.
    """
    suffix = address.rpartition(".")[2].lower()
    found: Iterable[Source]
    try:
        if suffix == "txt":
            found = _named_in_list(address, options)
        else:
            files = _files(address, tables=options.column is not None)
            files = without_live_photo_clips(files, itemgetter(1), address, open_address)
            found = (source for key, place in files for source in _of_file(key, place, options))
        # A folder names nothing twice; a list may, and is remembered as eight bytes a key.
        listed = suffix in ("txt", "csv", "tsv", "parquet")
        seen: set[int] = set()
        empty = True
        for source in found:
            empty = False
            if listed:
                mark = _mark(f"{source.key}\0{source.start}")
                if mark in seen:
                    continue
                seen.add(mark)
            yield source
    except (UsageError, InputError):
        raise
    except Exception as error:  # every file system of fsspec has errors of its own
        why = reason(error)
        if isinstance(error, UnicodeError) or "invalid UTF8" in why:  # the second is pyarrow's
            how = "save it so, as spreadsheets do as 'CSV UTF-8'"
            raise UsageError(f"{shown_name(address)}: is not UTF-8; {how}") from error
        raise UsageError(f"{shown_name(address)}: cannot be read ({why})") from error
    if empty:
        raise UsageError(
            f"{shown_name(address)}: holds no photos, videos or tar shards (looked in its subfolders too; a table is "
            "read when it is named, or with --column)"
        )


def cut_parts(sources: Iterable[Source], part_size: int) -> Iterator[list[Source]]:
    """Cut the sources into parts: up to `part_size` photos, or one of anything else.

    No part holds more than a sixteenth of the photos that are left, down to 32: the parts become smaller towards the
    end, so that no worker has much to do when the others have nothing left. That depends on the sources alone.
    """
    left = iter(sources)
    ahead = deque(islice(left, part_size * _SHARES))
    photos: list[Source] = []
    size = 0
    while ahead:
        source = ahead.popleft()
        ahead.extend(islice(left, 1))
        if source.kind != "photo":
            yield [source]
            continue
        if not photos:
            share = math.ceil((len(ahead) + 1) / (_SHARES * _BATCH)) * _BATCH
            size = min(part_size, max(share, _SMALLEST_PART))
        photos.append(source)
        if len(photos) == size:
            yield photos
            photos = []
    if photos:
        yield photos


def _files(address: str, tables: bool) -> Iterator[tuple[str, str]]:
    """Key and address of each file that is named; keys are relative to the folder, so that it may move.

    Tables in a folder are left out unless they are asked for: a table beside photos may be anything, and what it names
    would be fetched.
    """
    if not is_local(address):
        yield from _remote_files(address, tables)
        return
    path = local_path(address)
    if os.path.isdir(path):  # noqa: PTH112 - Path would change how the name is shown
        yield from ((key, place) for key, place in _walk(path) if tables or not _is_table(place))
    elif os.path.lexists(path):
        yield Path(path).name, path
    elif glob.has_magic(path):
        fixed = before_magic(path).rpartition("/")[0]
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - likewise
        for match in matches:
            if os.path.isfile(match):  # noqa: PTH113
                place = forward(match)
                yield place[len(fixed) :].lstrip("/"), place
        if not matches:
            raise UsageError(f"{address}: the pattern matches no file")
    else:
        raise UsageError(f"{address}: no such file or folder")


def _walk(root: str) -> Iterator[tuple[str, str]]:
    def blocked(error: OSError) -> None:
        raise UsageError(f"{error.filename}: {reason(error)} to look into this folder") from error

    for folder, subfolders, names in os.walk(root, onerror=blocked):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(HIDDEN))
        for name in sorted(names):
            if not name.startswith(HIDDEN):
                path = os.path.join(folder, name)  # noqa: PTH118
                yield forward(os.path.relpath(path, root)), forward(path)


def _remote_files(address: str, tables: bool) -> Iterator[tuple[str, str]]:
    system, path = split_address(address)
    scheme = address.partition("://")[0]
    matches: Iterable[str]
    if glob.has_magic(path) and scheme not in ("http", "https"):
        fixed = before_magic(path).rpartition("/")[0]
        matches = sorted(system.glob(path))
    elif scheme in ("http", "https") and Path(path.partition("?")[0]).suffix:
        fixed, matches = path.rpartition("/")[0], [path]  # a file: a server need not be asked for a listing
    elif system.isdir(path):
        fixed, matches = path, (name for name in _below(system, path) if tables or not _is_table(name))
    elif system.exists(path):
        fixed, matches = path.rpartition("/")[0], [path]
    else:
        raise UsageError(f"{shown_name(address)}: no such file or folder")
    fixed = fixed.rstrip("/") + "/" if fixed else ""
    for match in matches:
        key = match.removeprefix(fixed).lstrip("/")
        if not any(step.startswith(HIDDEN) for step in key.split("/")):
            yield key, system.unstrip_protocol(match)


def _is_table(name: str) -> bool:
    return name.lower().endswith(TABLE_SUFFIXES)


def _below(system: Any, folder: str) -> Iterator[str]:
    """The files below a folder, one of its subfolders after the other: a listing takes a kilobyte of memory a file."""
    for entry in sorted(system.ls(folder, detail=True), key=lambda entry: str(entry["name"])):
        name = str(entry["name"])
        if entry["type"] == "directory":
            yield from sorted(system.find(name))
            system.invalidate_cache()
        elif name.rstrip("/") != folder.rstrip("/"):
            yield name


def _of_file(key: str, address: str, options: BatchOptions) -> Iterator[Source]:
    """What a file is, by its suffix; nothing for files of other kinds."""
    # A question mark begins the query of a web address; elsewhere it is a character as any other.
    plain = address.partition("?")[0] if address.startswith(("http://", "https://")) else address
    suffix = os.path.splitext(plain)[1].lower()  # noqa: PTH122 - ten million times
    key = shown_name(key)
    if plain.lower().endswith(SHARD_SUFFIXES):
        yield Source("shard", key, address)
    elif suffix in IMAGE_SUFFIXES:
        yield Source("photo", key, address)
    elif suffix in VIDEO_SUFFIXES:
        yield from _segments(key, address, options.segment_s)
    elif suffix in TABLE_SUFFIXES:
        if is_local(address) and is_pipe(local_path(address)):  # the plan would wait for whoever writes
            raise UsageError(f"{shown_name(address)}: {A_PIPE}")
        yield from _of_table(key, address, options)


def _of_table(key: str, address: str, options: BatchOptions) -> Iterator[Source]:
    columns = find_columns(address, options.column, options.key_column)
    if columns.holds_bytes:
        if columns.key is not None:
            _check_keys(address, columns.key)
        yield from (Source("rows", key, address, start, stop) for start, stop in cut_table(address, options.part_size))
        return
    places: dict[int, int] = {}
    for name, place in read_addresses(address, columns):
        # What is named twice is read once: two images under one name would silently lose the second.
        if columns.key is not None and places.setdefault(_mark(name), mark := _mark(place)) != mark:
            raise UsageError(
                f"{shown_name(address)}: key column '{columns.key}' holds {name!r} for several images; expected a "
                "name for each image"
            )
        yield from _named(name, _beside(place, address), options)


def _mark(text: str) -> int:
    """Eight bytes that stand for a text: of ten million, two are alike once in 400,000 times."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


def _named_in_list(address: str, options: BatchOptions) -> Iterator[Source]:
    with open_address(address) as file:
        for line in _lines(file):
            name = line.strip()
            if name and not name.startswith("#"):
                name = slashes(name)
                yield from _named(name, _beside(name, address), options)


def _lines(file: Iterable[bytes]) -> Iterator[str]:
    """The lines of a text in UTF-8, or in UTF-16, in which PowerShell writes what a command prints."""
    lines = iter(file)
    first = next(lines, b"")
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield from (first + b"".join(lines)).decode("utf-16").splitlines()
        return
    for line in chain((first,), lines):
        yield line.decode("utf-8-sig" if not line.isascii() else "ascii")


def _named(key: str, address: str, options: BatchOptions) -> Iterator[Source]:
    """What is named by itself: what its suffix says, else a photo."""
    found = list(_of_file(key, address, options))
    yield from found or [Source("photo", shown_name(key), address)]


def _beside(name: str, table: str) -> str:
    """A path in a table is meant from the folder of the table."""
    if "://" in name or os.path.isabs(name):  # noqa: PTH117 - likewise
        return name
    return f"{table.rpartition('/')[0]}/{name}" if "/" in table else name


def _check_keys(address: str, column: str) -> None:
    seen: set[Any] = set()
    for key in read_keys(address, column):
        if key is None or key in seen:
            what = "is empty in a row" if key is None else f"holds {key!r} twice"
            raise UsageError(f"{shown_name(address)}: key column '{column}' {what}; expected a name for each image")
        seen.add(key)


def _segments(key: str, address: str, segment_s: float) -> Iterator[Source]:
    """The segments of a video; the whole where it is elsewhere, as opening it here would fetch it."""
    from mien.cluster.segment import last_start_s

    last_s = last_start_s(local_path(address)) if is_local(address) else None
    # A damaged length would be millions of segments, each a part.
    if last_s is None or last_s * _LEAST_BYTES_A_SECOND > Path(local_path(address)).stat().st_size:
        yield Source("video", key, address)
        return
    count = 1 + max(0, math.floor(last_s / segment_s + 1e-6))
    for number in range(count):
        start_s = number * segment_s
        # The last one is open: files are often a little longer than they say.
        stop_s = None if number == count - 1 else start_s + segment_s
        shown = f"{start_s:g}," + ("" if stop_s is None else f"{stop_s:g}")
        yield Source("video", key if count == 1 else f"{key}#t={shown}", address, start_s, stop_s)
