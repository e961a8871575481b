"""Evaluations and comparisons of detectors as self-contained pages; an evaluation with pictures of its failures.

The pictures come from the user's own photos: such a page is for the desk, not for publishing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mien.evaluate.charts import interval_chart
from mien.evaluate.detection import DetectionEvaluation
from mien.evaluate.detection_comparison import DetectorComparison
from mien.evaluate.detection_models import LOWEST_SCORE
from mien.page import picture_uri, render

__all__ = ["condition_rows", "detection_page", "detector_comparison_page", "size_name", "verdict"]

_TEMPLATES = Path(__file__).parent / "templates"


def detection_page(evaluation: DetectionEvaluation) -> str:
    """An HTML page that needs no other file."""
    values = evaluation.to_dict()
    return render(
        "detection.html.j2",
        folder=_TEMPLATES,
        title=f"{values['model']['name']} on {values['data']['source']}",
        lowest_score=LOWEST_SCORE,
        sizes=[(size_name(row), row) for row in values["sizes"] if row["faces"]],
        conditions=condition_rows(values),
        failures=[(one, picture_uri(one.picture)) for one in evaluation.failures],
        **{key: values[key] for key in ("model", "data", "overall", "as_shipped", "threshold", "sources", "landmarks",
                                        "ms_a_photo", "false_finds_a_photo")},
    )  # fmt: skip


def detector_comparison_page(comparison: DetectorComparison) -> str:
    """A comparison as an HTML page that needs no other file."""
    values = comparison.to_dict()
    models = values["models"]
    recalls = [(one["model"]["name"], one["overall"]["iou_0.5"]) for one in models]
    measured = [(name, own["recall"], own["recall_interval_95"]) for name, own in recalls if own["recall"] is not None]
    return render(
        "compare_detectors.html.j2",
        folder=_TEMPLATES,
        title=f"{', '.join(one['model']['name'] for one in models)} on {values['data']['source']}",
        intervals=interval_chart(measured, values["data"]["faces"], "recall") if measured else "",
        sizes=[(size_name(row), number) for number, row in enumerate(models[0]["sizes"]) if row["faces"]],
        verdict=verdict,
        lowest_score=LOWEST_SCORE,
        **{key: values[key] for key in ("data", "models", "pairs", "false_finds_a_photo", "threads")},
    )


def verdict(pair: dict[str, Any], difference: dict[str, Any], smaller: bool = False) -> str:
    """What the interval of a difference says, in words; `smaller` where the smaller one is better."""
    if difference["difference"] is None:
        return "nothing to compare"
    # Without an interval (all faces of one photo) nothing is shown.
    low, high = difference["interval_95"] or (0.0, 0.0)
    if low <= 0 <= high:
        return "no difference shown"
    return f"{pair['first'] if (low > 0) != smaller else pair['second']} is better"


def size_name(row: dict[str, Any]) -> str:
    """A range of sizes as it is read."""
    if row["to_px"] is None:
        return f"{row['from_px']:g} px and more"
    return f"{row['from_px']:g} to {row['to_px']:g} px"


def condition_rows(values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The photos as they are, then under each condition, all at the same score."""
    first = {
        "photos": values["data"]["photos"],
        "faces": values["data"]["faces"],
        "iou_0.5": values["overall"]["iou_0.5"],
        "landmarks": values["landmarks"],
    }
    return [("as they are", first), *values["conditions"].items()]
