from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import UsageError
from mien.train import change_recipe
from mien.train.options import ExpressionRecipe
from mien.train.search import Space, read_search

RECIPE = ExpressionRecipe()


def test_a_file_declares_what_is_varied(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("""
optimizer:
  batch_size: 64
search:
  learning_rate: {low: 1e-3, high: 0.3, log: true}
  warmup_epochs: {low: 0, high: 3, step: 0.5}
  low_resolution_px: {low: 8, high: 24}
  optimizer: [sgd, adamw]
  batch_size: [64, 128]
  clip_norm: [0, 5]
  decay_norms: [true, false]
""")
    recipe, space = read_search(str(path), {"epochs": 3})
    assert (recipe.optimizer.batch_size, recipe.schedule.epochs) == (64, 3)
    assert space.to_dict() == {
        "learning_rate": {"low": 0.001, "high": 0.3, "log": True},
        "warmup_epochs": {"low": 0.0, "high": 3.0, "step": 0.5},
        "low_resolution_px": {"low": 8, "high": 24},
        "optimizer": ["sgd", "adamw"],
        "batch_size": [64, 128],
        "clip_norm": [0.0, 5.0],
        "decay_norms": [True, False],
    }
    assert Space.of(recipe, space.to_dict()) == space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        values = space.suggest(study.ask())
        changed = change_recipe(recipe, values)
        assert space.values_of(changed) == values
        assert isinstance(values["low_resolution_px"], int)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (None, "search space is empty"),
        ({}, "search space is empty"),
        ([1], "search space is empty"),
        ({"learning_rat": [0.1]}, "no field 'learning_rat'; did you mean 'learning_rate'"),
        ({"dataset": ["a", "b"]}, "'dataset' cannot be varied"),
        ({"validation_split": ["a"]}, "cannot be varied"),
        ({"devices": [1, 2]}, "cannot be varied"),
        ({"learning_rate": 0.1}, "expected a range or a list"),
        ({"learning_rate": []}, "expected a range or a list"),
        ({"learning_rate": {"low": 0.1}}, "expected low and high"),
        ({"learning_rate": {"low": 0.1, "hihg": 1}}, "unknown key 'hihg'.*did you mean 'high'"),
        ({"learning_rate": {"low": 0.1, "high": 0.1}}, "expected low below high"),
        ({"learning_rate": {"low": 0.0, "high": 0.1, "log": True}}, "logarithmic; expected low above 0"),
        ({"learning_rate": {"low": 0.1, "high": 1, "log": "yes"}}, "log is 'yes'"),
        ({"learning_rate": {"low": "x", "high": 1}}, "search: learning_rate is 'x'; expected a number"),
        ({"learning_rate": {"low": -1, "high": 1}}, "search: learning_rate is -1.0; expected a number of at least 0"),
        ({"dropout": {"low": 0.0, "high": 0.9, "step": 2}}, "step is 2"),
        ({"batch_size": {"low": 1.5, "high": 8}}, "batch_size is 1.5; expected a whole number"),
        ({"batch_size": [64, 64]}, "each value once"),
        ({"batch_size": [64, "many"]}, "search: batch_size is 'many'"),
        ({"optimizer": {"low": 1, "high": 2}}, "optimizer is 1; expected text"),
        ({"optimizer": ["sgd", "lion"]}, "search: optimizer is 'lion'; expected one of sgd"),
        ({"decay_norms": {"low": False, "high": True}}, "is no number; expected a list"),
        ({"architecture_options": [["a=1"]]}, "list in its list"),
    ],
)
def test_what_cannot_be_searched_is_refused(declared: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Space.of(RECIPE, declared)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("optimizer: {batch_size: 64}\n")
    with pytest.raises(UsageError, match=r"recipe\.yaml: the search space is empty; .*learning_rate: \{low"):
        read_search(path)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 20))
def test_own_values_are_only_those_that_lie_in_the_space(low: float, value: float, steps: int) -> None:
    high = low + 0.5
    space = Space.of(RECIPE, {"mixup": {"low": low, "high": high}, "epochs": {"low": 1, "high": 5}})
    own = space.values_of(change_recipe(RECIPE, {"mixup": value, "epochs": 3}))
    assert (own is not None) == (low <= value <= high)
    stepped = Space.of(RECIPE, {"mixup": {"low": 0.0, "high": 2.0, "step": 0.1}})
    assert stepped.values_of(change_recipe(RECIPE, {"mixup": round(0.1 * steps, 1)})) is not None
    assert stepped.values_of(change_recipe(RECIPE, {"mixup": 0.05})) is None


def test_recipes_of_a_space_can_be_counted_where_no_field_takes_any_number() -> None:
    fields = {"batch_size": [64, 128], "epochs": {"low": 1, "high": 9, "step": 4},
              "mixup": {"low": 0.1, "high": 0.45, "step": 0.1}}  # fmt: skip
    space = Space.of(RECIPE, fields)
    assert space.count == 2 * 3 * 4
    found: dict[tuple[int, ...], dict[str, object]] = {}
    for _ in range(24):
        values = space.another(found, seed=3)
        found[space.numbers_of(values)] = values
    assert len(found) == 24
    assert {values["epochs"] for values in found.values()} == {1, 5, 9}
    assert sorted({round(float(str(values["mixup"])), 6) for values in found.values()}) == [0.1, 0.2, 0.3, 0.4]
    assert Space.of(RECIPE, {**fields, "learning_rate": {"low": 0.1, "high": 0.2}}).count is None
    assert Space.of(RECIPE, {"epochs": {"low": 1, "high": 9, "log": True}}).count == 9
