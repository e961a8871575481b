"""Identity over the frames of one connection. The one place where the service meets `mien.track`."""

from __future__ import annotations

from mien.recognizer import Recognizer
from mien.result import Reading

__all__ = ["StreamTracks"]


class StreamTracks:
    """Keeps the people of one live stream apart.

    Parameters
    ----------
    recognizer : Recognizer
        The one that gives the readings.
    smooth : bool
        Average each person's probabilities over the last moments.
    """

    def __init__(self, recognizer: Recognizer, smooth: bool) -> None:
        self._smooth = smooth
        self._recognizer = recognizer

    def update(self, reading: Reading) -> Reading:
        """The reading with `Face.track_id` set. Call with the frames in order."""
        return reading
