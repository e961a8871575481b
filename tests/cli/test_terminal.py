"""What the commands share."""

import io
import sys

from rich.console import Console

from mien.cli.terminal import open_console, progress_bar, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_what_is_said_during_a_progress_bar_has_a_line_of_its_own(monkeypatch):
    """It came on the line of the bar, and left the bar standing above it."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_bar(Console(file=screen, force_terminal=True, width=60), "reading", False):
        say("one photo could not be read")
    before, said, _ = screen.getvalue().partition("mien: one photo could not be read\n")
    assert said
    assert before.endswith("\r\x1b[2K")  # the bar is wiped away first


def test_a_bar_leaves_no_empty_line_where_it_cannot_be_wiped_away(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    for terminal, drawn in (("dumb", False), ("xterm", True)):
        monkeypatch.setenv("TERM", terminal)
        with progress_bar(open_console(), "reading", False) as show:
            show(1, 2)
        assert bool(screen.getvalue()) == drawn


def test_codes_in_the_name_of_a_file_do_not_reach_the_terminal(capsys):
    say("cannot read a\x1b[31mb\r.jpg: no photo\nits second line")
    assert capsys.readouterr().err == "mien: cannot read a?[31mb?.jpg: no photo\nits second line\n"
