"""Steady probabilities: averaged over time for one person, with an expression that does not flicker.

Two exponential averages run over the probabilities of a track, both in seconds, so that the frame rate does not
matter. The quick one is what is reported. The expression changes when another label is clearly ahead in the quick
average (a real change: within 0.4 s), or a little ahead in both averages (a faint change, after a second or two).
Until then the two are reported as equal: `Face.expression` stays the most probable label of `Face.probabilities`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from mien.result import Face

__all__ = ["Steady"]

# How many times as probable as the present label another one must be, in the quick and in the slow average.
_CLEARLY = 2.5
_A_LITTLE = 1.25
_SLOW = 8.0
# What lifts the present label over its equals.
_LIFT = 1e-4


@dataclasses.dataclass
class _Average:
    labels: tuple[str, ...]
    quick: npt.NDArray[np.float64]
    slow: npt.NDArray[np.float64]
    held: int
    time_s: float


class Steady:
    """Averages the probabilities of each track.

    Parameters
    ----------
    smooth_s : float
        Time constant of the quick average in seconds: after it, 63 % of a change are seen. 0 passes faces unchanged.
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
        if average is None or average.labels != labels or len(average.quick) != len(values):
            held = int(values[: len(labels)].argmax())
            self._averages[face.track_id] = _Average(labels, values, values, held, time_s)
            return face
        passed_s = max(0.0, time_s - average.time_s)
        average.time_s = time_s
        average.quick = _towards(average.quick, values, passed_s / self._smooth_s)
        average.slow = _towards(average.slow, values, passed_s / (self._smooth_s * _SLOW))
        count = len(labels)
        quick = average.quick[:count]
        average.held = _choose(quick, average.slow[:count], average.held)
        reported = _hold(quick, average.held)
        rest = iter(average.quick[count:].tolist())
        return dataclasses.replace(
            face,
            probabilities=dict(zip(labels, reported.tolist(), strict=True)),
            coverage=next(rest),
            not_face=None if face.not_face is None else next(rest),
            unknown=None if face.unknown is None else next(rest),
        )

    def forget(self, track_ids: set[int]) -> None:
        """Drop the averages of tracks that are over."""
        for track_id in track_ids:
            self._averages.pop(track_id, None)


def _towards(
    average: npt.NDArray[np.float64], values: npt.NDArray[np.float64], time_constants: float
) -> npt.NDArray[np.float64]:
    kept = math.exp(-time_constants)
    return average * kept + values * (1.0 - kept)


def _choose(quick: npt.NDArray[np.float64], slow: npt.NDArray[np.float64], held: int) -> int:
    """The label to report."""
    best = int(quick.argmax())
    clearly = quick[best] >= _CLEARLY * quick[held]
    a_little = quick[best] >= _A_LITTLE * quick[held] and slow[best] >= _A_LITTLE * slow[held]
    return best if best != held and (clearly or a_little) else held


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
