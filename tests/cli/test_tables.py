"""Tables that fit the terminal: no number is cut."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from mien.cli.tables import new_table, print_line, print_table


def printed(width, terminal=True, what=print_table, *more):
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    what(console, *more)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [22, 30, 45, 80])
def test_what_does_not_fit_goes_on_below(width):
    table = new_table("class", "faces", "recall", "", "taken for", left=("", "taken for"))
    table.add_row("surprise", "1,500", Text("88.3 %", "bold"), "###", "neutral")
    table.add_row("all", "9", "1.0 %", "#", "", style="bold")
    tables = [part.splitlines() for part in printed(width, True, print_table, table).split("\n\n")]
    assert len(tables) == {22: 3, 30: 2, 45: 1, 80: 1}[width]
    for lines in tables:
        assert [line.split()[0] for line in lines] == ["class", "surprise", "all"]
        assert max(map(len, lines)) <= width
    words = " ".join(word for lines in tables for line in lines for word in line.split())
    assert "…" not in words
    assert "88.3 % ###" in words, "the bar stands beside its number"
    for word in ("1,500", "neutral", "faces", "taken for"):
        assert word in words


def test_a_column_that_is_too_wide_by_itself_is_broken_between_words():
    table = new_table("name", "what it is", "n")
    table.add_row("x", "much too long for this", "1")
    text = printed(14, True, print_table, table)
    assert [word for word in text.split() if word in ("much", "too", "long", "for", "this")]
    assert "…" not in text


def test_lines_are_broken_on_a_terminal_alone():
    line = "a line of many words that is long"
    assert printed(12, True, print_line, line).split(" \n") == ["a line of", "many words", "that is long\n"]
    assert printed(12, False, print_line, line) == f"{line}\n"


def test_a_line_with_a_name_goes_on_below_its_text():
    line = Text("accuracy     76.9 % of the faces that training held out")
    assert [shown.rstrip() for shown in printed(30, True, print_line, line, "", 13).splitlines()] == [
        "accuracy     76.9 % of the",
        "             faces that",
        "             training held out",
    ]
    assert printed(30, False, print_line, str(line), "", 13) == f"{line}\n"
