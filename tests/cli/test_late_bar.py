"""A bar comes where the work takes more than a moment; the clock is moved by hand."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

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
