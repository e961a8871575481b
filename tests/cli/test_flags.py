"""The flags of a command come from the declarations of its options."""

import pytest
import typer
from typer.testing import CliRunner

from mien.cli.flags import with_flags, with_options
from mien.errors import UsageError
from mien.options import coerce_option
from tests.bakery import Bake, Shop


def run(*arguments):
    app = typer.Typer()
    seen = []

    @app.command()
    @with_options(Bake)
    def bake(name: str, *, twice: bool = False, options: Bake):
        seen.append((name, twice, options))

    return CliRunner().invoke(app, list(arguments)), seen


def test_flags_come_from_the_declaration():
    result, seen = run("cake", "--oven", "wood", "--minutes", "30", "--glaze", "--tray-number", "2", "--twice")
    assert result.exit_code == 0, result.output
    assert seen == [("cake", True, Bake(oven="wood", minutes=30.0, glaze=True, tray=2))]


def test_defaults_are_those_of_the_dataclass():
    assert run("cake")[1] == [("cake", False, Bake())]


def test_what_is_wrong_is_told_by_the_flag():
    """The name of a field, which has its unit, is that of Python."""
    assert str(run("cake", "--minutes", "0")[0].exception) == (
        "--minutes is 0.0; expected a number of at least 1 and at most 90"
    )
    with pytest.raises(UsageError, match="^minutes is 0; "):
        Bake(minutes=0)


def test_help_shows_the_declared_text():
    output = run("--help")[0].output
    assert "Which oven." in output
    assert "--tray-number" in output


def test_flags_are_under_the_headline_of_the_class_that_declares_them():
    output = run("--help")[0].output
    own, shop = output.split("In the shop")
    assert "--queue" in shop
    assert "--queue" not in own
    assert "--oven" in own


def test_flags_of_which_none_has_to_be_given():
    """As for a recipe's fields: only those that were given come through, as text, and say their default."""
    app = typer.Typer()
    seen = []

    @app.command()
    @with_flags({"Baking": [Bake, Shop]})
    def bake(*, given: dict):
        seen.append(given)

    assert CliRunner().invoke(app, ["--minutes", "5e1", "--no-glaze"]).exit_code == 0
    assert seen == [{"minutes": "5e1", "glaze": False}]
    assert coerce_option(Bake, "minutes", "5e1") == 50.0
    output = CliRunner().invoke(app, ["--help"]).output
    assert "How long. (default: 20.0)" in output
    assert output.count("--queue") == 1
    assert output.index("Baking") < output.index("--oven")
