"""The folder that a batch writes: the manifest, the plan, and two tables in parts.

::

    DEST/
      manifest.json               the job: source, options, models, labels, number of parts
      plan.parquet                what each part reads; one row group a part
      faces/part-000000.parquet   one row per face
      inputs/part-000000.parquet  one row an input; written last: a part is done when this is there
      summary.html                charts, at the end
"""

from __future__ import annotations

import datetime
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from mien import __version__
from mien.cluster.options import BatchOptions
from mien.cluster.rows import PartTables, Tally, read_tally
from mien.cluster.source import Source, cut_parts, list_sources
from mien.cluster.storage import Folder, check_extra, is_local, local_path
from mien.errors import UsageError
from mien.files import json_text, parse_json
from mien.source.name import shown_name

__all__ = ["Destination", "Manifest", "open_destination", "plan_destination"]

_FORMAT = 1
_MANIFEST = "manifest.json"
_PLAN = "plan.parquet"
_PART = re.compile(r"part-(\d{6,})\.parquet")
_OURS = frozenset((_MANIFEST, _PLAN, "faces", "inputs", "summary.html"))


@dataclass(frozen=True)
class Manifest:
    """What a destination says of its job.

    Attributes
    ----------
    source : str
        What is read, as an absolute path or an address.
    job : dict
        The options that the rows depend on.
    models : dict
        Of the expression model and the detector, name and sha256; if given by a path, those of the files.
    labels : list of str
        Of the label scheme.
    parts : int
    photos : int or None
        Photos and segments of videos; None where shards or tables hold a number that is only known once they are read.
    plan_sha256 : str
        Of ``plan.parquet``, which must not change while parts are missing.
    mien : str
        The version that made the plan.
    created : str
        Date and time, UTC.
    """

    source: str
    job: dict[str, Any]
    models: dict[str, dict[str, str]]
    labels: list[str]
    parts: int
    photos: int | None
    plan_sha256: str
    mien: str = __version__
    created: str = ""


class Destination:
    """A destination with a plan."""

    def __init__(self, folder: Folder, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def done_parts(self) -> set[int]:
        """Numbers of the parts that are done."""
        return {int(part[1]) for name in self.folder.names("inputs") if (part := _PART.fullmatch(name))}

    def read_part(self, number: int) -> list[Source]:
        """What a part reads."""
        import pyarrow.parquet

        with self.folder.open(_PLAN) as file:
            rows = pyarrow.parquet.ParquetFile(file).read_row_group(number).to_pylist()
        return [Source(**{name: _name(value) for name, value in row.items()}) for row in rows]

    def write_part(self, number: int, tables: PartTables) -> None:
        """Write a part; that it is done can only be seen once all of it is there."""
        self.folder.write(f"faces/{_part_name(number)}", tables.faces_parquet())
        self.folder.write(f"inputs/{_part_name(number)}", tables.inputs_parquet())

    def tallies(self) -> Iterator[Tally]:
        """The counts of each part that is done."""

        def tally(number: int) -> Tally:
            with self.folder.open(f"inputs/{_part_name(number)}") as file:
                return read_tally(file)

        with ThreadPoolExecutor(16) as pool:
            yield from pool.map(tally, sorted(self.done_parts()))


def open_destination(address: str) -> Destination:
    """Open the destination of a job that was begun.

    Raises
    ------
    UsageError
        If there is none.
    """
    check_extra()
    folder = Folder(address)
    content = folder.read(_MANIFEST)
    if content is None:
        raise UsageError(f"{shown_name(address)}: holds no batch (there is no {_MANIFEST})")
    try:
        values = parse_json(content)
        version = values.pop("format")
        if version != _FORMAT:
            raise UsageError(
                f"{shown_name(address)}: its manifest is of format {version}; this mien ({__version__}) reads {_FORMAT}"
            )
        return Destination(folder, Manifest(**values))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{shown_name(address)}: its {_MANIFEST} is damaged, or of something else ({error})"
        ) from error


def plan_destination(
    source: str, address: str, options: BatchOptions, *, begun: Callable[[], None] | None = None
) -> Destination:
    """Open a destination to go on with it, or plan a new one.

    Parameters
    ----------
    source, address : str
    options : BatchOptions
    begun : callable, optional
        Called once it is known that the destination is free and the source names something, before all is listed.

    Raises
    ------
    UsageError
        If it holds another job, or something else; or if the source names nothing. Nothing was written.
    OutputError
        If it cannot be written.
    """
    source = _full(source)
    folder = Folder(_full(address))
    present = folder.names()
    if _MANIFEST in present:
        destination = open_destination(folder.address)
        _check_same(destination.manifest, shown_name(source), options, _models(options)[0])
        _check_plan(destination)
        folder.tidy("faces")
        folder.tidy("inputs")
        return destination
    strange = [name for name in present if name not in _OURS and not name.startswith(".")]
    if strange or folder.names("inputs"):
        there = ", ".join((strange or ["inputs"])[:3])
        raise UsageError(
            f"{shown_name(address)}: is not empty and holds no batch (there is {there}); choose a new folder"
        )
    sources = list_sources(source, options)
    first = next(sources)
    # Where that fails, nothing has been begun that would first have to be ended again.
    folder.make()
    if begun is not None:
        begun()
    models, labels = _models(options)
    plan, parts, photos = _plan(chain((first,), sources), options)
    folder.write(_PLAN, plan)
    manifest = Manifest(
        source=shown_name(source),
        job=options.job(),
        models=models,
        labels=labels,
        parts=parts,
        photos=photos,
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )
    folder.write(_MANIFEST, json_text({"format": _FORMAT, **vars(manifest)}, indent=2).encode())
    return Destination(folder, manifest)


def _plan(sources: Iterable[Source], options: BatchOptions) -> tuple[bytes, int, int | None]:
    """The plan as Parquet, the number of its parts, and of the photos where it is known."""
    import pyarrow
    import pyarrow.parquet

    # Names are bytes: those of files need be no UTF-8.
    text, name, number = pyarrow.string(), pyarrow.binary(), pyarrow.float64()
    schema = pyarrow.schema([("kind", text), ("key", name), ("address", name), ("start", number), ("stop", number)])
    stream = io.BytesIO()
    parts = photos = 0
    known = True
    with pyarrow.parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for part in cut_parts(sources, options.part_size):
            rows = [{**vars(item), "key": _bytes(item.key), "address": _bytes(item.address)} for item in part]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema), len(part))
            parts += 1
            if part[0].kind == "rows":
                photos += int((part[0].stop or 0) - (part[0].start or 0))
            else:
                photos += len(part)
                known = known and part[0].kind != "shard"
    return stream.getvalue(), parts, photos if known else None


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _name(value: Any) -> Any:
    """What `_bytes` was made of; other values as they are."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _models(options: BatchOptions) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The models by name and sha256, and the labels; opening them tells at once what is wrong with an option."""
    from mien.recognizer import Recognizer
    from mien.zoo.store import find_model, list_models, model_files

    recognizer = Recognizer(**options.recognizer_options(), threads=1)
    card, detector = recognizer.card, str(options.detector)
    models = {"expression": {"name": card.name, "sha256": card.sha256}, "detector": {"name": detector}}
    if detector in list_models():
        models["detector"]["sha256"] = find_model(detector, "detector").card.sha256
    for kind, spec in (("expression", options.model), ("detector", detector)):
        for file in model_files(spec):
            models[kind][f"{file.suffix[1:]}_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return models, list(recognizer.scheme.labels)


def _check_plan(destination: Destination) -> None:
    """Refuse to go on by a plan that is not the one of the parts that are done (UsageError)."""
    folder, plan = destination.folder, destination.folder.read(_PLAN)
    if plan is None or hashlib.sha256(plan).hexdigest() != destination.manifest.plan_sha256:
        what = "is missing" if plan is None else "was changed since the batch began"
        raise UsageError(f"{shown_name(folder.address)}: its {_PLAN} {what}; choose a new folder")


def _check_same(manifest: Manifest, source: str, options: BatchOptions, models: dict[str, dict[str, str]]) -> None:
    wanted: dict[str, Any] = {"source": source, **options.job(), "mien": __version__}
    found: dict[str, Any] = {"source": manifest.source, **manifest.job, "mien": manifest.mien}
    for kind, model in models.items():
        wanted[f"{kind} model"] = model
        found[f"{kind} model"] = manifest.models.get(kind)
    differing = [name for name in wanted if wanted[name] != found.get(name)]
    if differing:
        name = differing[0]
        raise UsageError(
            f"the destination holds another job: its {name} is {found.get(name)!r}, not {wanted[name]!r}. "
            "Give the same source and options to continue it, or choose a new folder"
        )


def _full(address: str) -> str:
    return Path(local_path(address)).absolute().as_posix() if is_local(address) else address


def _part_name(number: int) -> str:
    return f"part-{number:06d}.parquet"
