"""The evaluation of a detector as a self-contained page, with pictures of its failures.

The pictures come from the user's own photos: such a page is for the desk, not for publishing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mien.evaluate.detection import DetectionEvaluation
from mien.page import picture_uri, render

__all__ = ["condition_rows", "detection_page", "size_name"]

_TEMPLATES = Path(__file__).parent / "templates"


def detection_page(evaluation: DetectionEvaluation) -> str:
    """An HTML page that needs no other file."""
    values = evaluation.to_dict()
    return render(
        "detection.html.j2",
        folder=_TEMPLATES,
        title=f"{values['model']['name']} on {values['data']['source']}",
        sizes=[(size_name(row), row) for row in values["sizes"] if row["faces"]],
        conditions=condition_rows(values),
        failures=[(one, picture_uri(one.picture)) for one in evaluation.failures],
        **{key: values[key] for key in ("model", "data", "overall", "as_shipped", "threshold", "sources", "landmarks",
                                        "ms_a_photo", "false_finds_a_photo")},
    )  # fmt: skip


def size_name(row: dict[str, Any]) -> str:
    """A range of sizes as it is read."""
    if row["to_px"] is None:
        return f"{row['from_px']:g} px and more"
    return f"{row['from_px']:g} to {row['to_px']:g} px"


def condition_rows(values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The photos as they are, then under each condition, all at the same score."""
    false = values["false_finds_a_photo"]
    first = {
        "photos": values["data"]["photos"],
        "faces": values["data"]["faces"],
        "iou_0.5": {**values["overall"]["iou_0.5"], "false_finds_a_photo": false},
        "landmarks": values["landmarks"],
    }
    return [("as they are", first), *values["conditions"].items()]
