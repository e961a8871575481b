"""docs/commands.md: every command with its arguments and flags, as its help shows them."""

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import typer

from mien.cli.app import COMMANDS, _make_app

HEAD = """\
# Command reference

Written by `scripts/pages` from the commands themselves; `mien COMMAND -h` says the same. What the commands are for:
[README](../README.md#documentation).

A flag that takes a value is followed by it (`--out FILE` or `--out=FILE`). `--quiet`, where a command has it, leaves
out notes and progress; `--json` prints results as JSON on stdout, and everything else goes to stderr. Every command
also takes `--help` (`-h`). `mien --version` shows the version.
"""
IN_RECIPES = {"train": "mien train", "search": "mien search"}
"""Commands that have a flag for each field of a recipe, which docs/recipe.md describes."""


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The commands of a group, and of the groups in it, by their whole name."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for inner, found in command.commands.items():
        yield from leaves(found, f"{name} {inner}")


def cell(said: str) -> str:
    return " ".join(said.split()).replace("|", "\\|")


def table(parameters: list[Any], context: Any) -> list[str]:
    lines = ["| flag | what it does |", "| --- | --- |"]
    for one in parameters:
        names, said = one.get_help_record(context)
        lines.append(f"| `{cell(names)}` | {cell(said)} |")
    return [*lines, ""]


def describe(name: str, command: Any) -> list[str]:
    context = typer.Context(command, info_name=name)
    parameters = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    arguments = [one for one in parameters if one.param_type_name == "argument"]
    options = [one for one in parameters if one.param_type_name == "option" and one.name != "help"]
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    lines = [f"## {name}", "", f"`{usage}`", "", *command.help.strip().split("\n"), ""]
    for one in arguments:
        names, said = one.get_help_record(context)
        lines.append(f"- `{names.partition(' ')[0]}`: {cell(said)}")
    lines.append("")
    panels: dict[str | None, list[Any]] = {None: []}  # those of the command itself first
    for one in options:
        panels.setdefault(getattr(one, "rich_help_panel", None), []).append(one)
    of_recipes = name in IN_RECIPES.values()
    for panel, found in panels.items():
        if not found or (of_recipes and panel is not None):
            continue
        if panel is not None:
            lines += [f"**{panel}**", ""]
        lines += table(found, context)
    if of_recipes:
        lines += ["Besides, [every field of a recipe](recipe.md) is a flag.", ""]
    return lines


def page() -> str:
    group = typer.main.get_command(_make_app(COMMANDS))
    commands = list(leaves(group, "mien"))
    # A line is not broken within a name.
    linked = " · ".join(f"[`{name.replace(' ', '~')}`](#{name.replace(' ', '-')})" for name, _ in commands)
    contents = textwrap.fill(linked, 130, break_on_hyphens=False).replace("~", " ")
    lines = [HEAD, contents, ""]
    for name, command in commands:
        lines += describe(name, command)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"
