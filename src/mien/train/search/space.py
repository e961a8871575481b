"""What may be varied: fields of a recipe, each with a range or with choices. No torch and no Optuna here."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import UsageError
from mien.options import coerce_option, nearest_hint
from mien.train.options import Recipe
from mien.train.recipe import change_recipe, read_recipe_values, recipe_from_dict, recipe_sections, recipe_to_dict

if TYPE_CHECKING:
    import optuna

__all__ = ["Choices", "Range", "Space", "read_search"]

SECTION = "search"
_EXAMPLE = "learning_rate: {low: 0.01, high: 0.3, log: true} or batch_size: [64, 128, 256]"
_RANGE_KEYS = ("low", "high", "log", "step")
# A search must not vary which rows it validates on, nor where it runs.
_FIXED_SECTIONS = ("run",)
_FIXED = (
    "dataset", "train_split", "validation_split", "validation_data", "validation_share", "data_seed", "fold", "labels",
    "leaked",
)  # fmt: skip


@dataclass(frozen=True)
class Choices:
    """Values that a field may have."""

    values: tuple[Any, ...]

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Ask the trial for a value."""
        return trial.suggest_categorical(name, self.values)

    def holds(self, value: Any) -> bool:
        """Whether it is one of the values."""
        return any(_same(value, own) for own in self.values)

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.values)

    def number_of(self, value: Any) -> int:
        """Which of them a value is, from 0."""
        return next(number for number, own in enumerate(self.values) if _same(value, own))

    def value_at(self, number: int) -> Any:
        """The value of a number, from 0."""
        return self.values[number]

    def to_plain(self) -> list[Any]:
        """As in a file."""
        return list(self.values)


def _same(value: Any, own: Any) -> bool:
    """Whether two values are one choice; True is not 1, and 1 is not 1.0."""
    return value == own and type(value) is type(own)


@dataclass(frozen=True)
class Range:
    """Numbers that a field may have, from `low` to `high`.

    Attributes
    ----------
    low, high : int or float
        Inclusive; both int where the field takes whole numbers.
    log : bool
        Every factor is as likely as another, not every difference.
    step : int or float, optional
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Ask the trial for a value."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, int(self.high), log=self.log, step=int(self.step or 1))
        return trial.suggest_float(name, self.low, self.high, log=self.log, step=self.step)

    def holds(self, value: Any) -> bool:
        """Whether it lies in the range, on a step."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-6)

    @property
    def count(self) -> int | None:
        """How many values there are; None for a continuous range."""
        step = self._step
        return None if step is None else int((self.high - self.low) / step + 1e-6) + 1

    def number_of(self, value: Any) -> int:
        """Which of them a value is, from 0."""
        assert self._step is not None  # noqa: S101 - asked of what can be counted
        steps: float = (value - self.low) / self._step
        return round(steps)

    def value_at(self, number: int) -> Any:
        """The value of a number, from 0."""
        assert self._step is not None  # noqa: S101 - asked of what can be counted
        return self.low + number * self._step

    @property
    def _step(self) -> float | None:
        return 1 if self.step is None and isinstance(self.low, int) else self.step

    def to_plain(self) -> dict[str, Any]:
        """As in a file."""
        return {
            key: value for key, value in dataclasses.asdict(self).items() if value is not None and value is not False
        }


@dataclass(frozen=True)
class Space:
    """What a search varies.

    Attributes
    ----------
    fields : mapping of str to Choices or Range
        The fields of the recipe, named without their sections, and what each may be.
    """

    fields: Mapping[str, Choices | Range]

    @classmethod
    def of(cls, recipe: Recipe, declared: Any) -> Space:
        """Check what a file or a caller declares.

        Parameters
        ----------
        recipe : Recipe
            What is varied.
        declared : mapping of str to mapping or sequence
            For each field of the recipe, named without its section, ``{"low": 1e-3, "high": 0.1, "log": True}`` (also
            ``"step"``) or a list of values.

        Raises
        ------
        UsageError
            If there is nothing to vary, a field is unknown or not to be varied, or a range or value does not fit.
        """
        if not isinstance(declared, Mapping) or not declared:
            raise UsageError(f"the search space is empty; expected fields with ranges or lists, such as {_EXAMPLE}")
        homes = {
            item.name: (section, options)
            for section, options in recipe_sections(type(recipe)).items()
            for item in dataclasses.fields(options)
        }
        fields = {}
        for name, given in declared.items():
            if name not in homes:
                raise UsageError(
                    f"search: a recipe of kind '{recipe.kind}' has no field '{name}'{nearest_hint(name, homes)}"
                )
            section, options = homes[name]
            if section in _FIXED_SECTIONS or name in _FIXED:
                raise UsageError(
                    f"search: '{name}' cannot be varied: it decides where trials run or how they are scored"
                )
            fields[name] = _checked(recipe, options, name, given)
        return cls(fields)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Ask a trial for a value of each field."""
        return {name: field.suggest(trial, name) for name, field in self.fields.items()}

    @property
    def count(self) -> int | None:
        """How many different recipes it holds; None where a field takes any number of a range."""
        counts = [field.count for field in self.fields.values()]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    def numbers_of(self, values: Mapping[str, Any]) -> tuple[int, ...]:
        """Which values of its fields these are; of a space that can be counted."""
        return tuple(field.number_of(values[name]) for name, field in self.fields.items())

    def another(self, tried: Container[tuple[int, ...]], seed: int) -> dict[str, Any]:
        """Values by chance that are not among those tried, as `numbers_of` gives them; there must be some."""
        rng = random.Random(seed)  # noqa: S311 - no secret
        while True:
            drawn = {name: field.value_at(rng.randrange(field.count or 1)) for name, field in self.fields.items()}
            if self.numbers_of(drawn) not in tried:
                return drawn

    def values_of(self, recipe: Recipe) -> dict[str, Any] | None:
        """The recipe's own values of the fields; None where one of them lies outside the space."""
        every = {name: value for keys in recipe_to_dict(recipe).values() if isinstance(keys, dict)
                 for name, value in keys.items()}  # fmt: skip
        # Fields whose default depends on the optimizer have the value that it uses.
        every |= {"learning_rate": recipe.optimizer.rate, "weight_decay": recipe.optimizer.decay}
        own = {name: every[name] for name in self.fields}
        return own if all(self.fields[name].holds(value) for name, value in own.items()) else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in a file."""
        return {name: field.to_plain() for name, field in self.fields.items()}


def read_search(path: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> tuple[Recipe, Space]:
    """Read a recipe with a section ``search``.

    Parameters
    ----------
    path : path
        A recipe in YAML; what is varied stands in the section ``search``, field by field.
    changes : mapping of str to value, optional
        Fields to change before.

    Raises
    ------
    InputError, UsageError, MissingExtraError
        As `mien.train.read_recipe`, and `Space.of`.
    """
    values = read_recipe_values(path)
    declared = values.pop(SECTION, None)
    try:
        recipe = change_recipe(recipe_from_dict(values), changes or {})
        return recipe, Space.of(recipe, declared)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _checked(recipe: Recipe, options: type[Any], name: str, given: Any) -> Choices | Range:
    try:
        if isinstance(given, Mapping):
            bounds = _range(options, name, given)
            for value in (bounds.low, bounds.high):
                change_recipe(recipe, {name: value})
            return bounds
        if isinstance(given, (list, tuple)) and given:
            return _choices(recipe, options, name, given)
    except UsageError as error:
        raise UsageError(f"search: {error}") from error
    raise UsageError(f"search: {name} is {given!r}; expected a range or a list of values, such as {_EXAMPLE}")


def _choices(recipe: Recipe, options: type[Any], name: str, given: Sequence[Any]) -> Choices:
    kept = []
    for raw in given:
        if isinstance(raw, (list, tuple, Mapping)):
            raise UsageError(f'{name} has a list in its list; expected text with commas in place of it, such as "a,b"')
        value = coerce_option(options, name, raw)
        change_recipe(recipe, {name: value})
        # Tuples and paths are kept as the text that they were given as: Optuna stores plain values only.
        kept.append(raw if isinstance(value, (tuple, Path)) else value)
    if len({json.dumps(value) for value in kept}) != len(kept):
        raise UsageError(f"{name} is {list(given)!r}; expected each value once")
    return Choices(tuple(kept))


def _range(options: type[Any], name: str, given: Mapping[Any, Any]) -> Range:
    for key in given:
        if key not in _RANGE_KEYS:
            raise UsageError(
                f"{name} has the unknown key '{key}'; expected {', '.join(_RANGE_KEYS)}{nearest_hint(key, _RANGE_KEYS)}"
            )
    if "low" not in given or "high" not in given:
        raise UsageError(f"{name} is {dict(given)!r}; expected low and high")
    low, high = (coerce_option(options, name, given[key]) for key in ("low", "high"))
    step = None if given.get("step") is None else coerce_option(options, name, given["step"])
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in (low, high)):
        raise UsageError(f"{name} is no number; expected a list of values in place of a range")
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise UsageError(f"{name}: log is {log!r}; expected true or false")
    if not low < high:
        raise UsageError(f"{name} goes from {low:g} to {high:g}; expected low below high")
    if step is not None and not 0 < step <= high - low:
        raise UsageError(f"{name}: step is {step:g}; expected more than 0, at most {high - low:g}")
    if log and (low <= 0 or step is not None):
        raise UsageError(f"{name} is logarithmic; expected low above 0, and no step")
    return Range(low, high, log, step)
