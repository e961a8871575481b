"""What the names of classes, splits and columns in a source mean here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from mien.data.info import USUAL_SPLITS
from mien.errors import InputError, UsageError
from mien.files import utf8_text
from mien.labels import EXPRESSIONS, canonical_name

__all__ = [
    "class_index",
    "class_key",
    "class_name",
    "known_class",
    "known_columns",
    "ordered_classes",
    "own_classes",
    "parse_attributes",
    "parse_classes",
    "split_name",
    "split_of_file",
    "spoken_split",
]

_SPLITS = {
    "training": "train", "trainset": "train", "train_set": "train", "training_set": "train",
    "publictest": "validation", "valid": "validation", "val": "validation", "val_set": "validation",
    "valid_set": "validation", "validation_set": "validation",
    "privatetest": "test", "testing": "test", "testset": "test", "test_set": "test",
}  # fmt: skip

_NUMBERED = re.compile(r"^\d+[ ._-]+")
"""Before the name of a class, so that folders lie in the order of the model's outputs (``0 angry``, ``1_disgust``)."""


def parse_classes(text: str | None) -> dict[str, str]:
    """What the source's own classes mean, from the option ``--classes``.

    Parameters
    ----------
    text : str or None
        Expressions in the order of the source's numbers, from 0 (``"surprise,fear"``), or pairs of the source's own
        name or number and an expression (``"1=surprise,2=fear"``, ``"wut=angry"``). Or classes of the user's own, if
        no two are expressions.

    Returns
    -------
    dict of str to str
        From the source's names in lower case to mien's; empty without a text.

    Raises
    ------
    UsageError
        If an expression is unknown, or a class comes twice.
    """
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    pairs = [part.split("=", 1) if "=" in part else [str(number), part] for number, part in enumerate(parts)]
    if any("=" in part for part in parts) and not all("=" in part for part in parts):
        raise UsageError(f"--classes is '{text}'; expected either names in order, or pairs such as 1=surprise,2=fear")
    meanings = _own_meanings(name for _, name in pairs)
    classes = {class_key(own): meanings.get(class_key(name)) or canonical_name(name) for own, name in pairs}
    if len(classes) < len(pairs):
        raise UsageError(f"--classes is '{text}', which names a class twice")
    return classes


def _own_meanings(names: Iterable[str]) -> dict[str, str]:
    """As `own_classes`, but stricter: what is hardly a class of the user's own is an expression that is misspelt."""
    own = own_classes(names)
    unknown = [name for name in own if known_class(name, {}) is None]
    misspelt = any(get_close_matches(name, EXPRESSIONS, n=1, cutoff=0.7) for name in unknown)
    return {} if misspelt or 2 * len(unknown) <= len(own) else own


def parse_attributes(text: str | None) -> tuple[str, ...]:
    """The names of attributes between commas, as they are kept: in small letters, each once."""
    names = (name.strip().lower() for name in (text or "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def class_name(text: str, classes: Mapping[str, str], where: str) -> str:
    """The project's name of a class that a source names.

    Raises
    ------
    InputError
        If it is unknown.
    """
    found = known_class(text, classes)
    if found is None:
        given = f"unknown class name '{text.strip()[:60]}'" if text.strip() else "no label"
        if text.strip().removesuffix(".0").isdigit() and any(name.isdigit() for name in classes):
            raise InputError(
                where, f"label '{text.strip()}'; expected one of {', '.join(classes)}, as --classes has it"
            )
        near = get_close_matches(class_key(text), EXPRESSIONS, n=1, cutoff=0.7)
        meant = f" (did you mean '{near[0]}'?)" if near else ""
        raise InputError(
            where,
            f"{given}{meant}; expected a spelling of {', '.join(EXPRESSIONS)}; "
            "'mien data import --classes' says what other names mean",
        )
    return found


def class_key(text: str) -> str:
    """A class name for comparison: macOS writes the names of files with accents apart from their letters."""
    return unicodedata.normalize("NFC", text).strip().lower()


def known_class(text: str, classes: Mapping[str, str]) -> str | None:
    """The project's name of a class that a source names; None if it is unknown."""
    key = class_key(text)
    # As data frames write whole numbers where some cells of the column are empty.
    own = classes.get(key) or classes.get(key.removesuffix(".0"))
    if own is not None:
        return own
    try:
        return canonical_name(_NUMBERED.sub("", key).strip(" ._-"))
    except UsageError:
        return None


def own_classes(names: Iterable[str]) -> dict[str, str]:
    """What the class names of a source mean where no two of them are names of expressions, nor its only one.

    They are classes of their own.

    Returns
    -------
    dict of str to str
        From the names in lower case to themselves; empty where they are expressions, or numbers.
    """
    own = {class_key(name) for name in names} - {""}
    numbers = any(name.replace(".", "", 1).removeprefix("-").isdigit() for name in own)
    known = sum(known_class(name, {}) is not None for name in own)
    if numbers or known > 1 or known == len(own):
        return {}
    return {name: utf8_text(name) for name in own}


def ordered_classes(found: Iterable[str | None]) -> tuple[str, ...]:
    """Classes in the order in which datasets have them: expressions in theirs, then others by name."""
    names = set(found) - {None}
    others = sorted(name for name in names if name is not None and name not in EXPRESSIONS)
    return (*(name for name in EXPRESSIONS if name in names), *others)


def split_name(name: str) -> str:
    """A split's name here: ``train``, ``validation`` and ``test`` for the field's names of these, else as it is."""
    key = name.strip().lower()
    return _SPLITS.get(key.replace(" ", "").replace("-", "_"), key)


def spoken_split(name: str) -> str | None:
    """The split that a name speaks of (``val2017``, ``train-00000-of-00002``); None if it speaks of none."""
    words = map(split_name, re.split(r"[^a-z]+", name.lower()))
    return next((word for word in words if word in USUAL_SPLITS), None)


def split_of_file(path: Path) -> str:
    """The split that a file's name speaks of (``val2017.json``), else ``train``."""
    return spoken_split(path.stem) or "train"


def known_columns(wanted: Sequence[str], columns: Sequence[str], where: str) -> dict[str, str]:
    """Find the columns that tell of attributes, whatever the case of their names.

    Returns
    -------
    dict of str to str
        From the attribute's name to the column's own.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    own = {name.strip().lower(): name for name in columns}
    missing = [name for name in wanted if name not in own]
    if missing:
        raise UsageError(f"{where} has no column {', '.join(missing)}; it has {', '.join(columns)}")
    return {name: own[name] for name in wanted}


def class_index(text: str, count: int, where: str, first: int = 0) -> int:
    """A class number from its text, as an index from 0.

    Raises
    ------
    InputError
        If it is no whole number from `first` to `first + count - 1`.
    """
    try:
        # As data frames write whole numbers where some cells of the column are empty.
        value = int(text.strip().removesuffix(".0"))
    except ValueError:
        value = first - 1
    if not first <= value < first + count:
        raise InputError(where, f"label '{text.strip()}'; expected a whole number from {first} to {first + count - 1}")
    return value - first
