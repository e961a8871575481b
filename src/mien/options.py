"""Options are declared once: as fields of a frozen dataclass.

The same declaration gives the library its keyword arguments and defaults, the command line its flags and help
text, and a configuration file its allowed keys.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from mien.errors import UsageError

__all__ = ["check_options", "option", "options_from_dict", "with_options"]

_KEY = "mien.option"
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


def check_options(options: Any) -> None:
    """Hold an options dataclass against its declarations.

    Raises
    ------
    UsageError
        If a value is not among the choices or out of bounds.
    """
    for item in dataclasses.fields(options):
        declared: _Declaration | None = item.metadata.get(_KEY)
        value = getattr(options, item.name)
        if declared is None or value is None:
            continue
        if declared.choices and value not in declared.choices:
            raise UsageError(f"{item.name} is {value!r}; expected one of {', '.join(declared.choices)}")
        low, high = declared.minimum, declared.maximum
        if low is None and high is None:
            continue
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not fits or not (low is None or value >= low) or not (high is None or value <= high):
            bounds = [f"at least {low:g}"] if low is not None else []
            bounds += [f"at most {high:g}"] if high is not None else []
            raise UsageError(f"{item.name} is {value!r}; expected a number of {' and '.join(bounds)}")


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
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise UsageError(f"unknown option '{key}'; expected one of {', '.join(known)}{hint}")
    return kind(**values)


def with_options(kind: type[Any], name: str = "options") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a Typer command one flag for each field of an options dataclass.

    The decorated function takes the built dataclass as its keyword argument `name`.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(function, eval_str=True)
        flags = _parameters(kind)
        names = [parameter.name for parameter in flags]

        @functools.wraps(function)
        def command(*args: Any, **kwargs: Any) -> Any:
            kwargs[name] = kind(**{field: kwargs.pop(field) for field in names})
            return function(*args, **kwargs)

        kept = [p for key, p in own.parameters.items() if key != name]
        parameters = [*kept, *flags]
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _parameters(kind: type[Any]) -> list[inspect.Parameter]:
    import typer

    parameters = []
    for item in dataclasses.fields(kind):
        declared: _Declaration | None = item.metadata.get(_KEY)
        if declared is None:
            continue
        annotation = declared.cli_type or _resolved(item.type, kind)
        flag = declared.flag or "--" + item.name.replace("_", "-")
        if annotation is bool:
            flag = f"{flag}/--no-{flag[2:]}"
        info = typer.Option(
            flag,
            help=declared.help,
            metavar=declared.metavar or ("{" + ",".join(declared.choices) + "}" if declared.choices else None),
            show_default=item.default is not None,
        )
        parameters.append(
            inspect.Parameter(
                item.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=item.default,
                annotation=Annotated[annotation, info],
            )
        )
    return parameters


def _resolved(annotation: Any, kind: type[Any]) -> Any:
    """A field's type; the text of our own source, where annotations are postponed, is evaluated."""
    if not isinstance(annotation, str):
        return annotation
    # Not typing.get_type_hints: it would need the names of all fields, also those only imported for type checkers.
    return eval(annotation, vars(sys.modules[kind.__module__]))  # noqa: S307
