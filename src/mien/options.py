"""Options are declared once: as fields of a frozen dataclass.

The same declaration gives the library its keyword arguments and defaults, a configuration file its allowed keys, and
the command line its flags and help text (`mien.cli.flags`).
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import numbers
import os
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mien.errors import UsageError

__all__ = [
    "Options",
    "coerce_option",
    "given_options",
    "nearest_hint",
    "option",
    "option_facts",
    "option_help",
    "option_type",
    "options_from_dict",
    "without_none",
]

_KEY = "mien.option"
_WRAPPER = textwrap.TextWrapper(112, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class _Declaration:
    help: str
    flag: str | None
    metavar: str | None
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    cli_type: Any

    @property
    def bounds(self) -> str:
        """In words, such as "at least 1 and at most 90"; empty where there are none."""
        ends = {"at least": self.minimum, "at most": self.maximum}
        return " and ".join(f"{which} {end:g}" for which, end in ends.items() if end is not None)


def option(
    default: Any,
    help: str,  # noqa: A002 - the word that command-line libraries use
    *,
    flag: str | None = None,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    cli_type: Any = None,
) -> Any:
    """Declare a field of an options dataclass.

    Parameters
    ----------
    default : object
        Its default value (immutable).
    help : str
        One sentence for the command line.
    flag : str, optional
        The flag where it is not ``--field-name``.
    metavar : str, optional
        What the help shows as the value.
    choices : tuple of str
        The allowed values; empty for any.
    minimum, maximum : float, optional
        Inclusive bounds of a number.
    cli_type : type, optional
        The type on the command line where the field's own allows more (objects, say).
    """
    declaration = _Declaration(help, flag, metavar, choices, minimum, maximum, cli_type)
    return dataclasses.field(default=default, metadata={_KEY: declaration})


class Options:
    """What an options dataclass inherits: its values are checked against their declarations when it is made.

    Numbers and bools of numpy become Python's, the names of files become paths, paths become text where text is meant,
    and lists become tuples. The docstring gets a section of parameters, made of the declarations.

    Raises
    ------
    UsageError
        If a value is not among the choices or out of bounds, is None where that means nothing, no bool or text where
        one is meant, or has a fraction where things are counted.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__doc__ is not None:  # as it is under python -OO
            head, *sections = inspect.cleandoc(cls.__doc__).split("\n\nRaises\n")
            cls.__doc__ = "\n\nRaises\n".join([f"{head}\n\n{_parameters(cls)}", *sections])

    def __post_init__(self) -> None:
        for item in dataclasses.fields(typing.cast("Any", self)):
            if (declared := option_facts(item)) is not None:
                value = _checked(item, declared, getattr(self, item.name))
                object.__setattr__(self, item.name, value)  # most options dataclasses are frozen


def _parameters(kind: type[Options]) -> str:
    """The section of a docstring, for a class that is not a dataclass yet: `kind` has its fields as attributes."""
    known: dict[str, tuple[Any, Any]] = {}
    for base in reversed(kind.__mro__):
        own = vars(base).get("__dataclass_fields__", vars(base))
        known |= {name: (wanted, own.get(name)) for name, wanted in inspect.get_annotations(base).items()}
    lines = ["Parameters", "----------"]
    for name, (wanted, item) in known.items():
        if isinstance(item, dataclasses.Field) and (declared := option_facts(item)) is not None:
            text = wanted if isinstance(wanted, str) else inspect.formatannotation(wanted)
            said = option_help(item) + (f" {declared.bounds.capitalize()}." if declared.bounds else "")
            lines.append(f"{name} : {text}, default {item.default!r}")
            lines.append(_WRAPPER.fill(said))
    return "\n".join(lines)


def _checked(item: dataclasses.Field[Any], declared: _Declaration, value: Any) -> Any:
    if value is None:
        # None is no other way to say "the default": a detector of None might as well mean none at all.
        if not _names_type(item, "None"):
            raise UsageError(f"{item.name} is None; leave it out for its default, {item.default!r}")
        return None
    value = _as_text_or_list(item, value, declared.choices)
    if isinstance(value, str) and _names_type(item, "Path") and not _names_type(item, "str"):
        return Path(value)
    if _names_type(item, "bool") and not isinstance(value, bool):
        if type(value).__name__ not in ("bool", "bool_"):  # numpy's; "no" would count as true
            raise UsageError(f"{item.name} is {value!r}; expected True or False")
        return bool(value)
    if _is_number(value):
        value = _plain_number(item, value)
    if declared.choices and value not in declared.choices:
        raise UsageError(f"{item.name} is {value!r}; expected one of {', '.join(declared.choices)}")
    low = -math.inf if declared.minimum is None else declared.minimum
    high = math.inf if declared.maximum is None else declared.maximum
    if declared.bounds and not (_is_number(value) and low <= value <= high and math.isfinite(value)):
        raise UsageError(f"{item.name} is {value!r}; expected a number of {declared.bounds}")
    return value


def _plain_number(item: dataclasses.Field[Any], value: Any) -> int | float:
    """A number of Python, whole where the field holds nothing else."""
    if isinstance(value, numbers.Integral):
        return int(value)
    if not _names_type(item, "int") or _names_type(item, "float"):
        return float(value)
    if value % 1 != 0:
        raise UsageError(f"{item.name} is {value!r}; expected a whole number")
    return int(value)


def _as_text_or_list(item: dataclasses.Field[Any], value: Any, choices: tuple[str, ...]) -> Any:
    """The value of a field of text, or that of one of several values as a tuple; others are as they are.

    What came is told by its type: it may be a secret.
    """
    wanted = str(item.type).removeprefix("<class '").removesuffix("'>").removesuffix(" | None")
    if wanted == "str" and isinstance(value, os.PathLike):
        return os.fspath(value)
    if wanted == "str" and not isinstance(value, str) and not choices:
        raise UsageError(f"{item.name} is of type {type(value).__name__}; expected text")
    if wanted.startswith("tuple["):
        if not isinstance(value, (list, tuple)):
            raise UsageError(f"{item.name} is of type {type(value).__name__}; expected a list")
        return tuple(value)
    return value


def _is_number(value: object) -> bool:
    """Whether it is a number of Python or numpy, and no bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _names_type(item: dataclasses.Field[Any], name: str) -> bool:
    # By the text of our own source where annotations are postponed: it may name types that only type checkers import.
    return re.search(rf"\b{name}\b", str(item.type)) is not None


def options_from_dict(kind: type[T], values: Mapping[str, Any]) -> T:
    """Build an options dataclass from a configuration file's values; unknown keys are refused.

    Raises
    ------
    UsageError
        If a key is unknown (the message names the nearest known one) or a value does not fit.
    """
    known = [item.name for item in dataclasses.fields(typing.cast("Any", kind)) if item.init]
    for key in values:
        if key not in known:
            raise UsageError(f"unknown option '{key}'; expected one of {', '.join(known)}{nearest_hint(key, known)}")
    return kind(**values)


def given_options(kind: type[T], options: T | None, values: Mapping[str, Any]) -> T:
    """The options that a function was given: as an object, or its fields as keywords.

    Raises
    ------
    UsageError
        If both are given, of which one would be lost; as `options_from_dict`; or if it is no such object.
    """
    if options is None:
        return options_from_dict(kind, values)
    if not isinstance(options, kind):
        raise UsageError(f"options is {options!r}; expected {kind.__name__}, or its fields as keywords")
    if values:
        raise UsageError(
            f"options are given, and beside them {', '.join(values)}; expected one or the other "
            "(dataclasses.replace changes some)"
        )
    return options


def nearest_hint(word: object, known: Iterable[str]) -> str:
    """A question that names the known word nearest to an unknown one; empty where none is near."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def option_facts(item: dataclasses.Field[Any]) -> _Declaration | None:
    """How a field is declared: its help, flag, choices and bounds; None for a field that is no option."""
    declared: _Declaration | None = item.metadata.get(_KEY)
    return declared


def option_help(item: dataclasses.Field[Any]) -> str:
    """What a field's declaration says of it, with the allowed values."""
    declared: _Declaration = item.metadata[_KEY]
    return declared.help + (f" One of {', '.join(declared.choices)}." if declared.choices else "")


def coerce_option(kind: type[Any], name: str, value: Any) -> Any:
    """A field's value as text, a configuration file or Python gave it, in the type that the field has.

    Text becomes a number, a path or a truth value; text with commas and lists become tuples; a mapping becomes a tuple
    of ``"key=value"``; "none" and "null" become None where the field allows it.

    Raises
    ------
    UsageError
        If it does not fit the type.
    """
    item = next(item for item in dataclasses.fields(kind) if item.name == name)
    annotation = option_type(kind, item)
    wanted = without_none(annotation)
    declared = option_facts(item)
    choices = declared.choices if declared is not None else ()
    if value is None or (isinstance(value, str) and value.lower() in ("none", "null") and value not in choices):
        if wanted is not annotation:
            return None
        raise UsageError(f"{name} is empty; expected {_type_name(wanted)}")
    if typing.get_origin(wanted) is not tuple:
        return _coerce_one(name, wanted, value, choices)
    element = typing.get_args(wanted)[0]
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif isinstance(value, Mapping):
        value = [f"{key}={part}" for key, part in value.items()]
    elif not isinstance(value, (list, tuple)):
        value = [value]
    return tuple(_coerce_one(name, element, part, ()) for part in value)


def _coerce_one(name: str, wanted: Any, value: Any, choices: tuple[str, ...]) -> Any:
    misfit = UsageError(f"{name} is {value!r}; expected {_type_name(wanted)}")
    number = _is_number(value)
    if wanted is bool:
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        if isinstance(value, str):
            value = words.get(value.lower())
        if not isinstance(value, bool):
            raise misfit
        return value
    if wanted in (int, float):
        # YAML 1.1 reads 1e-3 as text; and text is all that a command line has.
        try:
            read = float(value) if number or isinstance(value, str) else math.nan
        except ValueError:
            raise misfit from None
        if not math.isfinite(read) or (wanted is int and read != int(read)):
            raise misfit
        return int(value) if wanted is int and isinstance(value, numbers.Integral) else wanted(read)
    if wanted is str:
        if number and str(value) in choices:
            return str(value)
        if isinstance(value, bool):
            raise UsageError(f"{name} is {value!r}; expected text: put the word in quotes")
        if not isinstance(value, str):
            raise misfit
        return value
    if wanted is Path:
        if not isinstance(value, (str, Path)) or not str(value):
            raise misfit
        return Path(value)
    return value


def _type_name(wanted: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    if typing.get_origin(wanted) is tuple:
        return f"a list, or text with commas, of {names.get(typing.get_args(wanted)[0], 'values')}"
    return names.get(wanted, str(wanted))


def option_type(kind: type[Any], item: dataclasses.Field[Any]) -> Any:
    """A field's type; an annotation that is text, since its module postpones them, is evaluated."""
    if not isinstance(item.type, str):
        return item.type
    # Not typing.get_type_hints: it would need the names of all fields, also those only imported for type checkers.
    return eval(item.type, vars(sys.modules[kind.__module__]))  # noqa: S307


def without_none(annotation: Any) -> Any:
    """A type without None: ``int`` for ``int | None`` and for ``int``."""
    parts = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return next(part for part in parts if part is not types.NoneType)
