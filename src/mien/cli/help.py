"""What is common to the commands: a help that can be read in a terminal of 80 columns, and repeated options."""

from __future__ import annotations

import copy
from typing import Any

from typer.core import TyperCommand, TyperGroup

from mien.cli.terminal import say

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
    """A command with such a help, which says so if an option is given twice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Click does, for which the last value of an option counts, and others are gone without a word."""
        given = list(args)
        rest: list[str] = super().parse_args(ctx, args)
        order = self.make_parser(ctx).parse_args(given)[2]
        for option in dict.fromkeys(order):
            times = order.count(option)
            if times > 1 and not (option.multiple or getattr(option, "is_flag", True)):  # arguments know no flags
                say(f"{max(option.opts, key=len)} is given {times} times; only the last counts")
        return rest


class ReadableGroup(_Readable, TyperGroup):
    """A group of commands with such a help."""
