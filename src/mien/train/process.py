"""Which of a run's processes this is. No torch here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.train.options import RunOptions

__all__ = ["is_first_process"]


def is_first_process(run: RunOptions) -> bool:
    """Whether this is the run's first process, the one that writes files; known before they have met.

    By the variables that Lightning, torchrun and Slurm set. A run of one process may be a part of a larger job, which
    sets them, too.
    """
    return run.devices * run.nodes == 1 or all(
        int(os.environ.get(name) or 0) == 0 for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    )
