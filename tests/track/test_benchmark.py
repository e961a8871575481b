"""What the program that compares trackers counts, on answers that are known."""

from __future__ import annotations

import runpy

import numpy as np

import mien
from mien.result import Face
from tests.conftest import ROOT


def test_changes_and_shared_numbers_are_counted_by_person() -> None:
    """Persons were those to whom the last of the trackers gave a number."""
    program = runpy.run_path(str(ROOT / "benchmarks" / "tracking.py"))
    boxes = [(0.0, 0.0, 40.0, 40.0), (100.0, 0.0, 140.0, 40.0)]
    answers = {
        "swaps": [[1, 2], [1, 2], [2, 1], [2, 1]],
        "new": [[1, 2], [3, 2], [3, 2], [4, 2]],
        "silent": [[None, None]] * 4,
    }

    def trackers(rate: float) -> dict:
        return {
            name: lambda reading, image, time_s, ids=ids: ids[round(time_s * rate)] for name, ids in answers.items()
        }

    program["count"].__globals__["trackers"] = trackers
    reading = mien.Reading("clip", (160, 60), [Face(box, 1.0, (), {"happy": 1.0}) for box in boxes])
    shot = (np.zeros((60, 160, 3), np.uint8), [(1000 + number, np.array(box)) for number, box in enumerate(boxes)])
    score = program["Score"]()
    program["count"](score, [shot] * 4, [reading] * 4, 30.0)
    assert (score.persons, score.faces) == (2, 8)
    assert score.changes == {"swaps": 2, "new": 2, "silent": 0}
    assert score.shared == {"swaps": 2, "new": 0, "silent": 0}
