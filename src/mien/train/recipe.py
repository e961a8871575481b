"""Recipes as files: reading, checking, changing and writing them. No torch here."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mien.errors import UsageError, import_extra
from mien.files import text_encoding, write_atomically
from mien.options import coerce_option, nearest_hint, option_help
from mien.train.options import RECIPES, ExpressionRecipe, Recipe
from mien.train.own import find_augmentation, find_loss, origin_of

__all__ = [
    "change_recipe",
    "flat_recipe",
    "read_recipe",
    "read_recipe_values",
    "recipe_differences",
    "recipe_from_dict",
    "recipe_kind",
    "recipe_sections",
    "recipe_text",
    "recipe_to_dict",
    "write_recipe",
]

R = TypeVar("R", bound=Recipe)
_KIND = "kind"
_MOST_VALUES = 10_000
_PLAIN_WORD = re.compile(r"[A-Za-z_](?:[\w ./-]*[\w./-])?", re.ASCII)
_SPECIAL_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def recipe_kind(name: str, kinds: Mapping[str, type[Recipe]] = RECIPES) -> type[Recipe]:
    """The recipe class of a kind.

    Raises
    ------
    UsageError
        If there is no such kind.
    """
    if name not in kinds:
        raise UsageError(f"kind is '{name}'; expected one of {', '.join(kinds)}{nearest_hint(name, kinds)}")
    return kinds[name]


def recipe_sections(kind: type[Recipe]) -> dict[str, type[Any]]:
    """The sections of a kind and their options, the kind's own ones first."""
    defaults = kind()
    items = {item.name: type(getattr(defaults, item.name)) for item in dataclasses.fields(kind)}
    shared = {item.name for item in dataclasses.fields(Recipe)}
    return {name: items[name] for name in sorted(items, key=lambda name: name in shared)}


def read_recipe(path: str | os.PathLike[str], kinds: Mapping[str, type[Recipe]] = RECIPES) -> Recipe:
    """Read a recipe from a YAML file.

    Numbers such as ``1e-3`` and words such as ``no`` are read as YAML 1.2 says: a number, and a word.

    Parameters
    ----------
    path : path
        The YAML file; docs/recipe.md lists what may stand in it.
    kinds : mapping of str to type
        The kinds of recipes that there are; a kind of your own is added here.

    Raises
    ------
    UsageError
        If the file cannot be read, is no YAML, or no recipe: unknown or repeated keys, values that do not fit.
    MissingExtraError
        If pyyaml is not installed.
    """
    values = read_recipe_values(path)
    try:
        return recipe_from_dict(values, kinds)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def read_recipe_values(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The sections of a YAML file as they stand there, unchecked; errors as `read_recipe`."""
    yaml = import_extra("Reading and writing recipes", "yaml", "train")
    try:
        text = Path(path).read_text(encoding=text_encoding(Path(path)))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no UTF-8 text"
        raise UsageError(f"{path}: cannot be read as a recipe ({reason})") from error
    try:
        values = yaml.load(text, Loader=_loader(yaml))
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UsageError(f"{path}: is not YAML{line}: {problem}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as a recipe ({error})") from error
    _require_few(values, path)
    if not isinstance(values, Mapping):
        raise UsageError(f"{path}: expected sections with keys ({', '.join(recipe_sections(ExpressionRecipe))})")
    return dict(values)


def _require_few(values: Any, path: str | os.PathLike[str]) -> None:
    """In a few lines of YAML, lists of lists that are named once and repeated are as many values as one likes."""
    left, count = [values], 0
    while left:
        value = left.pop()
        count += 1
        if count > _MOST_VALUES:
            raise UsageError(f"{path}: is no recipe: it holds more than {_MOST_VALUES:,} values")
        if isinstance(value, (Mapping, list)):
            left.extend(value.values() if isinstance(value, Mapping) else value)


def recipe_from_dict(values: Mapping[str, Any], kinds: Mapping[str, type[Recipe]] = RECIPES) -> Recipe:
    """A recipe from the values of a file.

    Parameters
    ----------
    values : mapping
        ``kind`` ("expression" without it), and for each section a mapping of keys to values. What is left out has its
        default.
    kinds : mapping of str to type
        The kinds that there are.

    Raises
    ------
    UsageError
        If a section or a key is unknown (the nearest known one is named), or a value does not fit.
    """
    kind = recipe_kind(str(values.get(_KIND, ExpressionRecipe.kind)), kinds)
    sections = recipe_sections(kind)
    defaults, built = kind(), {}
    for name, given in values.items():
        if name == _KIND:
            continue
        if name not in sections:
            home = _home(kind, str(name))
            hint = f"; '{name}' belongs to section '{home}'" if home else nearest_hint(name, sections)
            raise UsageError(f"unknown section '{name}'; expected some of {', '.join([_KIND, *sections])}{hint}")
        if given is None:
            continue
        if not isinstance(given, Mapping):
            raise UsageError(f"section '{name}' is {given!r}; expected keys with values")
        built[name] = dataclasses.replace(getattr(defaults, name), **_section(kind, name, sections[name], given))
    return dataclasses.replace(defaults, **built)


def _section(kind: type[Recipe], section: str, options: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    known = [item.name for item in dataclasses.fields(options)]
    values = {}
    for key, value in given.items():
        if key not in known:
            home = _home(kind, str(key))
            hint = f"; it belongs to section '{home}'" if home else nearest_hint(key, [*known, *_all_fields(kind)])
            raise UsageError(f"unknown key '{key}' in section '{section}'{hint or '; expected ' + ', '.join(known)}")
        values[key] = coerce_option(options, key, value)
    return values


def _home(kind: type[Recipe], field: str) -> str | None:
    """The section that a field belongs to."""
    return _all_fields(kind).get(field)


def _all_fields(kind: type[Recipe]) -> dict[str, str]:
    return {
        item.name: section for section, options in recipe_sections(kind).items() for item in dataclasses.fields(options)
    }


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """All values of a recipe, by section, as in a file: numbers, text, truth values, None and lists."""
    values: dict[str, Any] = {_KIND: recipe.kind}
    for section in recipe_sections(type(recipe)):
        options = getattr(recipe, section)
        values[section] = {item.name: _plain(getattr(options, item.name)) for item in dataclasses.fields(options)}
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def change_recipe(recipe: R, changes: Mapping[str, Any]) -> R:
    """The same recipe with some fields changed, named without their sections: ``{"learning_rate": 0.05}``.

    Parameters
    ----------
    recipe : Recipe
        Of any kind; it stays as it is.
    changes : mapping of str to value
        Values as in a file, by the names of their fields.

    Raises
    ------
    UsageError
        If the kind has no such field (the nearest one is named), or a value does not fit.
    """
    homes = _all_fields(type(recipe))
    for name in changes:
        if name not in homes:
            others = [kind for kind in RECIPES if kind != recipe.kind and name in _all_fields(RECIPES[kind])]
            hint = f"; it is one of kind '{others[0]}'" if others else nearest_hint(name, homes)
            raise UsageError(f"a recipe of kind '{recipe.kind}' has no field '{name}'{hint}")
    changed = {}
    for section, options in recipe_sections(type(recipe)).items():
        own = {name: coerce_option(options, name, value) for name, value in changes.items() if homes[name] == section}
        if own:
            changed[section] = dataclasses.replace(getattr(recipe, section), **own)
    return dataclasses.replace(recipe, **changed)


def recipe_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where two recipes, as `recipe_to_dict` gives them, differ: ``"section.key"`` to both values."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


def flat_recipe(recipe: Recipe) -> dict[str, Any]:
    """All values of a recipe by ``"section.key"``."""
    return dict(_flat(recipe_to_dict(recipe)))


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, keys in values.items():
        if isinstance(keys, Mapping):
            yield from ((f"{section}.{key}", value) for key, value in keys.items())
        else:
            yield section, keys


def recipe_text(recipe: Recipe, *, explained: bool = False) -> str:
    """A recipe as YAML with all its values; with a comment on each where it is to be read and changed.

    Another comment names the program that registers what is not mien's own.
    """
    lines = [f"# {name} is registered by {origin}" for name, origin in _own_parts(recipe).items()]
    lines.append(f"{_KIND}: {recipe.kind}")
    for section, options in recipe_sections(type(recipe)).items():
        lines += ["", f"{section}:"]
        values = recipe_to_dict(recipe)[section]
        for item in dataclasses.fields(options):
            if explained:
                lines.append(f"  # {option_help(item)}")
            lines.append(f"  {item.name}: {_yaml_text(values[item.name])}")
    return "\n".join(lines) + "\n"


def _own_parts(recipe: Recipe) -> dict[str, str]:
    """What a recipe names that is not mien's own, and the module or program that registers it."""
    if not isinstance(recipe, ExpressionRecipe):
        return {}
    named: dict[str, Any] = {name: find_augmentation(name) for name in recipe.augment.own}
    if (loss := find_loss(recipe.loss.loss)) is not None:
        named[recipe.loss.loss] = loss
    # It loads numpy, and is loaded where an architecture was registered.
    registry = sys.modules.get("mien.train.architectures.registry")
    if registry is not None and (build := registry.registered_builder(recipe.model.architecture)) is not None:
        named[recipe.model.architecture] = build
    origins = {name: origin_of(function) for name, function in named.items()}
    return {name: origin for name, origin in origins.items() if origin}


def _yaml_text(value: Any) -> str:
    """A value as YAML that versions 1.1 and 1.2 read alike."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml_text, value))}]"
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) and value.lower() not in _SPECIAL_WORDS:
        return value
    if isinstance(value, float) and "." not in (text := repr(value)):
        return text.replace("e", ".0e")  # 1e-05: YAML 1.1 asks for a point.
    return json.dumps(value, ensure_ascii=False)


def write_recipe(recipe: Recipe, path: str | os.PathLike[str]) -> None:
    """Write a recipe as a YAML file with all its values; whole or not at all.

    Parameters
    ----------
    recipe : Recipe
        Of any kind.
    path : path
        The file, which is replaced if it exists.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_atomically(Path(path), recipe_text(recipe).encode())


def _loader(yaml: Any) -> Any:
    """PyYAML's safe loader with the words and numbers of YAML 1.2, and without repeated keys.

    YAML 1.1, which PyYAML speaks, reads ``no`` and ``off`` as false, ``1e-3`` as text and ``010`` as eight.
    """

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's way

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            repeated = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
            if repeated is not None:
                raise yaml.constructor.ConstructorError(None, None, f"'{repeated}' occurs twice", node.start_mark)
            return super().construct_mapping(node, deep)

    def number(loader: Any, node: Any) -> float | int:
        text = loader.construct_scalar(node)
        return int(text) if re.fullmatch(r"[-+]?[0-9]+", text) else float(text)

    Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")
    )
    Loader.add_implicit_resolver(
        "!number", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z"), list("-+.0123456789")
    )
    Loader.add_constructor("!number", number)
    return Loader
