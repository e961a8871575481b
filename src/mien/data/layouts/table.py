"""Tables of image files and their labels: CSV or JSON lines beside the images, as many datasets of the field come."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mien.data.layouts.base import Contents, Item, ReadOptions, attempt, register
from mien.data.layouts.headers import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    TABLE_SUFFIXES,
    find_header,
    header_columns,
    require_columns,
)
from mien.data.layouts.json_lines import json_rows
from mien.data.layouts.names import (
    class_name,
    known_class,
    known_columns,
    ordered_classes,
    own_classes,
    split_name,
    split_of_file,
)
from mien.data.layouts.places import folders_in, is_image, spellings
from mien.data.pixels import parse_pixels
from mien.errors import InputError
from mien.files import text_encoding
from mien.source.image import read_file

__all__ = ["Table"]

# As TensorFlow's object detection has them, and Roboflow writes them.
_BOX = ("xmin", "ymin", "xmax", "ymax")
_MOST_LINES = 200
"""Of a row: texts of several lines may be in a column that is not read, but hardly of as many."""
_PLACES = (".", "images", "imgs")
_OF_A_SPLIT = ("metadata", "_annotations")
"""Tables in the folder of a split, beside its images: those of Hugging Face's image folders, and Roboflow's."""
# What a folder of a split's images may be called.
_SPLIT_FOLDERS = ("train", "training", "val", "valid", "validation", "test", "testing")
_ABSOLUTE = re.compile(r"/|[A-Za-z]:[\\/]")
_ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".PNG")
"""What tables leave out that have but the number of an image (``image_id``)."""
_LOOKED_AT = 20
_SPOKEN = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16"}


class _Row(NamedTuple):
    """What a line of a table says; `where` is what to call it."""

    table: str
    where: str
    image: str
    label: str
    split: str
    number: int
    box: list[str]
    attributes: dict[str, str]


class Table:
    """A table with a column of image files and a column of labels, or a folder with some (``train.csv``, ...).

    It is CSV, with commas, semicolons or tabs between its cells, or has a JSON object on each line
    (``metadata.jsonl``). Files are meant from the folder of the table or from its ``images``, or from a folder there
    that is named by split or class (``train/``, ``train/5/``); Windows' separators are understood. A cell may also hold
    the pixels, as numbers between blanks. The text is UTF-8, or UTF-16 with its mark. The split is a column, or what
    the table's name says. With the columns ``xmin, ymin, xmax, ymax`` a row is a face in its image, in pixels.
    """

    name = "table"
    summary = "CSV or JSON lines of image files and labels, or the folder that holds it"

    def matches(self, path: Path) -> bool:
        """A file whose header names the columns, or a folder with such files."""
        return bool(_tables(path, {}))

    def read(self, path: Path, options: ReadOptions) -> Contents:
        """Read the tables one after the other; the labels are looked through first."""
        tables = _tables(path, options.columns)
        for table in tables or ([path] if path.is_file() else []):
            _require_text(table)
        if not tables:
            raise _no_table(path, options.columns)
        root = path if path.is_dir() else path.parent
        rows = [row for table in tables for row in _rows(table, root, options)]
        names = {row.label for row in rows if not isinstance(row, InputError)}
        classes = {**own_classes(names), **options.classes}
        labels = ordered_classes(known_class(name, classes) for name in names)
        roots = [options.images] if options.images else [root / place for place in _PLACES]
        rows = _without_foreign_root(rows, roots)
        _require_once(rows, roots)
        return Contents(
            labels=labels,
            items=_items(rows, labels, roots, classes),
            total=len(rows),
            columns=("box_xyxy",) if any(row.box for row in rows if isinstance(row, _Row)) else (),
            attribute_names=options.attributes,
            excluded=_other_tables(path, tables),
        )


def _other_tables(path: Path, tables: Sequence[Path]) -> dict[str, int]:
    """Tables beside those that are read: their rows may be missed, as those of a test set without labels."""
    others = [file.name for file in _candidates(path) if file not in tables] if path.is_dir() else []
    return {f"left out for lacking a column of images or labels, such as {others[0]}": len(others)} if others else {}


def _tables(path: Path, columns: Mapping[str, str]) -> list[Path]:
    if path.is_dir():
        found = [file for file in _candidates(path) if find_header(file, columns)]
        names = (stem + suffix for stem in _OF_A_SPLIT for suffix in TABLE_SUFFIXES)
        inner = [folder / name for name in names for folder in folders_in(path)] if not found else []
        found += [file for file in inner if find_header(file, columns)]
        return sorted(found, key=lambda file: _split(file) != "train")
    return [path] if path.is_file() and find_header(path, columns) else []


def _candidates(folder: Path) -> list[Path]:
    files = sorted(folder.iterdir())
    return [file for file in files if file.suffix.lower() in TABLE_SUFFIXES and not file.name.startswith(".")]


def _no_table(path: Path, columns: Mapping[str, str]) -> InputError:
    """Why there is none, with the columns of what there is."""
    file = next((file for file in (_candidates(path) if path.is_dir() else [path]) if header_columns(file)), None)
    if file is None:
        return InputError(str(path), "no table: no CSV file, and no JSON lines")
    require_columns(str(file), header_columns(file), columns)
    return InputError(
        str(file),
        f"its columns are {', '.join(header_columns(file))}; expected one of image files ({', '.join(IMAGE_COLUMNS)}, "
        f"or --image-column) and one of labels ({', '.join(LABEL_COLUMNS)}, or --label-column)",
    )


def _split(table: Path) -> str:
    return split_of_file(table.resolve().parent if table.stem in _OF_A_SPLIT else table)


def _require_text(table: Path) -> None:
    """Names with other letters than English ones would not be found, each by itself."""
    try:
        encoding = text_encoding(table)
        data = table.read_bytes()
    except OSError as error:
        raise InputError(str(table), f"cannot be read ({error.strerror})") from error
    try:
        found = data.decode(encoding)
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = data.count(b"\n", 0, start) + 1
        # Not guessed: every byte is some letter in every code page of Windows, and labels would be quietly wrong.
        convert = ", or convert it ('iconv -f cp1252 -t utf-8' if it is of Windows)" if encoding == "utf-8-sig" else ""
        raise InputError(
            str(table), f"is not {_SPOKEN[encoding]} (line {line}); save it as 'CSV UTF-8'{convert}"
        ) from error
    if "\0" in found:
        raise InputError(str(table), f"is not {_SPOKEN[encoding]}; save it as 'CSV UTF-8'")


def _rows(table: Path, root: Path, options: ReadOptions) -> Iterator[_Row | InputError]:
    called = table.relative_to(root).as_posix()
    header = find_header(table, options.columns)
    if header is None:  # it had one a moment ago
        raise InputError(str(table), "changed while it was read")
    delimiter, names, image, label, split_column = header
    known = known_columns(options.attributes, names, called)
    box_columns = _BOX if set(_BOX) <= set(names) else ()
    read = [names.index(name) for name in (image, label, split_column, *box_columns) if name]
    lines = _csv_rows(table, called, delimiter, names, read) if delimiter else json_rows(table, called, names, read)
    for number, (where, cells) in enumerate(lines):
        if isinstance(cells, InputError):
            yield cells
            continue
        row = dict(zip(names, cells, strict=True))
        split = split_name(row[split_column]) if split_column else _split(table)
        told = {name: row[column].strip() for name, column in known.items() if row[column].strip()}
        box = [row[column] for column in box_columns]
        yield _Row(called, where, row[image], row[label], split, number, box, told)


def _csv_rows(
    table: Path, called: str, delimiter: str, names: list[str], read: Sequence[int]
) -> Iterator[tuple[str, list[str] | InputError]]:
    """Where each row is, and its cells."""
    with table.open(newline="", encoding=text_encoding(table), errors="replace") as file:
        reader = csv.reader(file, delimiter=delimiter)
        next(reader)
        for number, cells in enumerate(_filled(reader, called, read)):
            where = f"{called} row {number} (line {reader.line_num})"
            if len(cells) != len(names):
                yield where, InputError(where, f"{len(cells)} cells; expected {len(names)} ({', '.join(names)})")
            else:
                yield where, cells


def _filled(reader: Any, called: str, read: Sequence[int]) -> Iterator[list[str]]:
    """The rows that are not empty.

    Raises
    ------
    InputError
        If a cell goes on over other rows, which are lost in it: one of those that are read (by their places) holds a
        line break, or any holds hundreds.
    """
    start = reader.line_num
    try:
        for cells in reader:
            broken = any("\n" in cells[place] for place in read if place < len(cells))
            if broken or reader.line_num - start > _MOST_LINES:
                raise csv.Error(f"to line {reader.line_num}")
            start = reader.line_num
            if any(cell.strip() for cell in cells):
                yield cells
    except csv.Error as error:
        raise InputError(
            f"{called} line {start + 1}",
            f"a quotation mark opens a cell that does not end here ({error}): the rows below are lost in it; close it, "
            "or remove it",
        ) from error


def _without_foreign_root(rows: list[_Row | InputError], roots: list[Path]) -> list[_Row | InputError]:
    """Whole paths of the machine on which the table was made, from where they hold here.

    What is before that is taken from one of the first rows that are found so, and is the same for all.
    """
    whole = (row for row in rows if isinstance(row, _Row) and _ABSOLUTE.match(row.image.strip()))
    for row in islice(whole, _LOOKED_AT):
        if _find(row, roots) is not None:
            return rows
        parts = _slashes(row.image).split("/")
        ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
        end = next((end for end in ends if end and _find(row._replace(image=end), roots) is not None), None)
        if end is not None:
            before = _slashes(row.image).removesuffix(end)
            return [_below(row, before) if isinstance(row, _Row) else row for row in rows]
    return rows


def _below(row: _Row, folder: str) -> _Row:
    return row._replace(image=_slashes(row.image).removeprefix(folder))


def _slashes(name: str) -> str:
    return name.strip().replace("\\", "/")


def _require_once(rows: list[_Row | InputError], roots: list[Path]) -> None:
    """No image is in two of the tables, as where one has all rows and others have those of each split."""
    seen: dict[str, _Row] = {}
    for row in rows:
        if isinstance(row, InputError) or _is_pixels(row.image):
            continue
        first = seen.setdefault(_file_name(row), row)
        if first.table == row.table:
            continue
        file = _find(row, roots)
        if file is not None and file == _find(first, roots):
            raise InputError(
                row.where,
                f"{_file_name(row)} is also in {first.where}; give one of these tables, or a folder of tables that "
                "have no image in common",
            )


def _file_name(row: _Row) -> str:
    return (PurePosixPath(row.table).parent / _slashes(row.image)).as_posix()


def _items(
    rows: list[_Row | InputError],
    labels: tuple[str, ...],
    roots: list[Path],
    classes: Mapping[str, str],
) -> Iterator[Item | InputError]:
    for row in rows:
        yield row if isinstance(row, InputError) else attempt(_item, row, labels, roots, classes)


def _item(row: _Row, labels: tuple[str, ...], roots: list[Path], classes: Mapping[str, str]) -> Item:
    where = row.where
    pixels = _is_pixels(row.image)
    name = row.table if pixels else _file_name(row)
    label = labels.index(class_name(row.label, classes, where))
    if not row.split:
        raise InputError(where, "no split; expected a name such as train")
    return Item(
        where if pixels else f"{where}, {name}",
        partial(parse_pixels, row.image, where, None) if pixels else partial(_load, row, roots),
        label,
        row.split,
        name,
        row.number,
        box_xyxy=_box(row.box, where),
        attributes=row.attributes,
    )


def _box(cells: list[str], where: str) -> list[float] | None:
    try:
        return [float(cell) for cell in cells] or None
    except ValueError:
        raise InputError(where, f"box {', '.join(cells)}; expected numbers in {', '.join(_BOX)}") from None


def _is_pixels(text: str) -> bool:
    """Whether a cell holds the image itself, as numbers between blanks."""
    first = text.split(maxsplit=16)
    return len(first) > 16 and all(word.isdigit() for word in first[:16])


def _either_case(name: str) -> list[str]:
    """The name of an image as it is, and with its ending in small letters and in capitals: on Windows they are one."""
    path = PurePosixPath(name)
    return list(dict.fromkeys([name, *(str(path.with_suffix(case(path.suffix))) for case in (str.lower, str.upper))]))


def _find(row: _Row, roots: list[Path]) -> Path | None:
    """The image of a row, below the table's folder perhaps in ``train/``, ``train/happy/`` or ``happy/``."""
    name, label = _file_name(row), row.label.strip()
    names = _either_case(name) if is_image(name) else [name, *(name + ending for ending in _ENDINGS)]
    splits = [folder for folder in _SPLIT_FOLDERS if split_name(folder) == row.split] or [row.split]
    places = (".", *splits, *(f"{folder}/{label}" for folder in splits), label)
    written = (spelling for name in names for spelling in spellings(name))
    files = (root / place / name for name in written for place in places for root in roots)
    return next((file for file in files if file.is_file()), None)


def _load(row: _Row, roots: list[Path]) -> bytes:
    file = _find(row, roots)
    if file is not None:
        return read_file(os.fspath(file))
    raise InputError(
        f"{row.where}, {_file_name(row)}",
        "no such image beside the table, in images/, or in a folder there that is named by its split or class; name "
        "the folder of the images with --images",
    )


register(Table())
