"""How long a run has taken, how fast it goes, and when the host looks at the device again. No torch here."""

from __future__ import annotations

import math
import time

__all__ = ["Pace"]

# Losses are read from the device about this often, and for the first time after so many steps: each time the device
# has to wait for the host.
_LOOK_EVERY_S = 2.0
_FIRST_LOOK = 8


class Pace:
    """The clock of a run, which stands still between its parts.

    Parameters
    ----------
    batch_size : int
        Images of a step, of all processes together.

    Attributes
    ----------
    seconds : float
        Of the run so far, as it was last set: processes have to agree on it.
    images_per_s : float
        Between the last two looks; NaN before the first.
    """

    def __init__(self, batch_size: int) -> None:
        self.seconds = 0.0
        self.images_per_s = math.nan
        self._batch_size = batch_size
        self._look_every_steps = _FIRST_LOOK

    def start(self, steps_done: int, progress: float) -> None:
        """Begin, or go on where `seconds` says.

        Parameters
        ----------
        steps_done : int
            In the whole run.
        progress : float
            Part of the budget that is behind, in [0, 1].
        """
        self._started_s = time.monotonic() - self.seconds
        self._part_start_s, self._part_start_progress = self.seconds, progress
        self.restart_looks(steps_done)

    def now(self) -> float:
        """Seconds of the run, by the clock of this process."""
        return time.monotonic() - self._started_s

    def look_is_due(self, steps_done: int) -> bool:
        """Whether it is time to look at the device."""
        return steps_done - self._looked_steps >= self._look_every_steps

    def looked(self, steps_done: int) -> None:
        """Take in that the device was looked at, at `seconds`."""
        steps, passed_s = steps_done - self._looked_steps, self.seconds - self._looked_s
        self.restart_looks(steps_done)
        if steps:
            per_s = steps / max(passed_s, 1e-6)
            self._look_every_steps = max(1, int(_LOOK_EVERY_S * per_s))
            self.images_per_s = per_s * self._batch_size

    def restart_looks(self, steps_done: int) -> None:
        """Forget the time since the last look: it went into something else than steps."""
        self._looked_s, self._looked_steps = self.seconds, steps_done

    def seconds_left(self, progress: float) -> float:
        """Estimated until the end, at the pace since this part of the run began."""
        whole_run_s = (self.seconds - self._part_start_s) / max(progress - self._part_start_progress, 1e-9)
        return whole_run_s * (1.0 - progress)
