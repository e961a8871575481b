"""Which of a run's processes this is. No torch here."""

from __future__ import annotations

import os

__all__ = ["is_first_process"]


def is_first_process() -> bool:
    """Whether this is the run's first process, the one that writes files; known before they have met.

    By the variables that Lightning, torchrun and Slurm set.
    """
    return all(int(os.environ.get(name) or 0) == 0 for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))
