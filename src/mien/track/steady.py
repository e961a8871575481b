"""Steady probabilities: averaged over time for one person, with an expression that does not flicker.

An exponential average runs over the probabilities of each track, in seconds, so that the frame rate does not matter.
The expression changes when another label is clearly ahead in the average (at a clear change: within 0.4 s), or when the
present one has been a little behind for a while without a break (a faint change), whichever labels were ahead of it.
Until then the labels in front are reported as equal, so that `Face.expression` stays the most probable label of
`Face.probabilities`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from mien.result import Face

__all__ = ["Steady"]

# How many times as probable as the present label another one must be: to take its place at once, and after the present
# one has been behind for so many time constants.
_CLEARLY = 3.0
_A_LITTLE = 1.25
_PATIENCE = 7.5
# What lifts the present label over its equals.
_LIFT = 1e-4


@dataclasses.dataclass
class _Average:
    labels: tuple[str, ...]
    values: npt.NDArray[np.float64]
    held: int
    time_s: float
    behind_s: float = 0.0


class Steady:
    """Averages the probabilities of each track.

    Parameters
    ----------
    smooth_s : float
        Time constant of the average in seconds: after it, 63 % of a change are seen. 0 passes faces unchanged.
    """

    def __init__(self, smooth_s: float) -> None:
        self._smooth_s = smooth_s
        self._averages: dict[int, _Average] = {}

    def update(self, face: Face, time_s: float) -> Face:
        """The face with steady `probabilities`, `coverage`, `not_face` and `unknown`.

        Parameters
        ----------
        face : Face
            Of the newest frame, with its `track_id`; a face without one is passed unchanged.
        time_s : float
            The frame's time in seconds.
        """
        if self._smooth_s <= 0 or face.track_id is None:
            return face
        labels = tuple(face.probabilities)
        beside = [face.coverage, *(value for value in (face.not_face, face.unknown) if value is not None)]
        values = np.array([*face.probabilities.values(), *beside], np.float64)
        average = self._averages.get(face.track_id)
        if average is None or average.labels != labels or len(average.values) != len(values):
            held = int(values[: len(labels)].argmax())
            self._averages[face.track_id] = _Average(labels, values, held, time_s)
            return face
        passed_s = max(0.0, time_s - average.time_s)
        average.time_s = time_s
        kept = math.exp(-passed_s / self._smooth_s)
        average.values = average.values * kept + values * (1.0 - kept)
        shares = average.values[: len(labels)]
        self._choose(average, shares, passed_s)
        reported = _hold(shares, average.held)
        rest = iter(average.values[len(labels) :].tolist())
        return dataclasses.replace(
            face,
            probabilities=dict(zip(labels, reported.tolist(), strict=True)),
            coverage=next(rest),
            not_face=None if face.not_face is None else next(rest),
            unknown=None if face.unknown is None else next(rest),
        )

    def _choose(self, average: _Average, shares: npt.NDArray[np.float64], passed_s: float) -> None:
        """Change the label that is reported, if it is time."""
        best = int(shares.argmax())
        lead = shares[best] / max(float(shares[average.held]), 1e-9)
        average.behind_s = average.behind_s + passed_s if lead >= _A_LITTLE else 0.0
        if lead >= _CLEARLY or average.behind_s >= _PATIENCE * self._smooth_s:
            average.held, average.behind_s = best, 0.0

    def keep(self, track_ids: set[int]) -> None:
        """Drop the averages of all other tracks, which are over."""
        self._averages = {track_id: self._averages[track_id] for track_id in track_ids & self._averages.keys()}


def _hold(probabilities: npt.NDArray[np.float64], held: int) -> npt.NDArray[np.float64]:
    """The probabilities, changed as little as it takes to make `held` the largest by a hair.

    The labels above it and itself take their common mean, starting from the largest, until none is above.
    """
    if int(probabilities.argmax()) == held:
        return probabilities
    order = np.argsort(-probabilities, kind="stable")
    order = order[order != held]
    total, size = float(probabilities[held]), 1
    for label in order:
        if probabilities[label] <= total / size:
            break
        total += float(probabilities[label])
        size += 1
    equal = order[: size - 1]
    reported = probabilities.copy()
    reported[equal] = total / size - _LIFT
    reported[held] = total / size + _LIFT * len(equal)
    return reported
