"""Any layout of the field in, one dataset out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data import ferplus
from mien.data.dataset import Dataset
from mien.data.info import DatasetInfo
from mien.data.layouts import (
    Contents,
    DamagedFolderError,
    Item,
    ReadOptions,
    find_layout,
    parse_attributes,
    parse_classes,
)
from mien.data.options import ImportOptions
from mien.data.pixels import check_box, cut_face, decode_gray, fit_square
from mien.data.writer import DatasetWriter, Row
from mien.errors import InputError, UsageError
from mien.files import refuse_source, utf8_text
from mien.labels import EXPRESSIONS
from mien.opencv import encode_png
from mien.options import given_options
from mien.parallel import ordered_map, usable_cores
from mien.progress import Progress
from mien.source.header import read_header

__all__ = ["ImportSummary", "import_dataset"]

# Some chunks are under way at a time: of photos of 5 MB each that is 0.4 GB on two cores, and 1.4 GB on eight.
_CHUNK_ITEMS = 16
_MOST_NAMED = 1000
_OWN_CLASSES = ("folders", "own-folders", "parquet", "table", "yolo", "coco", "voc")
_OWN_COLUMNS = ("parquet", "table")
_LISTS = ("ferplus", "rafdb", "affectnet", "expw", "table", "coco")
_PROTOCOLS = {
    "keep": "",
    "majority": "FER+ majority voting (arXiv:1608.01041): single votes dropped, more than half of the rest; "
    "rows without a majority, unknown, or not a face are left out",
    "distribution": "FER+ distribution (arXiv:1608.01041): single votes dropped, classes up to three quarters of the "
    "votes, three at most; rows led by unknown or not a face, or too spread, are left out; label = most probable",
}


@dataclass
class ImportSummary:
    """What an import did.

    Attributes
    ----------
    layout : str
        The layout that was read.
    rows : int
        Rows in the dataset.
    counts : dict of str to dict of str to int
        Rows by split and class.
    damaged : list of InputError
        The first 1,000 damaged rows that were left out (of a folder of an unknown class one for all its images).
    damaged_rows : int
        How many were left out in all.
    excluded : dict of str to int
        Sound rows that were left out by the layout's or the protocol's own rule, by reason.
    """

    layout: str
    rows: int = 0
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    damaged: list[InputError] = field(default_factory=list)
    damaged_rows: int = 0
    excluded: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "damaged": [{"where": error.source, "problem": error.problem} for error in self.damaged]}

    def excluded_lines(self) -> list[str]:
        """What was left out by a rule, a line a reason, for people."""
        return [
            f"{count:,} {'file' if reason.startswith('left out for') else 'row'}{'s' if count > 1 else ''} "
            f"{reason if reason.startswith('left out') else f'of the class {reason}'}"
            for reason, count in self.excluded.items()
            if count
        ]


def import_dataset(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    options: ImportOptions | None = None,
    *,
    progress: Progress | None = None,
    **kwargs: Any,
) -> tuple[Dataset, ImportSummary]:
    """Read a dataset in any layout of `mien.data.layouts`, and write it in the one form.

    Images are streamed; memory does not grow with the source. The dataset appears whole, or not at all.

    Parameters
    ----------
    source : path
        A file or folder; its layout is recognised by its content.
    dest : path
        The Parquet file to write.
    options : ImportOptions, optional
        Or its fields as keywords.
    progress : callable, optional
        Called with the rows that are done and the total (None where it is not known).

    Raises
    ------
    InputError
        If the source cannot be read, or at the first damaged row unless `on_error` is ``"skip"``.
    UsageError
        If options do not fit, or nothing can be written at `dest`.
    """
    options = given_options(ImportOptions, options, kwargs)
    path, dest = Path(source), Path(dest)
    refuse_source(dest, path, "the source itself")
    classes, attributes = parse_classes(options.classes), parse_attributes(options.attributes)
    read = ReadOptions(options.votes, options.images, classes, attributes, options.columns)
    layout = find_layout(path, options.layout, read)
    _require_fit(layout.name, path, dest, options)
    contents = layout.read(path, read)
    if options.ferplus != "keep" and contents.vote_labels != ferplus.VOTE_LABELS:
        raise UsageError(f"--ferplus {options.ferplus} needs FER+ votes, which {path} has not; give --votes FILE")
    info = _info(path, contents, options)
    summary = ImportSummary(layout.name, excluded=contents.excluded)
    with DatasetWriter(dest, info) as writer:
        _write_rows(writer, contents, info, options, summary, progress)
        if not summary.rows:
            raise InputError(str(path), f"no row can be read; {_why_none(summary)}")
        writer.info = info.after(
            "import",
            layout=layout.name,
            source=path.name,
            classes=classes or None,
            attributes=list(contents.attribute_names) or None,
            columns=options.columns or None,
            ferplus=options.ferplus,
            face_px=options.face_px,
            rows=summary.rows,
            damaged_rows=summary.damaged_rows,
            excluded=summary.excluded,
        )
    dataset = Dataset(dest)
    summary.counts = {name: summary.counts[name] for name in dataset.splits}
    return dataset, summary


def _require_fit(layout: str, path: Path, dest: Path, options: ImportOptions) -> None:
    """Refuse options that the layout has no use for, and a destination that would be a part of the source."""

    def require(flag: str, given: object, layouts: tuple[str, ...]) -> None:
        if given and layout not in layouts:
            raise UsageError(f"{flag} is for {', '.join(layouts)}; {path} has the layout '{layout}'")

    require("--classes", options.classes, _OWN_CLASSES)
    require("--attributes", options.attributes, _OWN_COLUMNS)
    require("--image-column, --label-column and --split-column", options.columns, _OWN_COLUMNS)
    require("--images", options.images, _LISTS)
    if options.images is not None and not options.images.is_dir():
        raise UsageError(f"--images is {options.images}, which is no folder; expected that of the images")
    if options.votes is not None and layout != "fer2013":
        raise UsageError(f"votes are joined row by row to fer2013.csv; {path} has the layout '{layout}'")
    if layout == "parquet" and dest.exists() and dest.resolve().is_relative_to(path.resolve()):
        raise UsageError(f"{dest}: is in the folder of the source, of which it would be a part; write it elsewhere")


def _write_rows(
    writer: DatasetWriter,
    contents: Contents,
    info: DatasetInfo,
    options: ImportOptions,
    summary: ImportSummary,
    progress: Progress | None,
) -> None:
    """Write the rows that can be read, and count in the summary what became of each."""
    done = 0
    for rows in _encoded(_chunks(contents.items), options):
        for row in rows:
            count = row.rows if isinstance(row, DamagedFolderError) else 1
            done += count
            if isinstance(row, Row):
                writer.write(row)
                summary.rows += 1
                summary.counts.setdefault(row.split, dict.fromkeys(info.labels, 0))[info.labels[row.label]] += 1
            elif isinstance(row, str):
                summary.excluded[row] = summary.excluded.get(row, 0) + 1
            elif options.on_error == "stop":
                raise InputError(row.source, f"{row.problem}; --on-error skip leaves out what is damaged") from row
            else:
                summary.damaged_rows += count
                summary.damaged += [row] if len(summary.damaged) < _MOST_NAMED else []
        if progress is not None:
            progress(done, contents.total, "importing")


def _why_none(summary: ImportSummary) -> str:
    """Why a source gives no row."""
    if summary.damaged:
        if summary.damaged_rows == 1:
            return f"its only one is damaged: {summary.damaged[0]}"
        return f"all {summary.damaged_rows:,} are damaged, such as {summary.damaged[0]}"
    return "; ".join(summary.excluded_lines()) or "it has none"


def _info(path: Path, contents: Contents, options: ImportOptions) -> DatasetInfo:
    columns = set(contents.columns)
    labels = contents.labels
    if options.ferplus != "keep":
        labels = EXPRESSIONS
        columns.discard("distribution")
    if options.ferplus == "distribution":
        columns.add("distribution")
    if options.face_px is not None:
        columns -= {"box_xyxy", "landmarks_xy"}
    if contents.attribute_names:
        columns.add("attributes")
    return DatasetInfo(
        labels=labels,
        name=path.stem,
        vote_labels=contents.vote_labels,
        attribute_names=contents.attribute_names,
        protocol=_PROTOCOLS[options.ferplus],
        columns=tuple(columns),
        splits=contents.splits,
    )


def _chunks(items: Iterable[Item | InputError]) -> Iterator[list[Item | InputError]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK_ITEMS)):
        yield chunk


def _encoded(
    chunks: Iterator[list[Item | InputError]], options: ImportOptions
) -> Iterator[list[Row | InputError | str]]:
    """Fetch, check and encode the images in threads; results in order, a few chunks under way.

    For each item a row, the error of one that is damaged, or the reason why it is left out.
    """
    threads = max(2, min(usable_cores(), 8))
    yield from ordered_map(partial(_rows, options=options), chunks, threads)


def _rows(chunk: list[Item | InputError], options: ImportOptions) -> list[Row | InputError | str]:
    rows: list[Row | InputError | str] = []
    decoder = _Decoder()
    for item in chunk:
        if isinstance(item, InputError):
            rows.append(item)
            continue
        try:
            label, distribution = _target(item, options)
            if label < 0:
                rows.append(f"left out by FER+ {options.ferplus}")
                continue
            rows.append(_row(item, label, distribution, options, decoder))
        except InputError as error:
            rows.append(error if error.source == item.where else InputError(item.where, str(error)))
    return rows


def _target(item: Item, options: ImportOptions) -> tuple[int, Any]:
    """The row's label (-1 to leave it out) and distribution under the protocol."""
    if options.ferplus == "keep":
        return item.label, item.distribution
    if item.votes is None:
        raise InputError(item.where, "has no votes; expected ten")
    votes = np.asarray([item.votes])
    if options.ferplus == "majority":
        return int(ferplus.majority(votes)[0]), None
    distribution, kept = ferplus.vote_distribution(votes)
    return (int(distribution[0].argmax()) if kept[0] else -1), distribution[0].tolist()


def _row(item: Item, label: int, distribution: Any, options: ImportOptions, decoder: _Decoder) -> Row:
    pixels = item.load()
    row = Row(b"", label, utf8_text(item.split), utf8_text(item.source), item.row, item.votes, distribution)
    row.valence, row.arousal, row.attributes = item.valence, item.arousal, item.attributes
    # Decoded once in any case, so that no damaged image enters the dataset.
    image = decoder.decode(pixels, item.where) if isinstance(pixels, bytes) else pixels
    box_xyxy = item.box_on(image)
    check_box(box_xyxy, image, item.where)
    if options.face_px is not None:
        row.image = encode_png(fit_square(cut_face(image, box_xyxy), options.face_px))
        return row
    row.box_xyxy, row.landmarks_xy = box_xyxy, item.landmarks_xy
    row.image = pixels if isinstance(pixels, bytes) else encode_png(pixels)
    return row


class _Decoder:
    """Decodes image files. The faces of one photo follow each other: it is decoded once."""

    def __init__(self) -> None:
        self._last: tuple[bytes, npt.NDArray[np.uint8]] | None = None

    def decode(self, data: bytes, where: str) -> npt.NDArray[np.uint8]:
        if self._last is None or self._last[0] is not data:
            header = read_header(data)
            if header.truncated:
                raise InputError(where, f"the {header.format} file is truncated: its end is missing")
            self._last = data, decode_gray(data, where)
        return self._last[1]
