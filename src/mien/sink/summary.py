"""What the terminal says at the end of a video: a row a person, with the seconds of each expression."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from mien.labels import LabelScheme
from mien.result import Reading
from mien.sink.base import Sink
from mien.sink.history import History, Person
from mien.sink.palette import terminal_style
from mien.source import Frame

__all__ = ["SummarySink", "clock", "shown_seconds", "stretch"]

_SHORT_S = 0.5
_MOST_ROWS = 30
_SEEN_WIDTH = 15
_LEAST_S = 0.05


class SummarySink(Sink):
    """Prints the persons of one video when it closes.

    Parameters
    ----------
    console : rich.console.Console
        Where it prints.
    scheme : LabelScheme
        Of the recognizer.
    """

    def __init__(self, console: Console, scheme: LabelScheme) -> None:
        self._console = console
        self._history = History(scheme.labels, with_pictures=False)

    def __exit__(self, *_: object) -> None:
        self._history.finish()
        persons = sorted(self._history.persons.values(), key=lambda person: person.track_id)
        # A flash that is taken for a face for a few frames should not hide the persons; in a short video all count.
        short = [person for person in persons if person.seen_s < min(_SHORT_S, self._history.span_s / 10)]
        shown = [person for person in persons if person not in short]
        if not shown:
            # Unlike photos, videos are taken as they stand.
            none = "no face (if the picture lies on its side: --rotate 90, or 270)"
            self._print(Text("no face for longer than a moment" if persons else none, "dim"))
            return
        seen = [stretch(person, self._history.end_s) for person in shown[:_MOST_ROWS]]
        width = max(_SEEN_WIDTH, *map(len, seen))
        head = Text(f"{'track':>5}  {'seen':<{width}} {'seconds':>8}  ", "bold")
        self._print(head.copy().append("seconds by expression"))
        for person, when in zip(shown[:_MOST_ROWS], seen, strict=True):
            row = Text(f"{person.track_id:>5}  {when:<{width}} {person.seen_s:>8.1f}  ")
            for line in _lines(person, self._history.labels, self._console.width - len(head)):
                self._print(row.append(line))
                row = Text(" " * len(head))
        hidden = max(0, len(shown) - _MOST_ROWS) + self._history.forgotten
        if hidden > 0:
            self._print(Text(f"and {hidden:,} more", "dim"))
        if short:
            self._print(Text(f"and {len(short):,} seen for less than {_SHORT_S:g} s", "dim"))

    def write(self, reading: Reading, frame: Frame | None = None) -> None:
        """Count one reading."""
        self._history.add(reading, frame)

    def _print(self, line: Text) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


def _lines(person: Person, labels: tuple[str, ...], width: int) -> list[Text]:
    """The seconds of each expression, in as many lines as it takes for none to be cut."""
    lines: list[Text] = []
    for label, seconds in shown_seconds(person).items():
        word = Text(f"{label} {seconds:.1f}", terminal_style(label, labels))
        if lines and len(lines[-1]) + 2 + len(word) <= width:
            lines[-1].append("  ").append(word)
        else:
            lines.append(Text().append(word))
    return lines


def shown_seconds(person: Person) -> dict[str, float]:
    """How long each expression was shown, the longest first; those that would be 0.0 are left out."""
    seconds = dict(sorted(person.seconds.items(), key=lambda item: -item[1]))
    longest = dict(list(seconds.items())[:1])
    return {label: value for label, value in seconds.items() if value >= _LEAST_S} or longest


def stretch(person: Person, end_s: float) -> str:
    """From when until when a person was seen: to a tenth of a second in videos under a minute, else as clock times."""
    if end_s < 60:
        return f"{person.first_s:.1f} to {person.last_s:.1f} s"
    return f"{clock(round(person.first_s))} to {clock(round(person.last_s))}"


def clock(time_s: float) -> str:
    """A time as minutes and seconds, with hours where there are any: ``1:05``, ``2:00:09``."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
