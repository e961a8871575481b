"""docs/recipe.md: the options of training, from their declarations."""

import dataclasses
from typing import Any

from mien.options import option_facts
from mien.train.options import RECIPES, Recipe
from mien.train.recipe import recipe_sections
from mien.train.search.options import SearchOptions

HEAD = """\
# Every field of a recipe

Written by `scripts/pages` from the options' own declarations. [Training](train.md) says how they are used.

A recipe is a YAML file: `kind: expression` (the default) or `kind: detector`, then sections with fields. Fields that
are left out have their defaults. Every field is also a flag of `mien train`, without its section: `learning_rate` in
section `optimizer` is `--learning-rate`, and a boolean such as `pretrained` is `--pretrained` or `--no-pretrained`.
`mien train --print-recipe` (for a detector with `--kind detector`) prints a recipe with all values and explanations, as
a start for your own. A dash means "not set".
"""


def number(value: float) -> str:
    """Whole numbers with all their digits."""
    return str(int(value)) if value == int(value) else f"{value:g}"


def shown(value: Any) -> str:
    """A default as it stands in a file."""
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def values_of(facts: Any, kind: str) -> str:
    """What a field takes."""
    if facts.choices:
        return ", ".join(f"`{choice}`" for choice in facts.choices)
    low, high = facts.minimum, facts.maximum
    if low is not None and high is not None:
        return f"{kind}, {number(low)} to {number(high)}"
    if low is None and high is None:
        return kind
    return f"{kind}, to {number(high)}" if low is None else f"{kind}, from {number(low)}"


WORDS = {"int": "whole number", "float": "number", "bool": "true, false", "str": "text", "Path": "path"}


def kind_of(item: dataclasses.Field[Any]) -> str:
    text = str(item.type).replace(" | None", "")
    return f"list of {WORDS[text[6:-6]]}s" if text.startswith("tuple[") else WORDS.get(text, text)


def table(options: type[Any]) -> list[str]:
    lines = ["| field | default | takes | what it does |", "| --- | --- | --- | --- |"]
    for item in dataclasses.fields(options):
        facts = option_facts(item)
        if facts is None:
            continue
        name = f"`{item.name}`" + (f" (`{facts.flag}`)" if facts.flag else "")
        takes, text = values_of(facts, kind_of(item)), facts.help.replace("|", "\\|")
        lines.append(f"| {name} | {shown(item.default)} | {takes} | {text} |")
    return [*lines, ""]


def page() -> str:
    lines = [HEAD]
    shared = list(recipe_sections(Recipe))
    for kind, recipe in RECIPES.items():
        lines += [f"## Of kind `{kind}`", ""]
        for section, options in recipe_sections(recipe).items():
            if section not in shared:
                lines += [f"### `{section}`", "", (options.__doc__ or "").splitlines()[0], "", *table(options)]
    lines += ["## Of every kind", ""]
    for section, options in recipe_sections(Recipe).items():
        lines += [f"### `{section}`", "", (options.__doc__ or "").splitlines()[0], "", *table(options)]
    lines += ["## Flags of `mien search`", "", "Besides those of the recipe; they stand in no file.", ""]
    lines += table(SearchOptions)
    return "\n".join(lines).rstrip() + "\n"
