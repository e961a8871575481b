"""Flags of the command line, made of the fields of options dataclasses as `mien.options.option` declares them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.errors import UsageError
from mien.options import option_facts, option_type, without_none

__all__ = ["refuse_flags", "with_flags", "with_options"]

Command = Callable[..., Any]
Flag = inspect.Parameter

_NAMED = re.compile(r"(?:^|(?<=both )|(?<=and )|(?<=\())[a-z][a-z0-9_]*(?=:| is | \()")
"""Where a message names a field: "fps is 0", "both every_s (1) and fps (2)"."""


_VALUES = {int: "N", float: "NUMBER", Path: "PATH", str: "TEXT"}
"""What the help shows as the value of a flag that says nothing else."""


def with_options(kind: type[Any], name: str = "options") -> Callable[[Command], Command]:
    """Give a Typer command one flag for each field of an options dataclass.

    The decorated function takes the built dataclass as its keyword argument `name`. In the help, flags are under the
    `HEADLINE` of the class that declares them, where it has one.
    """
    return _with_flags(name, list(_typed_flags(kind)), functools.partial(_build, kind))


def with_flags(groups: Mapping[str, Iterable[type[Any]]]) -> Callable[[Command], Command]:
    """Give a Typer command one flag for each field of several options dataclasses; none is required.

    The decorated function takes a dict of field name to value, with the flags that were given, as its keyword argument
    ``given``. Values come as text (truth values as bool); `mien.options.coerce_option` makes them fit.

    Parameters
    ----------
    groups : mapping of str to iterable of type
        The flags by their headline in the help. A field that several dataclasses share is one flag.
    """
    flags: dict[str, Flag] = {}
    for headline, kinds in groups.items():
        for flag in (flag for kind in kinds for flag in _free_flags(kind, headline)):
            flags.setdefault(flag.name, flag)
    return _with_flags(
        "given", list(flags.values()), lambda values: {key: value for key, value in values.items() if value is not None}
    )


def refuse_flags(options: Any, reason: str, allowed: Iterable[str] = ()) -> None:
    """Refuse options that were given where they would be ignored.

    Parameters
    ----------
    options : dataclass
    reason : str
        Completes "--labels and --by ...".
    allowed : iterable of str
        Fields that are not ignored.

    Raises
    ------
    UsageError
        If another field than those allowed has another value than its default.
    """
    flags = []
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if item.name not in allowed and value != item.default and (declared := option_facts(item)) is not None:
            both = _spelling(declared.flag, item.name, option_type(type(options), item)).split("/")
            flags.append(both[-1] if value is False else both[0])
    if flags:
        raise UsageError(f"{' and '.join(flags)} {reason}")


def _build(kind: type[Any], values: dict[str, Any]) -> Any:
    """The options dataclass; what is wrong with a value is told by the flag, which is what the person knows."""
    try:
        return kind(**values)
    except UsageError as error:
        flags = {
            item.name: declared.flag or _flag(item.name)
            for item in dataclasses.fields(kind)
            if (declared := option_facts(item)) is not None
        }
        told = _NAMED.sub(lambda found: flags.get(found[0], found[0]), str(error))
        raise UsageError(told) from None


def _with_flags(name: str, flags: list[Flag], gather: Callable[[dict[str, Any]], Any]) -> Callable[[Command], Command]:
    """Put flags in the place of a function's keyword argument, which gets what `gather` makes of their values."""

    def decorate(function: Command) -> Command:
        own = inspect.signature(function, eval_str=True)

        @functools.wraps(function)
        def command(*args: Any, **kwargs: Any) -> Any:
            kwargs[name] = gather({flag.name: kwargs.pop(flag.name, flag.default) for flag in flags})
            return function(*args, **kwargs)

        parameters = [*(one for key, one in own.parameters.items() if key != name), *flags]
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _typed_flags(kind: type[Any]) -> Iterator[Flag]:
    for item in dataclasses.fields(kind):
        if (declared := option_facts(item)) is None:
            continue
        annotation = declared.cli_type or option_type(kind, item)
        info = typer.Option(
            _spelling(declared.flag, item.name, annotation),
            help=declared.help,
            metavar=declared.metavar or _choices(declared.choices) or _VALUES.get(without_none(annotation)),
            show_default=item.default is not None,
            rich_help_panel=_headline(kind, item.name),
        )
        yield Flag(item.name, Flag.KEYWORD_ONLY, default=item.default, annotation=Annotated[annotation, info])


def _free_flags(kind: type[Any], headline: str) -> Iterator[Flag]:
    for item in dataclasses.fields(kind):
        if (declared := option_facts(item)) is None:
            continue
        wanted = without_none(option_type(kind, item))
        info = typer.Option(
            _spelling(declared.flag, item.name, wanted),
            help=declared.help + _default_text(item.default),
            metavar=None
            if wanted is bool
            else declared.metavar or _choices(declared.choices) or _VALUES.get(wanted, "TEXT"),
            show_default=False,
            rich_help_panel=headline,
        )
        annotation = (bool if wanted is bool else str) | None
        yield Flag(item.name, Flag.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, info])


def _flag(field: str) -> str:
    return "--" + field.replace("_", "-")


def _spelling(given: str | None, field: str, wanted: Any) -> str:
    flag = given or _flag(field)
    return f"{flag}/--no-{flag[2:]}" if wanted is bool else flag


def _choices(choices: tuple[str, ...]) -> str | None:
    # With spaces, at which a narrow terminal breaks the line; else it would break within a word.
    return "{" + ", ".join(choices) + "}" if choices else None


def _default_text(default: Any) -> str:
    if default is None or default == () or default is dataclasses.MISSING:
        return ""
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    if isinstance(default, bool):
        default = "yes" if default else "no"
    return f" (default: {default})"


def _headline(kind: type[Any], field: str) -> str | None:
    declaring = next(base for base in kind.__mro__ if field in inspect.get_annotations(base))
    return vars(declaring).get("HEADLINE")
