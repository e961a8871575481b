"""Tables with a JSON object on each line, as ``metadata.jsonl`` of Hugging Face's image folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mien.errors import InputError
from mien.files import parse_json

__all__ = ["JSON_LINES", "json_columns", "json_rows"]

JSON_LINES = (".jsonl", ".ndjson")
"""How the names of such files end."""


def json_columns(path: Path) -> list[str] | None:
    """The keys of the first object in small letters; None where the first line is none."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = _parsed(file.readline())
    except (OSError, ValueError):
        return None
    return [key.strip().lower() for key in first]


def json_rows(
    path: Path, called: str, names: list[str], read: Sequence[int]
) -> Iterator[tuple[str, list[str] | InputError]]:
    """Where each row is, and its cells as text in the order of `names`; empty where an object has no such key.

    Of those that are read, by their places, none may be a list or an object.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        row = 0
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{called} row {row} (line {number})"
            row += 1
            try:
                values = {key.strip().lower(): value for key, value in _parsed(line).items()}
            except ValueError as error:
                yield where, InputError(where, f'{error}; expected a JSON object such as {{"file_name": ...}}')
                continue
            nested = [names[place] for place in read if isinstance(values.get(names[place]), (list, dict))]
            if nested:
                yield where, InputError(where, f"{nested[0]} is {json.dumps(values[nested[0]])[:60]}; expected a text")
                continue
            yield where, [_text(values.get(name)) for name in names]


def _parsed(line: str) -> dict[str, Any]:
    value = parse_json(line)
    if isinstance(value, dict):
        return value
    raise ValueError(f"'{line.strip()[:40]}' is no object")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as data frames keep whole numbers where some are missing
    return str(value)
