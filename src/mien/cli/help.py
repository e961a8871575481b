"""The help of the commands, so that it can be read in a terminal of 80 columns."""

from __future__ import annotations

import copy
from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["ReadableCommand", "ReadableGroup"]


def _readable(parameter: Any) -> Any:
    """An option or argument as the help shows it.

    Typer gives the negatives of flags a column of their own, and cuts off names of options that then have no room. So
    each stands below its flag; and a flag is not said to take a ``<bool>``, since it takes no value.
    """
    shown = copy.copy(parameter)
    if parameter.param_type_name == "argument":
        shown.display_type_rich = lambda **_: None  # its name and its text say what it is: no ``<list[str]>``
    if not getattr(parameter, "is_flag", False):
        return shown
    shown.metavar = ""
    if shown.secondary_opts:
        shown.opts = ["\n".join([*shown.opts, *shown.secondary_opts])]
        shown.secondary_opts = []
        if shown.show_default and shown.default:
            shown.help = f"{shown.help} On by default."
        shown.show_default = False
    return shown


class _Readable:
    """Makes the help from copies of the options: the command itself takes them as they are."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        shown: Any = copy.copy(self)
        shown.get_params = lambda context: [_readable(one) for one in self.get_params(context)]  # type: ignore[attr-defined]
        made_by: Any = super(_Readable, shown)
        made_by.format_help(ctx, formatter)


class ReadableCommand(_Readable, TyperCommand):
    """A command with such a help."""


class ReadableGroup(_Readable, TyperGroup):
    """A group of commands with such a help."""
