"""The part of `mien explain` that explains what was read."""

from __future__ import annotations

import sys

import typer

from mien.explain.draw import draw_explanations
from mien.files import json_text
from mien.recognizer import Recognizer
from mien.result import Reading
from mien.sink import DrawSink
from mien.sink.base import Sink
from mien.source import Frame

__all__ = ["ExplanationSink"]


class ExplanationSink(Sink):
    """Explains the faces of each reading, and draws them or prints a JSON line for each.

    Parameters
    ----------
    recognizer : Recognizer
        That which reads.
    expression : str or None
        The label to explain; None for that which each face is read as.
    pictures : DrawSink or None
        Where they are drawn.
    json : bool
        Whether lines are printed.

    Attributes
    ----------
    drawn : int
        How many pictures were written.
    """

    def __init__(self, recognizer: Recognizer, expression: str | None, pictures: DrawSink | None, json: bool) -> None:
        self._recognizer = recognizer
        self._expression = expression
        self._pictures = pictures
        self._json = json
        self.drawn = 0

    def write(self, reading: Reading, frame: Frame | None = None) -> None:
        """Explain one reading; photos without a face, and those that could not be read, are passed over."""
        if frame is None or not reading.faces:
            return
        found = self._recognizer.explain(frame, reading, expression=self._expression)
        if self._pictures is not None:
            self._pictures.save(reading.source, draw_explanations(frame.image, found))
            self.drawn += 1
        if self._json:
            for record, one in zip(reading.to_records(), found, strict=True):
                typer.echo(json_text({**record, **one.to_dict()}, sys.stdout.encoding, finite=True))
