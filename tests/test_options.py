"""One declaration of an option serves the library, the command line and configuration files."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import typer
from typer.testing import CliRunner

from mien.errors import UsageError
from mien.options import check_options, option, options_from_dict, with_options


@dataclass(frozen=True, kw_only=True)
class Shop:
    HEADLINE: ClassVar[str] = "In the shop"

    queue: int = option(3, "How many wait.")


@dataclass(frozen=True, kw_only=True)
class Bake(Shop):
    oven: str = option("gas", "Which oven.", choices=("gas", "wood"))
    minutes: float = option(20.0, "How long.", minimum=1, maximum=90)
    glaze: bool = option(False, "Whether to glaze.")
    tray: int | None = option(None, "Which tray.", flag="--tray-number")

    def __post_init__(self):
        check_options(self)


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


@pytest.mark.parametrize("bad", [{"oven": "coal"}, {"minutes": 0.5}, {"minutes": 91}, {"minutes": "long"}])
def test_values_that_do_not_fit_are_refused(bad):
    with pytest.raises(UsageError, match="expected"):
        Bake(**bad)


def test_configuration_refuses_unknown_keys_with_a_hint():
    assert options_from_dict(Bake, {"minutes": 5}) == Bake(minutes=5)
    with pytest.raises(UsageError, match="did you mean 'minutes'"):
        options_from_dict(Bake, {"minuts": 5})
