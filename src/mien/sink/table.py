"""The table on the terminal: one row per face, printed as it is read."""

from __future__ import annotations

import os

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from mien.labels import LabelScheme
from mien.result import Face, Reading
from mien.sink.base import Sink
from mien.sink.palette import terminal_style
from mien.source import Frame

__all__ = ["TableSink", "printable"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.:-=+*#"


class TableSink(Sink):
    """Prints one row per face: file, number of the face, expression, confidence, a small bar for each label.

    Parameters
    ----------
    console : rich.console.Console
        Where it prints; as many columns fit as it is wide.
    scheme : LabelScheme
        Gives the columns of bars.
    sources : sequence of str
        The inputs, as far as they are known: the width of the first column follows them, and the folder that they
        all lie in is left out.
    """

    def __init__(self, console: Console, scheme: LabelScheme, sources: list[str]) -> None:
        self._console = console
        self._scheme = scheme
        labels = scheme.labels
        longest = max(len(self._short(label)) for label in labels)
        self._cell = max(4, min(7, longest + 1))
        self._expression = max(10, *map(len, labels))
        fixed = 2 + 6 + self._expression + 2 + 7
        bars = self._cell * len(labels)
        room = console.width - 1 - fixed
        self._with_bars = room - bars >= 16
        self._folder = _common_folder(sources)
        longest = max((cell_len(self._name(source)) for source in sources), default=20)
        self._file = max(8, min(longest, room - bars if self._with_bars else room))
        encoding = (console.encoding or "").lower()
        self._blocks = _BLOCKS if encoding.startswith("utf") else _ASCII_BLOCKS
        self._ellipsis = "…" if encoding.startswith("utf") else "~"
        self._header_due = True

    def write(self, reading: Reading, frame: Frame | None = None) -> None:  # noqa: ARG002
        """Print the faces of one reading; unreadable inputs are left to the caller."""
        if reading.error is not None:
            return
        if self._header_due:
            self._header_due = False
            self._print(self._header())
        if not reading.faces:
            self._print(self._start(reading.source, "", "dim").append("no face", "dim"))
        for number, face in enumerate(reading.faces, start=1):
            row = self._row(reading.source if number == 1 else "", number, face)
            # What casts doubt on a row must be seen: where there is no room beside it, it stands below.
            below: list[Text] = []
            for warning in _warnings(face):
                if not below and row.cell_len + cell_len(warning) + 2 <= self._console.width:
                    row.append(f"  {warning}", "dim")
                else:
                    below.append(self._start("", "").append(warning, "dim"))
            for line in (row, *below):
                self._print(line)
        if reading.note:
            self._print(Text(f"  {reading.note}", "dim italic"))

    def _name(self, source: str) -> str:
        return printable(source.removeprefix(self._folder))

    def _print(self, line: Text) -> None:
        line.rstrip()
        self._console.print(line, overflow="ellipsis", no_wrap=True, highlight=False, soft_wrap=True)

    def _short(self, label: str) -> str:
        return label if len(label) <= 5 and len(self._scheme.labels) <= 4 else label[:3]

    def _style(self, label: str) -> str:
        return terminal_style(label, self._scheme.labels)

    def _header(self) -> Text:
        line = self._start("file", "face", "bold").append("expression".ljust(self._expression), "bold")
        line.append("  sure".ljust(8), "bold")
        if self._with_bars:
            for label in self._scheme.labels:
                line.append(self._short(label).center(self._cell), f"bold {self._style(label)}")
        return line

    def _start(self, source: str, number: str, style: str = "") -> Text:
        source = self._name(source)
        if cell_len(source) > self._file:  # the end of a path tells more than its start
            while cell_len(source) > self._file - 1:
                source = source[1:]
            source = self._ellipsis + source
        return Text(set_cell_size(source, self._file), style).append(f"  {number:>4}  ")

    def _row(self, source: str, number: int, face: Face) -> Text:
        line = self._start(source, str(number)).append(
            face.expression.ljust(self._expression), self._style(face.expression)
        )
        line.append(f"  {face.confidence:>4.0%}  ")
        if self._with_bars:
            for label, probability in face.probabilities.items():
                block = self._blocks[min(int(probability * len(self._blocks)), len(self._blocks) - 1)]
                style = self._style(label) if probability >= 0.05 else "dim"
                line.append((block * 2).center(self._cell), style)
        return line


def printable(name: str) -> str:
    """A name without characters that must not reach the terminal, such as line breaks and escape codes."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _warnings(face: Face) -> list[str]:
    found = [f"coverage {face.coverage:.0%}"] if face.coverage < 0.5 else []
    # Where a detector looked, finds that are no face are dropped already, unless they are too small to tell.
    if face.score is None and (face.not_face or 0.0) > 0.5:
        found.append(f"not_face {face.not_face:.0%}")
    return found


def _common_folder(sources: list[str]) -> str:
    """The start that several paths share, up to a separator; empty for a single path."""
    if len(sources) < 2:
        return ""
    common = os.path.commonprefix(sources)  # noqa: RUF071 - letter by letter; cut at a separator below
    return common[: max(common.rfind("/"), common.rfind(os.sep)) + 1]
