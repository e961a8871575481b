"""What runs on the cluster: a task that reads a part, with what the tasks before it in the process have opened."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from mien import __version__
from mien.cluster.destination import Destination, Manifest
from mien.cluster.guard import GuardedReader, Image
from mien.cluster.load import load_images
from mien.cluster.rows import PartTables
from mien.cluster.source import Source
from mien.cluster.storage import Folder, before_magic, is_local, local_path, reason, split_address
from mien.errors import InputError, MienError, OutputError
from mien.source.name import shown_name

__all__ = ["PartReader", "mien_part", "read_part"]

BATCH_IMAGES = 16
"""Photos that go to the reader, and their faces to the model, at once. Fixed: results must not depend on timing."""


_WRITE_PAUSE_S = 0.5

_opened: dict[tuple[str, str | None], PartReader] = {}


def mien_part(shared: str, number: int) -> dict[str, Any]:
    """Read a part: the task that Ray runs, again and again in the same processes.

    Parameters
    ----------
    shared : str
        The arguments of `PartReader`, as JSON.
    number : int
        Of the part.

    Returns
    -------
    dict with ``part``, ``tally``, ``problem``: an error that would hit every part is told, not raised
    """
    key = shared, os.environ.get("CUDA_VISIBLE_DEVICES")  # Ray says which GPU each task has
    if key not in _opened:
        for reader in _opened.values():
            reader.close()
        _opened.clear()
        _opened[key] = PartReader(*json.loads(shared))
    return _opened[key].read(number)


class PartReader:
    """Reads the parts of a job, one after another.

    Parameters
    ----------
    address : str
        Of the destination.
    manifest : dict
        Of the destination, as plain values.
    job : dict
        ``recognizer``, ``video``, ``timeout_s``, ``retries``, ``gpu``.
    """

    def __init__(self, address: str, manifest: dict[str, Any], job: dict[str, Any]) -> None:
        self._destination = Destination(Folder(address), Manifest(**manifest))
        self._job = job
        self._reader = GuardedReader(job["recognizer"], job["timeout_s"], job["retries"], gpu=job["gpu"])

    def close(self) -> None:
        """End the process that reads."""
        self._reader.close()

    def read(self, number: int) -> dict[str, Any]:
        """Read and write a part; returns what `mien_part` does."""
        start_s = time.monotonic()
        manifest = self._destination.manifest
        if manifest.mien != __version__:
            problem = f"{socket.gethostname()} has mien {__version__}; the job was planned with {manifest.mien}"
            return {"part": number, "tally": None, "problem": problem}
        try:
            _check_seen(manifest.source, self._destination.folder)
            self._reader.prepare()  # it starts while the plan is read
            part = self._destination.read_part(number)
            tables = read_part(part, self._reader, manifest, self._job)
            tables.tally.seconds = round(time.monotonic() - start_s, 3)
            tables.tally.worker = f"{socket.gethostname()}:{os.getpid()}"
            self._write(number, tables)
        except MienError as error:
            return {"part": number, "tally": None, "problem": str(error)}
        return {"part": number, "tally": asdict(tables.tally), "problem": None}

    def _write(self, number: int, tables: PartTables) -> None:
        """Write a part; storage elsewhere is given a few moments to come back."""
        for pause_s in [_WRITE_PAUSE_S * 2**n for n in range(self._job["retries"])]:
            try:
                return self._destination.write_part(number, tables)
            except OutputError:  # noqa: PERF203 - a write is long
                time.sleep(pause_s)
        return self._destination.write_part(number, tables)


def _check_seen(source: str, folder: Folder) -> None:
    """Tell a machine that does not see the files from files that are missing."""
    name = socket.gethostname()
    if is_local(source):
        path = local_path(source)
        fixed = before_magic(path)
        if not Path(path).exists() and not (fixed != path and Path(fixed).parent.exists()):
            raise InputError(
                source, f"{name} does not see it; put it on storage that all machines of the cluster share"
            )
    if folder.read("manifest.json") is None:
        raise OutputError(
            f"{folder.address}: {name} does not see it; choose a folder that all machines share, or a bucket"
        )


def read_part(part: list[Source], reader: GuardedReader, manifest: Manifest, job: dict[str, Any]) -> PartTables:
    """Read all of a part.

    Raises
    ------
    ReaderError
        If images cannot be read here at all.
    """
    tables = PartTables(manifest.labels)
    if part[0].kind == "video":
        for source in part:
            tables = _read_video(source, reader, tables, manifest, job)
        return tables
    images = load_images(part, job["timeout_s"], job["retries"], manifest.job["column"], manifest.job["key_column"])
    batch = list(islice(images, BATCH_IMAGES))
    while batch:
        reader.start(batch)
        following = list(islice(images, BATCH_IMAGES))  # fetched while the reader reads
        for image, reading in zip(batch, reader.finish(), strict=True):
            _add(tables, image, reading)
        batch = following
    return tables


def _add(tables: PartTables, image: Image, reading: dict[str, Any]) -> None:
    if reading["error"] is not None:
        tables.add_input(image.key, image.source, error=reading["error"])
        return
    rows = reading["rows"]
    tables.add_faces(image.key, rows)
    tables.add_input(
        image.key, image.source, faces=len(rows), frames=1, size_wh=reading["size_wh"], note=reading["note"]
    )


def _read_video(
    source: Source, reader: GuardedReader, tables: PartTables, manifest: Manifest, job: dict[str, Any]
) -> PartTables:
    faces = 0

    def keep(rows: list[dict[str, Any]] | None) -> None:
        nonlocal tables, faces
        if rows is None:
            tables, faces = PartTables(manifest.labels), 0
            return
        tables.add_faces(source.key, rows)
        faces += len(rows)

    shown = shown_name(source.address)
    try:
        with _on_this_machine(source.address) as path:
            told = reader.read_video(path, shown, source.start, source.stop, job["video"], keep)
    except InputError as error:
        told = {"frames": 0, "size_wh": (0, 0), "note": None, "error": error.problem}
    tables.add_input(source.key, shown, faces=faces, **told)
    return tables


@contextlib.contextmanager
def _on_this_machine(address: str) -> Iterator[str]:
    """The path of a file; of one elsewhere, of a copy that is deleted afterwards."""
    if is_local(address):
        yield local_path(address)
        return
    suffix = Path(address.partition("?")[0]).suffix
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        path = Path(folder) / f"video{suffix}"
        try:
            system, place = split_address(address)
            system.get_file(place, str(path))
        except Exception as error:  # every file system has errors of its own
            raise InputError(shown_name(address), f"cannot be fetched ({reason(error)})") from error
        yield str(path)
