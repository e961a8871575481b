import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import UsageError
from mien.options import coerce_option
from mien.train.options import RECIPES, ExpressionRecipe, OptimizerOptions, RunOptions
from mien.train.recipe import (
    change_recipe,
    flat_recipe,
    read_recipe,
    recipe_differences,
    recipe_from_dict,
    recipe_sections,
    recipe_text,
    recipe_to_dict,
    write_recipe,
)


def read(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


@pytest.mark.parametrize("kind", RECIPES)
def test_every_field_has_a_name_of_its_own_and_a_declaration(kind):
    fields = [item for options in recipe_sections(RECIPES[kind]).values() for item in dataclasses.fields(options)]
    names = [item.name for item in fields]
    assert len(names) == len(set(names))
    assert all("mien.option" in item.metadata for item in fields)


def test_kinds_that_share_a_name_mean_the_same_flag():
    seen = {}
    for kind in RECIPES.values():
        for options in recipe_sections(kind).values():
            for item in dataclasses.fields(options):
                declared = dataclasses.replace(item.metadata["mien.option"], help="")
                assert seen.setdefault(item.name, declared) == declared


@pytest.mark.parametrize("kind", RECIPES)
@pytest.mark.parametrize("explained", [False, True])
def test_a_written_recipe_is_read_back(tmp_path, kind, explained):
    recipe = change_recipe(RECIPES[kind](), {"learning_rate": 1e-5, "loggers": "csv,wandb", "channels_last": False})
    assert read(tmp_path, recipe_text(recipe, explained=explained)) == recipe
    assert recipe_from_dict(recipe_to_dict(recipe)) == recipe


@given(
    label=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1),
    rate=st.floats(1e-30, 1e6),
    teachers=st.lists(st.text("ab c'\"#:,0e1-.\\é", min_size=1), max_size=3),
)
def test_any_value_is_read_back_by_yaml_1_1_and_1_2(tmp_path_factory, label, rate, teachers):
    recipe = change_recipe(ExpressionRecipe(), {"labels": label, "learning_rate": rate, "teachers": teachers})
    text = recipe_text(recipe)
    assert read(tmp_path_factory.mktemp("recipe"), text) == recipe
    assert recipe_from_dict(yaml.safe_load(text)) == recipe


def test_what_is_left_out_has_its_default(tmp_path):
    recipe = read(tmp_path, "optimizer:\n  learning_rate: 1e-3\n  batch_size: 1e2\nrun:\n  precision: 32\ndata:\n")
    assert recipe == change_recipe(ExpressionRecipe(), {"learning_rate": 0.001, "batch_size": 100, "precision": "32"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("optimizer: {learning_rat: 0.1}", "'learning_rat' in section 'optimizer'; did you mean 'learning_rate'"),
        ("optimizer: {xyzzy: 0.1}", "expected optimizer, learning_rate"),
        ("optimizer: {epochs: 3}", "'epochs' in section 'optimizer'; it belongs to section 'schedule'"),
        ("epochs: 3", "'epochs' belongs to section 'schedule'"),
        ("optimiser: {}", "did you mean 'optimizer'"),
        ("kind: expresion", "did you mean 'expression'"),
        ("- optimizer", "expected sections with keys"),
        ("optimizer: 3", "section 'optimizer' is 3; expected keys with values"),
        ("optimizer: {batch_size: 3.5}", "batch_size is 3.5; expected a whole number"),
        ("optimizer: {batch_size: many}", "batch_size is 'many'; expected a whole number"),
        ("optimizer: {batch_size: true}", "batch_size is True; expected a whole number"),
        ("optimizer: {batch_size: null}", "batch_size is empty; expected a whole number"),
        ("optimizer: {learning_rate: .nan}", "learning_rate is '.nan'; expected a number"),
        ("optimizer: {learning_rate: -1}", "learning_rate is -1.0; expected a number of at least 0"),
        ("optimizer: {optimizer: sdg}", "optimizer is 'sdg'; expected one of sgd, adam, adamw"),
        ("run: {channels_last: 1}", "channels_last is 1; expected true or false"),
        ("data: {labels: true}", "put the word in quotes"),
        ("run: {loggers: [csv, tensorbord]}", "loggers has 'tensorbord'"),
        ("model: {pretrained: true, start_from: a.safetensors}", "give one of them"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_file_named(tmp_path, text, said):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "recipe.yaml: " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("optimizer: {batch_size: 3, batch_size: 4}", "'batch_size' occurs twice"),
        ("run: {}\n\nrun: {}", "'run' occurs twice"),
        ("a: [1", "is not YAML in line 1"),
        ("a:\n\tb: 1", "is not YAML in line 2"),
        ("!!python/object:os.system {}", "is not YAML"),
    ],
)
def test_what_is_no_yaml_is_refused(tmp_path, text, said):
    with pytest.raises(UsageError, match=said):
        read(tmp_path, text)


_BILLIONS = "[&a0 [1], " + ", ".join(f"&a{n} [{', '.join(20 * [f'*a{n - 1}'])}]" for n in range(1, 9)) + "]"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("&a [*a, *a]", "more than 10,000 values"),
        (_BILLIONS, "more than 10,000 values"),
        ("[" * 5000 + "]" * 5000, "recursion"),
        ("9" * 5000, "cannot be read as a recipe"),
    ],
    ids=["itself", "billions", "deep", "long"],
)
def test_a_file_that_would_take_for_ever_is_refused(tmp_path, value, said):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"schedule:\n  epochs: {value}\n")
    with pytest.raises(UsageError, match=said):
        read_recipe(path)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="no UTF-8 text"):
        read_recipe(tmp_path / "x.yaml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_file_of_powershell_is_read(tmp_path, encoding):
    """As by ``mien train --print-recipe > recipe.yaml``."""
    path = tmp_path / "recipe.yaml"
    path.write_bytes(recipe_text(ExpressionRecipe(), explained=True).replace("\n", "\r\n").encode(encoding))
    assert read_recipe(path) == ExpressionRecipe()


def test_words_of_yaml_1_1_stay_words(tmp_path):
    recipe = read(tmp_path, "data:\n  labels: no\n  train_split: off\n  validation_split: 2024-01-01\n")
    assert (recipe.data.labels, recipe.data.train_split, recipe.data.validation_split) == ("no", "off", "2024-01-01")


def test_changes_are_named_without_sections():
    recipe = change_recipe(ExpressionRecipe(), {"epochs": "7", "teachers": "a.st, b.st", "minutes": "none"})
    assert (recipe.schedule.epochs, recipe.schedule.minutes) == (7, None)
    assert recipe.distill.teachers == (Path("a.st"), Path("b.st"))
    with pytest.raises(UsageError, match="no field 'epoch'; did you mean 'epochs'"):
        change_recipe(ExpressionRecipe(), {"epoch": 7})


def test_a_field_of_another_kind_is_refused_and_the_kind_named():
    own = {name.split(".")[1] for name in flat_recipe(ExpressionRecipe()) if "." in name}
    others = {name.split(".")[1] for name in flat_recipe(RECIPES["detector"]()) if "." in name} - own
    for name in sorted(others)[:2]:
        with pytest.raises(UsageError, match="it is one of kind 'detector'"):
            change_recipe(ExpressionRecipe(), {name: "1"})


def test_differences_name_section_and_key():
    before = ExpressionRecipe()
    after = change_recipe(before, {"epochs": 7, "mirror": 0.0})
    found = recipe_differences(recipe_to_dict(before), recipe_to_dict(after))
    assert found == {"schedule.epochs": (60, 7), "augment.mirror": (0.5, 0.0)}


def test_options_of_an_architecture_may_be_a_mapping(tmp_path):
    recipe = read(tmp_path, "model:\n  architecture_options: {widths: 8-16, convs: 2}\n")
    assert recipe.model.architecture_options == ("widths=8-16", "convs=2")


def test_text_becomes_what_the_field_is():
    assert coerce_option(OptimizerOptions, "learning_rate", "1e-3") == 0.001
    assert coerce_option(OptimizerOptions, "learning_rate", "None") is None
    assert coerce_option(RunOptions, "deterministic", "yes") is True
    assert coerce_option(RunOptions, "compile", "none") == "none"
    assert coerce_option(RunOptions, "threads", None) is None
    assert coerce_option(RunOptions, "seed", 2**32 - 1) == 2**32 - 1


def test_defaults_of_an_optimizer_are_its_own():
    assert (OptimizerOptions().rate, OptimizerOptions().decay) == (0.1, 5e-4)
    assert (OptimizerOptions(optimizer="adamw").rate, OptimizerOptions(optimizer="adamw").decay) == (1e-3, 0.05)
    assert OptimizerOptions(optimizer="adam", learning_rate=0.5, weight_decay=0.25).decay == 0.25


def test_a_recipe_is_written_whole_or_not_at_all(tmp_path):
    from mien.errors import OutputError

    with pytest.raises(OutputError, match="cannot be written"):
        write_recipe(ExpressionRecipe(), tmp_path / "none" / "recipe.yaml")


def test_the_name_of_a_file_may_be_text(tmp_path):
    write_recipe(ExpressionRecipe(), str(tmp_path / "recipe.yaml"))
    assert read_recipe(str(tmp_path / "recipe.yaml")) == ExpressionRecipe()


def test_recipes_need_no_torch():
    code = (
        "import sys, mien.train.recipe as r, mien.train.options as o\n"
        "r.recipe_text(o.ExpressionRecipe())\n"
        "print(sorted({'torch', 'numpy', 'cv2', 'lightning'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "recipes").glob("**/*.yaml")), ids=lambda p: p.name
)
def test_the_recipes_of_the_project_are_read(path):
    read_recipe(path)
