"""A bar comes where the work takes more than a moment; the clock is moved by hand."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.text import Text

from mien.cli import late_bar


@pytest.mark.parametrize(("after_s", "done", "shown"), [(0.9, 4, False), (1.1, 4, True), (1.1, 9, False)])
def test_work_of_less_than_a_second_has_no_bar_and_neither_has_its_end(monkeypatch, after_s, done, shown):
    now_s = 0.0
    monkeypatch.setattr(late_bar, "time", SimpleNamespace(monotonic=lambda: now_s))
    screen = io.StringIO()
    columns = ["{task.description}", "{task.completed:.0f} of 9, {task.fields[rate]:.1f} a second"]
    with late_bar.LateBar(Console(file=screen, force_terminal=True), 9, lambda: columns) as bar:
        now_s = after_s
        bar.update(done, done)
    assert ("reading 4 of 9, 3.6 a second" in screen.getvalue()) == shown
    assert bool(screen.getvalue()) == shown


def test_a_bar_leaves_room_for_what_ctrl_c_shows(monkeypatch):
    """On a full line the terminal's ``^C`` began another one, and the bar stayed when it was taken away."""
    monkeypatch.setattr(late_bar, "_APPEARS_AFTER_S", 0)
    monkeypatch.setattr(late_bar, "_REFRESH_S", 0)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=40)
    with late_bar.LateBar(console, 9, lambda: ["{task.description}" * 9]) as bar:
        bar.update(4, 4)
    lines = [Text.from_ansi(line).plain for line in screen.getvalue().split("\n")]
    assert max(map(len, lines)) == 37
