"""Fetching the photos of a part: files, rows of tables, members of tar shards."""

from __future__ import annotations

import tarfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import islice
from pathlib import PurePosixPath
from tarfile import EmptyHeaderError, ReadError, TruncatedHeaderError  # type: ignore[attr-defined]

from mien.cluster.guard import Image
from mien.cluster.source import Source
from mien.cluster.storage import is_local, local_path, open_address, read_address, reason
from mien.cluster.table import find_columns, read_images
from mien.errors import InputError, UsageError
from mien.source.image import read_file
from mien.source.name import A_PIPE, HIDDEN, IMAGE_SUFFIXES, is_pipe, shown_name

__all__ = ["fetch", "load_images"]

_LARGEST_BYTES = 512 << 20
_FETCHERS = 4
_AHEAD = 24
# A request to a bucket is some hundredths of a second of waiting.
_FETCHERS_ELSEWHERE = 16
_AHEAD_ELSEWHERE = 48
_WAIT_S = 0.5


def load_images(
    part: list[Source], timeout_s: float, retries: int, column: str | None = None, key_column: str | None = None
) -> Iterator[Image]:
    """The photos of a part in their order; what cannot be fetched comes as an `Image` with an error.

    Parameters
    ----------
    part : list of Source
        Photos; or one shard, or some rows of a table.
    timeout_s : float
        Time to fetch one photo, in seconds.
    retries : int
        How often fetching from elsewhere is tried again.
    column, key_column : str, optional
        Of tables.
    """
    if part[0].kind == "photo":
        yield from _files(part, timeout_s, retries)
        return
    source = part[0]
    try:
        yield from _shard(source) if source.kind == "shard" else _rows(source, column, key_column)
    except InputError as error:
        yield Image(source.key, shown_name(source.address), error=error.problem)


def fetch(address: str, retries: int = 0) -> bytes:
    """The bytes of a file, from this machine or elsewhere.

    Raises
    ------
    InputError
        If it cannot be fetched.
    """
    if is_local(address):
        return read_file(local_path(address), _LARGEST_BYTES)
    wait_s = _WAIT_S
    while True:
        try:
            data = read_address(address, _LARGEST_BYTES)
        except (FileNotFoundError, PermissionError, UsageError) as error:
            raise InputError(shown_name(address), f"cannot be fetched ({reason(error)})") from error
        except Exception as error:  # every file system has errors of its own; many of them pass
            if retries <= 0:
                raise InputError(shown_name(address), f"cannot be fetched ({reason(error)})") from error
            retries -= 1
            time.sleep(wait_s)
            wait_s *= 2
            continue
        if len(data) > _LARGEST_BYTES:
            raise InputError(shown_name(address), f"is larger than {_LARGEST_BYTES >> 20} MB; expected a photo")
        return data


def _files(part: list[Source], timeout_s: float, retries: int) -> Iterator[Image]:
    here = is_local(part[0].address)
    fetchers, ahead = (_FETCHERS, _AHEAD) if here else (_FETCHERS_ELSEWHERE, _AHEAD_ELSEWHERE)
    pool = ThreadPoolExecutor(fetchers, thread_name_prefix="mien-fetch")
    waiting: deque[tuple[Source, Future[bytes]]] = deque()
    left = iter(part)
    try:
        while True:
            waiting.extend(
                (source, pool.submit(fetch, source.address, retries)) for source in islice(left, ahead - len(waiting))
            )
            if not waiting:
                return
            source, future = waiting.popleft()
            shown = shown_name(source.address)
            try:
                yield Image(source.key, shown, future.result(timeout=timeout_s))
            except InputError as error:
                yield Image(source.key, shown, error=error.problem)
            except FutureTimeoutError:
                yield Image(source.key, shown, error=f"could not be fetched within {timeout_s:g} s (raise --timeout)")
                # The thread hangs for good: those that wait behind it get fresh ones.
                pool.shutdown(wait=False, cancel_futures=True)
                pool = ThreadPoolExecutor(fetchers, thread_name_prefix="mien-fetch")
                waiting = deque((source, pool.submit(fetch, source.address, retries)) for source, _ in waiting)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _rows(source: Source, column: str | None, key_column: str | None) -> Iterator[Image]:
    shown = shown_name(source.address)
    try:
        columns = find_columns(source.address, column, key_column)
    except Exception as error:
        raise InputError(shown, f"the table cannot be read ({reason(error)})") from error
    start, stop = int(source.start or 0), int(source.stop or 0)
    for key, data in read_images(source.address, source.key, columns, start, stop):
        yield Image(
            key, f"{shown}#{key}" if columns.key else key, data, error=None if data else "the row holds no image"
        )


class _Member(tarfile.TarInfo):
    """Says when an archive ends without the mark of its end, which tarfile takes for the end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(archive)
        except (EmptyHeaderError, TruncatedHeaderError) as error:
            raise ReadError("its end is missing") from error


def _shard(source: Source) -> Iterator[Image]:
    """The photos in a tar file, read from beginning to end, as WebDataset lays them out."""
    shown = shown_name(source.address)
    if is_local(source.address) and is_pipe(local_path(source.address)):
        raise InputError(shown, A_PIPE)
    seen: Counter[str] = Counter()
    try:
        with open_address(source.address) as file, tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                # What is hidden is no photo: macOS puts a "._a.jpg" beside each "a.jpg".
                hidden = any(step.startswith(HIDDEN) for step in place.parts)
                if not member.isfile() or hidden or place.suffix.lower() not in IMAGE_SUFFIXES:
                    continue
                seen[member.name] += 1
                name = member.name if seen[member.name] == 1 else f"{member.name}#{seen[member.name]}"
                key, where = f"{source.key}/{name}", f"{shown}/{name}"
                if member.size > _LARGEST_BYTES:
                    yield Image(key, where, error=f"is larger than {_LARGEST_BYTES >> 20} MB; expected a photo")
                    continue
                stream = archive.extractfile(member)
                yield Image(key, where, b"" if stream is None else stream.read())
    except Exception as error:  # of tarfile, zlib, and every file system
        count = sum(seen.values())
        raise InputError(shown, f"the shard breaks off after {count} photos ({reason(error)})") from error
    if not seen:
        raise InputError(shown, "the shard holds no photos")
