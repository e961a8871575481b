"""Evaluations and comparisons as self-contained pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.evaluate.charts import confusion_chart, interval_chart, reliability_chart
from mien.evaluate.comparison import Comparison
from mien.evaluate.leaks import LEAK_PARTS
from mien.evaluate.report import Evaluation
from mien.explain.draw import LEGEND, heat_bgr, largest_change
from mien.metrics.classification import wilson_interval
from mien.page import picture_uri, render
from mien.sink.palette import color_rgb

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = [
    "apart",
    "comparison_page",
    "evaluation_page",
    "most_mistaken",
    "most_taken_for",
    "p_text",
    "score_rows",
    "verdict",
]

_SMALLEST_P = 1e-99
_MAP_PX = 192
_TEMPLATES = Path(__file__).parent / "templates"


def evaluation_page(evaluation: Evaluation) -> str:
    """An evaluation as an HTML page that needs no other file."""
    values = evaluation.to_dict()
    data = values["data"]
    names = data["classes"]
    wrong = values["confidently_wrong"]
    return render(
        "evaluate.html.j2",
        folder=_TEMPLATES,
        title=f"{values['model']['name']} on {data['source']}",
        only_source=data["source"],
        colors=_colors(names),
        parts=score_rows(values),
        mistakes=most_mistaken(values["one_pass"]["confusion"], names),
        confusion=confusion_chart(values["one_pass"]["confusion"], names),
        reliability=reliability_chart(values["calibration"]["reliability"]),
        groups=values["by"],
        by_run=_by_run(values),
        maps=_maps(evaluation),
        legend=[(text, f"rgb{rgb}") for text, rgb in LEGEND],
        apart=apart,
        p_text=p_text,
        faces=[(face, picture_uri(picture)) for face, picture in zip(wrong, evaluation.pictures, strict=True)],
        **{
            key: values[key]
            for key in (
                "model",
                "data",
                "one_pass",
                "ten_views",
                "leaks",
                "calibration",
                "ferplus",
                "occlusion",
                "runs",
                "folds",
            )
        },
    )


def comparison_page(comparison: Comparison) -> str:
    """A comparison as an HTML page that needs no other file."""
    values = comparison.to_dict()
    models = values["models"]
    leaks = models[0]["leaks"]
    scores = [(model["name"], model["scores"]) for model in models]
    return render(
        "compare.html.j2",
        folder=_TEMPLATES,
        title=f"{', '.join(model['name'] for model in models)} on {values['data']['source']}",
        colors=_colors(values["data"]["classes"]),
        leaks=leaks["found_by"] if leaks else "",
        leak_parts={
            part: title for part, title in LEAK_PARTS.items() if part in (leaks or {}) and part != "leaked_only"
        },
        protocols=next((model["ferplus"]["one_pass"] for model in models if model["ferplus"]), {}),
        intervals=interval_chart(
            [(name, own["accuracy"], own["accuracy_interval_95"]) for name, own in scores], values["data"]["images"]
        ),
        verdicts=[verdict(pair) for pair in values["pairs"]],
        p_values=[(p_text(pair["p_value"]), p_text(pair["p_value_holm"])) for pair in values["pairs"]],
        **{key: values[key] for key in ("data", "read", "models", "pairs", "all_right", "all_wrong", "timed_faces")},
    )


def _maps(evaluation: Evaluation) -> dict[str, Any] | None:
    """The mean map of each class over its mean face, and the change that the strongest colour stands for."""
    found = evaluation.to_dict()["occlusion"]
    if not found:
        return None
    drops = {name: np.array(one["drop"]) for name, one in found["classes"].items()}
    most = max(largest_change(drop, least=0.01) for drop in drops.values())
    return {
        "most": most,
        "uris": {
            name: picture_uri(heat_bgr(_stretched(evaluation.mean_faces[name]), drop, most, _MAP_PX))
            for name, drop in drops.items()
        },
    }


def _stretched(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture from black to white: a mean of many faces has little contrast."""
    low, high = int(gray.min()), int(gray.max())
    return np.asarray((gray.astype(np.float32) - low) * 255 / max(1, high - low), np.uint8)


def _by_run(values: dict[str, Any]) -> Markup | None:
    """The runs of several seeds beside their mean, or the folds beside all faces; nothing for one model."""
    images, scores = values["data"]["images"], values["one_pass"]
    rows = [
        (f"seed {run['seed']}", run["accuracy"], wilson_interval(run["accuracy"], images)) for run in values["runs"]
    ] + [
        (f"fold {fold['fold']}", fold["accuracy"], wilson_interval(fold["accuracy"], fold["images"]))
        for fold in values["folds"]
    ]
    if not rows:
        return None
    together = "mean" if values["runs"] else "all"
    return interval_chart([*rows, (together, scores["accuracy"], scores["accuracy_interval_95"])], images)


def score_rows(values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The lines of the table of scores: how the faces were read, and which of them."""
    ways = {"one pass": "one_pass", "ten views": "ten_views"}
    rows = [(title, values[way]) for title, way in ways.items() if values[way]]
    if values["leaks"]:
        for part, what in LEAK_PARTS.items():
            found = values["leaks"].get(part, {})
            rows += [
                (f"{title}, {what}", {"images": found["images"], **found[way]})
                for title, way in ways.items()
                if way in found
            ]
    return rows


def most_mistaken(confusion: Sequence[Sequence[int]], names: Sequence[str], most: int = 2) -> dict[str, str]:
    """For each class what its faces are most often taken for, such as ``"sad 18 %, fear 9 %"``."""
    found = {}
    for i, (name, row) in enumerate(zip(names, confusion, strict=True)):
        others = sorted(((count, names[j]) for j, count in enumerate(row) if j != i and count), reverse=True)[:most]
        found[name] = ", ".join(f"{other} {100 * count / sum(row):.0f} %" for count, other in others)
    return found


def apart(found: dict[str, Any] | None) -> str:
    """A group's difference from the other groups in points, and its 95 % interval."""
    if found is None:
        return ""
    low, high = found["interval_95"]
    return f"{100 * found['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def most_taken_for(group: dict[str, Any]) -> str:
    """The class that a group's other faces are most clearly taken for, such as ``"angry +3.1"``; often none."""
    clear = {
        name: found["difference"]
        for name, found in group["taken_for"].items()
        if found is not None and found["interval_95"][0] > 0
    }
    if not clear:
        return ""
    name = max(clear, key=lambda other: clear[other])
    return f"{name} {100 * clear[name]:+.1f}"


def verdict(pair: dict[str, Any]) -> str:
    """What a paired test says, in words; by the p value that holds for all pairs together."""
    if pair["p_value_holm"] >= 0.05:
        return "no difference shown"
    better = pair["first"] if pair["difference"] > 0 else pair["second"]
    return f"{better} is better"


def p_text(p_value: float) -> str:
    """A p value as it is read: three places, or the power of ten where it is smaller; never 0, which none is."""
    if p_value < _SMALLEST_P:
        return f"<{_SMALLEST_P:.0e}"
    return f"{p_value:.3f}" if p_value >= 0.001 else f"{p_value:.0e}"


def _colors(names: Sequence[str]) -> dict[str, str]:
    return {name: "rgb({}, {}, {})".format(*color_rgb(name, names)) for name in names}
