"""Parquet and Arrow with an image column: mien's own datasets, and those that Hugging Face `datasets` writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mien.data.ferplus import VOTE_LABELS
from mien.data.info import HUGGINGFACE_KEY, METADATA_KEY, DatasetInfo
from mien.data.layouts.base import LAYOUTS, Contents, Item, ReadOptions, attempt, register
from mien.data.layouts.columnar import ColumnFile, column_files, is_own, open_columns, split_of
from mien.data.layouts.headers import column_of, require_columns
from mien.data.layouts.names import (
    class_name,
    known_class,
    known_columns,
    ordered_classes,
    own_classes,
    split_name,
)
from mien.data.parquet_file import load_pyarrow
from mien.errors import InputError
from mien.files import parse_json
from mien.labels import canonical_name
from mien.source.image import read_file

__all__ = ["ParquetImages"]

_IMAGE = ("image", "img", "image_bytes", "img_bytes", "face")
_LABEL = ("label", "labels", "emotion", "expression")
_VOTES = ("votes", "ferplus_votes")
_SPLIT = ("split", "usage", "Usage")
_CARRIED = ("box_xyxy", "landmarks_xy", "valence", "arousal", "distribution")
_BATCH_ROWS = 128
_VOTE_SPELLINGS = {"nf": "not_face", "not_face": "not_face", "not face": "not_face", "unknown": "unknown"}


@dataclass
class _Source:
    """One file, and where in it things are."""

    path: Path
    file: ColumnFile
    image: str
    label: str
    labels: tuple[str, ...]
    votes: str | None
    vote_labels: tuple[str, ...]
    split: str | None
    split_of_file: str
    info: DatasetInfo | None
    classes: Mapping[str, str]
    attributes: Mapping[str, str]

    @property
    def own_attributes(self) -> bool:
        """Whether they are in the one column that mien writes."""
        return self.info is not None and bool(self.attributes)

    @property
    def names(self) -> list[str]:
        names: list[str] = self.file.schema.names
        return names


class ParquetImages:
    """One Parquet or Arrow file, or a folder of them, with an image column and a label column.

    Class names come from the metadata that mien or `datasets` wrote, from the key ``label_names``, or from a column
    of text. The split is a column, the key ``usage``, or in the file's name; of files that only have a number
    (``default/train/0000.parquet``, as the Hub converts them) the folder's name; of Arrow files, as
    ``save_to_disk`` writes them, what `datasets` noted beside them, or the folder's name.
    """

    name = "parquet"
    summary = "Parquet or Arrow with an image column, as mien and Hugging Face datasets write it"

    def matches(self, path: Path) -> bool:
        """A file that starts as Parquet or Arrow does, or a folder with such files.

        Unless they are what mien made of the other files in that folder, as their histories say.
        """
        files = column_files(path)
        if not path.is_dir() or not files or not all(map(is_own, files)):
            return bool(files)
        made_of = {_made_of(file) for file in files} - {self.name}
        return not any(layout.matches(path) for name, layout in LAYOUTS.items() if name in made_of)

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Stream the files, row group by row group."""
        files = column_files(path)
        if not files:
            raise InputError(str(path), "is no Parquet or Arrow file, and no folder with such files")
        sources = [_open(file, options) for file in files]
        first = sources[0]
        # Not every class needs to occur in every file.
        texts = [source for source in sources if _is_text(source.file.schema.field(source.label).type)]
        names = {name for source in texts for name in _names(source)}
        classes = {**own_classes(names), **options.classes}
        for source in texts:
            source.classes = classes
            source.labels = ordered_classes(known_class(name, classes) for name in names)
        for other in sources[1:]:
            if (other.labels, other.vote_labels, [*other.attributes]) != (
                first.labels, first.vote_labels, [*first.attributes]
            ):  # fmt: skip
                raise InputError(
                    str(other.path), f"classes {', '.join(other.labels)}; those of {first.path.name} are "
                    f"{', '.join(first.labels)}: import the files one by one"
                )  # fmt: skip
        carried = tuple(name for name in _CARRIED if all(name in source.names for source in sources))
        return Contents(
            labels=first.labels,
            items=(item for source in sources for item in _items(source, carried)),
            total=sum(source.file.rows for source in sources),
            vote_labels=first.vote_labels,
            attribute_names=tuple(first.attributes),
            columns=(*carried, *(("votes",) if first.votes else ())),
            splits={source.split_of_file: source.split_of_file for source in sources if source.split is None},
        )


def _open(path: Path, options: ReadOptions) -> _Source:
    pa = load_pyarrow()
    file = open_columns(path)
    schema, metadata = file.schema, file.metadata
    told = options.columns.get("image")  # which may also be one of paths
    images = [name for name in schema.names if _is_image(schema.field(name).type, pa, with_paths=told is not None)]
    image = column_of("image", _IMAGE, images, options.columns)
    label = column_of("label", _LABEL, schema.names, options.columns)
    split = column_of("split", _SPLIT, schema.names, options.columns)
    if image is None or label is None or (split is None and "split" in options.columns):
        require_columns(str(path), schema.names, options.columns)
        raise InputError(
            str(path),
            f"its columns are {', '.join(f'{name} ({schema.field(name).type})' for name in schema.names)}; expected "
            f"one of images ({', '.join(_IMAGE)}: bytes, or a struct of bytes and path; or --image-column, of these or "
            f"of paths) and one of labels ({', '.join(_LABEL)}, or --label-column)",
        )
    info = DatasetInfo.from_json(metadata[METADATA_KEY], str(path)) if METADATA_KEY in metadata else None
    votes = next((name for name in _VOTES if name in schema.names), None)
    usage = metadata.get(b"usage")
    return _Source(
        path=path,
        file=file,
        image=image,
        label=label,
        labels=info.labels if info and label == "label" else _labels(file, label, metadata, path, options.classes),
        votes=votes,
        vote_labels=_vote_labels(metadata, info) if votes else (),
        split=split,
        split_of_file=split_name(usage.decode()) if usage else split_of(path),
        info=info,
        classes={} if info else options.classes,
        attributes=_attributes(options.attributes, schema.names, info, path),
    )


def _made_of(path: Path) -> str | None:
    """The layout from which one of mien's own datasets was imported."""
    steps = DatasetInfo.from_json(open_columns(path).metadata[METADATA_KEY], str(path)).history
    return next((step["layout"] for step in steps if "layout" in step), None)


def _attributes(wanted: tuple[str, ...], columns: list[str], info: DatasetInfo | None, path: Path) -> dict[str, str]:
    """The column of each attribute; of a dataset of mien, which has one for all, the field."""
    if info is None:
        return known_columns(wanted, columns, path.name)
    return known_columns(wanted or info.attribute_names, info.attribute_names, path.name)


def _is_image(kind: Any, pa: Any, with_paths: bool) -> bool:
    if with_paths and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return True
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)


def _is_text(kind: Any) -> bool:
    types = load_pyarrow().types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind))


def _labels(
    file: ColumnFile, column: str, metadata: dict[bytes, bytes], path: Path, classes: Mapping[str, str]
) -> tuple[str, ...]:
    if _is_text(file.schema.field(column).type):
        return ()  # known when all files are
    if classes:
        return ordered_classes(classes.values())
    names = None
    if HUGGINGFACE_KEY in metadata:
        features = parse_json(metadata[HUGGINGFACE_KEY]).get("info", {}).get("features", {})
        names = features.get(column, {}).get("names")
    if names is None and b"label_names" in metadata:
        names = metadata[b"label_names"].decode().split(",")
    if not names:
        raise InputError(
            str(path), f"column '{column}' holds numbers, and nothing says what they mean; expected class names in the "
            "metadata (as a ClassLabel of Hugging Face datasets, or the key 'label_names'), a column of names, or "
            "'mien data import --classes'"
        )  # fmt: skip
    own = own_classes(str(name) for name in names)
    labels = tuple(class_name(str(name), own, f"{path}, class names of column '{column}'") for name in names)
    if len(set(labels)) < len(labels):
        raise InputError(str(path), f"class names of column '{column}' name one twice: {', '.join(map(str, names))}")
    return labels


def _names(source: _Source) -> set[str]:
    """The class names in a column of texts."""
    return {str(value) for value in source.file.values(source.label) if value is not None}


def _vote_labels(metadata: dict[bytes, bytes], info: DatasetInfo | None) -> tuple[str, ...]:
    if info is not None:
        return info.vote_labels
    if b"ferplus_names" not in metadata:
        return VOTE_LABELS
    names = metadata[b"ferplus_names"].decode().split(",")
    return tuple(_VOTE_SPELLINGS.get(name.strip().lower()) or canonical_name(name) for name in names)


def _items(source: _Source, carried: tuple[str, ...]) -> Iterator[Item | InputError]:
    wanted = [source.image, source.label, source.votes, source.split, *carried]
    wanted += [name for name in ("source", "row") if name in source.names]
    wanted += ["attributes"] if source.own_attributes else source.attributes.values()
    columns = list(dict.fromkeys(name for name in wanted if name is not None))
    start = 0
    for batch in source.file.batches(_BATCH_ROWS, columns):
        values = {name: batch.column(name).to_pylist() for name in columns}
        for offset in range(len(batch)):
            cells = {name: column[offset] for name, column in values.items()}
            yield attempt(_item, source, cells, start + offset, carried)
        start += len(batch)


def _item(source: _Source, cells: Mapping[str, Any], index: int, carried: tuple[str, ...]) -> Item:
    where = f"{source.path.name} row {index}"
    return Item(
        where=where,
        load=partial(_load, cells[source.image], source.path.parent, where),
        votes=_votes(cells[source.votes], source, where) if source.votes else None,
        label=_label(cells[source.label], source, where),
        split=source.split_of_file if source.split is None else _split(cells[source.split], where),
        source=str(cells.get("source") or source.path.name),
        row=cells.get("row", index),
        attributes=_told(cells["attributes"] or {} if source.own_attributes else cells, source.attributes),
        **{name: cells[name] for name in carried},
    )


def _told(cells: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    values = {name: cells.get(column) for name, column in columns.items()}
    return {name: str(value).strip() for name, value in values.items() if value is not None and str(value).strip()}


def _split(value: Any, where: str) -> str:
    if not value:
        raise InputError(where, "no split; expected a name such as train")
    return split_name(str(value))


def _label(value: Any, source: _Source, where: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as data frames keep whole numbers where some are missing
    if value is None or value != value:  # NaN, as data frames have it
        raise InputError(where, f"no label; expected one of {', '.join(source.labels)}")
    if isinstance(value, str) or source.classes:
        return source.labels.index(class_name(str(value), source.classes, where))
    if not isinstance(value, int) or not 0 <= value < len(source.labels):
        raise InputError(where, f"label {value}; expected a whole number from 0 to {len(source.labels) - 1}")
    return value


def _votes(value: Any, source: _Source, where: str) -> list[int] | None:
    if value is not None and len(value) != len(source.vote_labels):
        raise InputError(where, f"{len(value)} votes; expected {len(source.vote_labels)}")
    return value  # type: ignore[no-any-return]


def _load(value: Any, folder: Path, where: str) -> bytes:
    value = {"path": value} if isinstance(value, str) else value
    data = value.get("bytes") if isinstance(value, dict) else value
    if data is None and isinstance(value, dict) and value.get("path"):
        return read_file(os.fspath(folder / value["path"].replace("\\", "/")))
    if not data:
        raise InputError(where, "no image bytes; expected an encoded image")
    return bytes(data)


register(ParquetImages())
