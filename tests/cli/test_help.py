"""The help of every command can be read in a terminal of 80 columns."""

import re

import pytest
import typer
from typer.testing import CliRunner

from mien.cli.app import COMMANDS, _make_app

APP = _make_app(COMMANDS)
GROUP = typer.main.get_command(APP)
PATHS = [(name,) for name in COMMANDS] + [("data", name) for name in GROUP.commands["data"].commands]


def test_an_option_that_is_given_twice_is_told():
    twice = ["evaluate", "base", "--data", "none.parquet", "--split", "a", "--split", "b", "--json", "--json"]
    said = CliRunner().invoke(APP, twice).stderr
    assert said.splitlines() == [
        "mien: --split is given 2 times; only the last counts",
        "mien: none.parquet: no such file or folder",
    ]


@pytest.mark.parametrize("path", [(), *PATHS], ids=" ".join)
def test_help_at_80_columns_names_every_option(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = CliRunner().invoke(APP, [*path, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "…" not in shown.output
    assert not re.search("<(bool|list|str|int|float)", shown.output)
    assert not re.search(r"\{[\w,-]+( [\w,-]+)*(?<!,)\s{2}", shown.output), "a choice is broken within a word"
    command = GROUP
    for name in path:
        command = command.commands[name]
    names = {name for option in command.params for name in [*option.opts, *option.secondary_opts] if name[:1] == "-"}
    assert names <= set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", shown.output))


def test_a_flag_that_is_on_by_default_says_so(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = " ".join(CliRunner().invoke(APP, ["serve", "--help"]).output.split())
    assert shown.count("On by default.") == 1
    assert CliRunner().invoke(APP, ["serve", "--no-open", "--port", "-1"]).exit_code == 2  # both names are still taken
