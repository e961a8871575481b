"""A page that shows each person's expressions over time: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import contextlib
import html
import importlib.resources
import json
import math
import os
import stat
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from mien.errors import OutputError, UsageError
from mien.files import write_atomically
from mien.labels import LabelScheme
from mien.result import Reading
from mien.sink.base import Sink
from mien.sink.history import History, Person, Picture
from mien.sink.palette import color_rgb
from mien.sink.summary import clock, shown_seconds, stretch
from mien.source import Frame

__all__ = ["TimelineSink"]

_MOST_PERSONS = 60
_SHORT_S = 0.3
# Less of a bin is a rounding error.
_LEAST_HELD_S = 1e-6
_TICKS = 8
_NICE_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


class TimelineSink(Sink):
    """Gathers the readings of videos and writes the page when it closes.

    Parameters
    ----------
    path : path
        Ends in ``.html``; an existing file is replaced, if anything was read.
    scheme : LabelScheme
        Of the recognizer.

    Raises
    ------
    UsageError
        If `path` does not end in ``.html``, or nothing can be written there.
    OutputError
        When it closes, if the page cannot be written all the same.
    """

    def __init__(self, path: str | os.PathLike[str], scheme: LabelScheme) -> None:
        self._path = Path(path)
        if self._path.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"{path}: a timeline is written as .html, not '{self._path.suffix}'")
        if not self._path.parent.is_dir():
            raise UsageError(f"{path}: there is no folder {self._path.parent}; make it, or choose another --timeline")
        try:  # now: hours of video may be read before the page is written
            with contextlib.suppress(FileNotFoundError):  # is_dir suppresses more from Python 3.14 on
                if stat.S_ISDIR(self._path.stat().st_mode):
                    raise UsageError(f"{path}: is a folder; expected the name of a file to write")
            with tempfile.TemporaryFile(dir=self._path.parent):
                pass
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another --timeline") from error
        self._scheme = scheme
        self._videos: list[tuple[str, History]] = []
        self._current: dict[str, History] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.begun:
            return
        # What was read before an error is worth showing: the page is written either way.
        page = _page(self._videos, self._scheme)
        try:
            write_atomically(self._path, page.encode())
        except OutputError:
            if error is None:
                raise

    @property
    def begun(self) -> bool:
        """Whether anything was read, with faces or without: else no page is made or replaced."""
        return bool(self._videos)

    def write(self, reading: Reading, frame: Frame | None = None) -> None:
        """Take one reading; photos are passed over."""
        if reading.time_s is None:
            return
        history = self._current.get(reading.source)
        if history is None or history.begins_anew(reading):
            history = self._current[reading.source] = History(self._scheme.labels, with_pictures=True)
            self._videos.append((reading.source, history))
        history.add(reading, frame)


def _page(videos: list[tuple[str, History]], scheme: LabelScheme) -> str:
    template = importlib.resources.files("mien.sink").joinpath("timeline.html").read_text(encoding="utf-8")
    title = _short(videos[0][0]) if len(videos) == 1 else f"{len(videos)} videos"
    colors = "".join(f"--{_css(label)}:rgb{color_rgb(label, scheme.labels)};" for label in scheme.labels)
    parts = {
        "TITLE": html.escape(title),
        "COLORS": colors.replace(" ", ""),
        "LEGEND": "".join(
            f'<li><i style="background:var(--{_css(x)})"></i>{html.escape(x)}</li>' for x in scheme.labels
        ),
        "VIDEOS": "".join(_video(name, history) for name, history in videos),
        "LABELS": _script(list(scheme.labels)),
    }
    for name, text in parts.items():
        template = template.replace(f"<!--{name}-->", text).replace(f"/*{name}*/", text)
    return template


def _short(name: str) -> str:
    """A video's name without its folder; of cameras, all of which may be called ``/live``, the whole address."""
    return name if "://" in name else Path(name).name


def _video(name: str, history: History) -> str:
    history.finish()
    persons = sorted(history.persons.values(), key=lambda person: person.track_id)
    long = [person for person in persons if person.seen_s >= min(_SHORT_S, history.span_s / 10)]
    shown = sorted(long, key=lambda person: -person.seen_s)[:_MOST_PERSONS]
    width, height = history.size_wh
    facts = [
        f"{clock(round(history.span_s))} min" if history.span_s >= 60 else f"{history.span_s:.1f} s",
        f"{history.frames:,} frames read",
        f"{width} × {height}",  # noqa: RUF001 - the sign that pages use
        f"{len(shown)} person{'' if len(shown) == 1 else 's'}",
    ]
    if others := len(persons) - len(shown) + history.forgotten:
        facts.append(f"{others:,} more seen for a shorter time")
    cards = "".join(_card(person, history) for person in sorted(shown, key=lambda person: person.track_id))
    head = f'<h2 title="{html.escape(name)}">{html.escape(_short(name))}</h2><p class="facts">{" · ".join(facts)}</p>'
    return f'<section class="video">{head}{cards or "<p>No face was seen.</p>"}</section>'


def _card(person: Person, history: History) -> str:
    seconds = dict(sorted(person.seconds.items(), key=lambda item: -item[1]))
    longest = next(iter(seconds), "")
    total = max(person.seen_s, 1e-6)
    bar = "".join(
        f'<b style="width:{100 * value / total:.2f}%;background:var(--{_css(label)})" '
        f'title="{html.escape(label)} {value:.1f} s"></b>'
        for label, value in seconds.items()
    )
    # With no-break spaces.
    words = ", ".join(f"{html.escape(label)}\u00a0{value:.1f}\u00a0s" for label, value in shown_seconds(person).items())
    portrait = person.pictures.get(longest) or next(iter(person.pictures.values()), None)
    image = _image(portrait, f"person {person.track_id}") if portrait else ""
    return (
        f'<article class="person"><div class="who">{image}<div><h3>Person {person.track_id}</h3>'
        f"<p>{stretch(person, history.end_s)}, seen for {person.seen_s:.1f}\u00a0s</p></div></div>"
        f'<div class="plot" data-start="{history.start_s:.0f}" data-span="{history.span_s:.3f}" '
        f'data-bin="{history.bin_s:.6f}">{_plot(person, history)}'
        f'<div class="axis">{_axis(history.start_s, history.end_s)}</div>'
        f'<div class="moments">{_moments(person, history.end_s)}</div></div>'
        f'<div class="shares"><div class="bar">{bar}</div><p class="seconds">{words}</p></div></article>'
    )


def _plot(person: Person, history: History) -> str:
    """Stacked areas, one group for each stretch of time in which the person was seen; heights in percent."""
    span_s = max(history.span_s, 1e-6)
    used = max(1, math.ceil(span_s / history.bin_s))
    seen = person.held_s[:used] > _LEAST_HELD_S
    mean = np.zeros((used, len(history.labels)))
    mean[seen] = person.sums[:used][seen] / person.held_s[:used][seen, None]
    areas = []
    for start, stop in _runs(seen, max(1, round(0.2 / history.bin_s))):
        part = mean[start:stop][seen[start:stop]]
        place = np.flatnonzero(seen[start:stop]) + start
        # The middle of each bin, and the edges of the stretch.
        x = np.minimum(np.concatenate([[start], place + 0.5, [stop]]) * history.bin_s / span_s, 1.0) * 1000
        tops = np.cumsum(np.concatenate([part[:1], part, part[-1:]]), axis=1)
        lower = np.zeros(len(x))
        for index, label in enumerate(history.labels):
            upper = tops[:, index]
            if (upper - lower).max() > 0.002:
                areas.append(f'<path style="fill:var(--{_css(label)})" d="{_area(x, lower, upper)}"/>')
            lower = upper
    values = {str(int(i)): [round(100 * v) for v in mean[i].tolist()] for i in np.flatnonzero(seen)}
    return (
        '<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" tabindex="0" '
        f'aria-label="Expressions of person {person.track_id} over time; arrow keys tell of each moment">'
        f"{''.join(areas)}"
        '<line class="cursor" y2="100"/></svg>'
        f'<script type="application/json">{_script(values)}</script><output hidden></output>'
    )


def _runs(seen: npt.NDArray[np.bool_], bridge: int) -> list[tuple[int, int]]:
    """Stretches of True from start to stop; gaps of up to `bridge` are no gaps."""
    runs: list[tuple[int, int]] = []
    for place in np.flatnonzero(seen).tolist():
        if runs and place - runs[-1][1] <= bridge:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs


def _area(x: npt.NDArray[np.floating], lower: npt.NDArray[np.floating], upper: npt.NDArray[np.floating]) -> str:
    there = [f"{a:.1f} {100 - 100 * b:.1f}" for a, b in zip(x.tolist(), upper.tolist(), strict=True)]
    back = [f"{a:.1f} {100 - 100 * b:.1f}" for a, b in zip(x[::-1].tolist(), lower[::-1].tolist(), strict=True)]
    return "M" + "L".join(there + back) + "Z"


def _axis(start_s: float, end_s: float) -> str:
    span_s = end_s - start_s
    least_s = 1.0 if end_s >= 60 else 0.0  # a clock has no parts of seconds
    nice_s = (step for step in _NICE_S if step >= least_s and span_s / step <= _TICKS)
    step_s = next(nice_s, 86400 * math.ceil(span_s / 86400 / _TICKS))
    first = math.ceil(start_s / step_s)
    ticks = [step_s * number for number in range(first, int((start_s + 0.96 * span_s) / step_s) + 1)]
    text = [f"{t:g} s" if end_s < 60 else clock(t) for t in ticks]
    return "".join(
        f'<span style="left:{100 * (t - start_s) / max(span_s, 1e-6):.3f}%">{word}</span>'
        for t, word in zip(ticks, text, strict=True)
    )


def _moments(person: Person, end_s: float) -> str:
    """The best picture of each expression that the seconds name, in the order of their times."""
    pictures = [(label, person.pictures[label]) for label in shown_seconds(person) if label in person.pictures]
    return "".join(
        f'<figure style="--of:var(--{_css(label)})">{_image(picture, f"{label} at {picture.time_s:.1f} s")}'
        f"<figcaption>{html.escape(label)}<br>{_moment(picture.time_s, end_s)}</figcaption></figure>"
        for label, picture in sorted(pictures, key=lambda item: item[1].time_s)
    )


def _moment(time_s: float, end_s: float) -> str:
    return f"{time_s:.1f} s" if end_s < 60 else clock(time_s)


def _image(picture: Picture, text: str) -> str:
    data = base64.b64encode(picture.jpeg).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(text)}" title="{html.escape(text)}">'


def _css(label: str) -> str:
    """A label as part of a CSS name."""
    return "x-" + "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in label)


def _script(value: object) -> str:
    """JSON that is safe inside a script element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
