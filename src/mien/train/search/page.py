"""A search as a self-contained page: the trials, what mattered, and the best values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.page import render
from mien.page.drawing import Drawing
from mien.train.search.result import SearchResult, Trial

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["search_page", "value_text"]

_TEMPLATES = Path(__file__).parent / "templates"
_WIDTH_PX, _HEIGHT_PX, _LEFT_PX, _BOTTOM_PX, _TOP_PX = 300, 190, 48, 30, 10


def search_page(result: SearchResult) -> str:
    """A search as an HTML page that needs no other file."""
    trials = sorted(result.trials, key=lambda trial: (_RANK[trial.state], -(trial.score or 0.0)))
    fields = sorted(result.space, key=lambda name: -result.importances.get(name, 0.0))
    return render(
        "search.html.j2",
        folder=_TEMPLATES,
        title=f"Search of {len(trials)} recipe{'' if len(trials) == 1 else 's'}",
        metric=result.metric.replace("_", " "),
        trials=trials,
        fields=fields,
        counts={state: sum(trial.state == state for trial in trials) for state in _RANK},
        charts=[(name, scatter(result.trials, name, result.space[name])) for name in fields],
        history=scatter(result.trials, "", {}),
        text=value_text,
        result=result,
    )


_RANK = {"complete": 0, "pruned": 1, "failed": 2}


def value_text(value: Any) -> str:
    """A value as a table shows it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def scatter(trials: Sequence[Trial], name: str, space: Any) -> Markup:
    """Scores over the values of a field, a dot a trial; pruned ones pale, on the ground.

    Parameters
    ----------
    trials : sequence of Trial
    name : str
        The field; empty for the order of the trials.
    space : dict or list
        As `Space.to_dict` gives it.
    """
    scored = [trial for trial in trials if trial.score is not None]
    # What was given up has the score of an unfinished training: it is drawn on the ground, and sets no scale.
    scores = [trial.score or 0.0 for trial in scored if trial.state == "complete"]
    low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
    room = max(high - low, 1e-3) * 0.08
    low, high = low - room, high + room
    choices = [value_text(value) for value in space] if isinstance(space, list) else []

    def x_of(trial: Trial) -> float:
        if not name:
            return (trial.number + 0.5) / max(len(trials), 1)
        value = trial.values[name]
        if choices:
            return (choices.index(value_text(value)) + 0.5) / len(choices)
        first, last = space["low"], space["high"]
        if space.get("log"):
            value, first, last = math.log(value), math.log(first), math.log(last)
        return float((value - first) / (last - first))

    def place(x: float, y: float) -> tuple[float, float]:
        inner, tall = _WIDTH_PX - _LEFT_PX - 14, _HEIGHT_PX - _TOP_PX - _BOTTOM_PX
        return _LEFT_PX + 4 + inner * x, _TOP_PX + tall * (1 - (y - low) / (high - low))

    drawing = Drawing()
    for tick in (low + room, (low + high) / 2, high - room):
        y = place(0, tick)[1]
        drawing.line(_LEFT_PX, y, _WIDTH_PX - 8, y, "grid")
        drawing.text(_LEFT_PX - 6, y + 4, f"{tick:.3f}", "end", "soft")
    if choices:
        marks = [((number + 0.5) / len(choices), text) for number, text in enumerate(choices)]
    elif name:
        marks = [(0.0, value_text(space["low"])), (1.0, value_text(space["high"]))]
    else:
        marks = [(0.0, "first"), (1.0, "last")]
    for x, text in marks:
        anchor = {0.0: "start", 1.0: "end"}.get(x, "middle")
        drawing.text(place(x, low)[0], _HEIGHT_PX - 10, text[:14], anchor, "soft")
    best = max(scored, key=lambda trial: (trial.state == "complete", trial.score or 0.0), default=None)
    for trial in scored:
        x, y = place(x_of(trial), max(low, trial.score or 0.0) if trial.state == "complete" else low)
        kind = "pruned" if trial.state == "pruned" else "best" if trial is best else "dot"
        drawing.circle(x, y, 4.5, f"trial {trial.number}: {trial.score:.4f}, {trial.state}", kind)
    return drawing.svg(_WIDTH_PX, _HEIGHT_PX, f"scores over {name or 'the order of the trials'}")
