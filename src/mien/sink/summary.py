"""What the terminal says at the end of a video: a row a person, with the seconds of each expression."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.text import Text

from mien.labels import LabelScheme
from mien.result import Reading
from mien.sink.history import History, Person
from mien.sink.palette import color_rgb
from mien.source import Frame

__all__ = ["SummarySink", "clock"]

_SHORT_S = 0.5
_MOST_ROWS = 30
_LEAST_S = 0.05


class SummarySink:
    """Prints the persons of one video when it closes.

    Parameters
    ----------
    console : rich.console.Console
    scheme : LabelScheme
        Of the recognizer.
    """

    def __init__(self, console: Console, scheme: LabelScheme) -> None:
        self._console = console
        self._history = History(scheme.labels, with_pictures=False)

    def __enter__(self) -> SummarySink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._history.finish()
        persons = sorted(self._history.persons.values(), key=lambda person: person.track_id)
        # A flash that is taken for a face for a few frames should not hide the persons; in a short video all count.
        short = [person for person in persons if person.seen_s < min(_SHORT_S, self._history.end_s / 10)]
        shown = [person for person in persons if person not in short]
        if not shown:
            self._print(Text("no face" if not persons else "no face for longer than a moment", "dim"))
            return
        self._print(Text(f"{'track':>5}  {'seen':<15} {'seconds':>8}  seconds by expression", "bold"))
        for person in shown[:_MOST_ROWS]:
            self._print(_row(person))
        hidden = max(0, len(shown) - _MOST_ROWS) + self._history.forgotten
        if hidden > 0:
            self._print(Text(f"and {hidden:,} more", "dim"))
        if short:
            self._print(Text(f"and {len(short):,} seen for less than {_SHORT_S:g} s", "dim"))

    def write(self, reading: Reading, frame: Frame | None = None) -> None:
        """Count one reading."""
        self._history.add(reading, frame)

    def _print(self, line: Text) -> None:
        self._console.print(line, overflow="ellipsis", no_wrap=True, highlight=False, soft_wrap=True)


def _row(person: Person) -> Text:
    seen = f"{clock(person.first_s)} to {clock(person.last_s)}"
    line = Text(f"{person.track_id:>5}  {seen:<15} {person.seen_s:>8.1f}  ")
    by_time = sorted(person.seconds.items(), key=lambda item: -item[1])
    for number, (label, seconds) in enumerate([item for item in by_time if item[1] >= _LEAST_S] or by_time[:1]):
        line.append("  " if number else "").append(f"{label} {seconds:.1f}", "rgb({},{},{})".format(*color_rgb(label)))
    return line


def clock(time_s: float) -> str:
    """A time as minutes and seconds, with hours where there are any: ``1:05``, ``2:00:09``."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
