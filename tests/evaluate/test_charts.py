"""Charts hold their own texts, however long the names of classes are."""

from __future__ import annotations

import re

import pytest

from mien.evaluate.charts import confusion_chart


@pytest.mark.parametrize("names", [("happy", "sad"), ("surprise", "b"), ("verwundert und nachdenklich", "gelangweilt")])
def test_the_names_of_classes_fit(names: tuple[str, str]) -> None:
    chart = confusion_chart([[3, 1], [0, 2]], names)
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)" class=""( transform="rotate)?', chart)
    across = [float(x) for x, _, anchor, turned in found if anchor == "middle" and not turned]
    upright = [float(y) for _, y, anchor, turned in found if turned]
    longest = max(map(len, names))
    if longest > 9:  # letters of 12 px are about 7 px wide
        assert min(upright) - 6.5 * longest > 14
    else:
        assert len(across) >= 2
    left = next(float(x) for x, _, anchor, _ in found if anchor == "end")
    assert left - 6.5 * longest > 14
