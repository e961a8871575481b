"""Persons over the frames of one video or stream: their numbers, and their steady readings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy.typing as npt

from mien.result import Reading
from mien.track.steady import Steady
from mien.track.tracker import Tracker

__all__ = ["Persons"]


class Persons:
    """Gives each face of each frame its person, and steadies what is read of that person.

    Parameters
    ----------
    max_gap_s : float
        A person who was not seen for longer gets a new number; see `Tracker`.
    smooth_s : float
        Time constant of the averaging in seconds; 0 reports each frame by itself. See `Steady`.
    """

    def __init__(self, max_gap_s: float, smooth_s: float) -> None:
        self._tracker = Tracker(max_gap_s)
        self._steady = Steady(smooth_s)

    def update(self, reading: Reading, image: npt.NDArray[Any], time_s: float) -> Reading:
        """The reading with `Face.track_id` set and steady probabilities.

        Parameters
        ----------
        reading : Reading
            Of the next frame.
        image : uint8 array of shape (H, W) or (H, W, 3)
            The frame.
        time_s : float
            Its time in seconds, not before that of the last one.
        """
        ids = self._tracker.update(reading.faces, image, time_s)
        faces = [
            self._steady.update(dataclasses.replace(face, track_id=track_id), time_s)
            for face, track_id in zip(reading.faces, ids, strict=True)
        ]
        self._steady.keep(self._tracker.track_ids)
        return dataclasses.replace(reading, faces=faces)
