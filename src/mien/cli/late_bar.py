"""The progress bar of `mien recognize`, for photos and for videos."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

__all__ = ["LateBar"]

_APPEARS_AFTER_S = 1.0
_REFRESH_S = 0.1
_ROOM = 3


class LateBar(contextlib.AbstractContextManager["LateBar"]):
    """A progress bar that only appears where there is more than a moment's work.

    Parameters
    ----------
    console : rich.console.Console or None
        Where it is drawn; None draws nothing.
    total : float or None
        What `update` ends at; None where it is not known.
    columns : callable
        Makes the columns of the bar, once it appears.
    """

    def __init__(
        self, console: Console | None, total: float | None, columns: Callable[[], list[str | ProgressColumn]]
    ) -> None:
        self._console = console
        self._total = total
        self._columns = columns
        self._start_s = self._drawn_s = time.monotonic()
        self._bar: Progress | None = None

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away; it does not come back before the next `update`."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def update(self, completed: float, count: int, **fields: Any) -> None:
        """Show how far the work is.

        Parameters
        ----------
        completed : float
            In the unit of the total.
        count : int
            Items done, for the field ``rate``: items a second.
        **fields
            More fields of the columns.
        """
        now_s = time.monotonic()
        early = now_s - self._start_s < _APPEARS_AFTER_S or now_s - self._drawn_s < _REFRESH_S
        too_late = self._bar is None and self._total is not None and completed >= self._total
        if self._console is None or early or too_late:
            return
        self._drawn_s = now_s
        fields["rate"] = count / (now_s - self._start_s)
        if self._bar is None:
            self._bar = self._open(self._console, fields)
        self._bar.update(self._bar.task_ids[0], completed=completed, **fields)

    def _open(self, console: Console, fields: dict[str, Any]) -> Progress:
        from rich.constrain import Constrain
        from rich.progress import Progress

        class Narrow(Progress):
            """Leaves room for the ``^C`` that terminals show: on a full line it would begin another, which stays."""

            def get_renderable(self) -> Constrain:
                return Constrain(super().get_renderable(), console.width - _ROOM)

        bar = Narrow(
            *self._columns(),
            console=console,
            transient=True,
            # What goes into a file must stay apart from the terminal.
            redirect_stdout=not console.stderr,
            redirect_stderr=sys.stderr.isatty(),
        )
        bar.add_task("reading", total=self._total, **fields)
        bar.start()
        return bar
