"""What a model is worth on labelled faces: reports and comparisons, by the figures of `mien.metrics`.

The order of the work is that of the files: `models` (a shipped, exported or just trained one), `scheme` (which labels
are compared), `predict` (one pass and ten views), `votes` (the FER+ protocols), `groups`, `leaks`, `occlusion` (what
the answers rest on), then `report` (one model, with its `face_rows`) or `comparison` (several on the same rows, with
their `speed`), and `page`. Those of detectors begin with `detection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.lazy import lazy_names

if TYPE_CHECKING:
    from mien.evaluate.comparison import Comparison, compare_models
    from mien.evaluate.options import CompareOptions, EvaluateOptions
    from mien.evaluate.page import comparison_page, evaluation_page
    from mien.evaluate.report import Evaluation, evaluate_model

__all__ = [
    "CompareOptions",
    "Comparison",
    "EvaluateOptions",
    "Evaluation",
    "compare_models",
    "comparison_page",
    "evaluate_model",
    "evaluation_page",
]

if not TYPE_CHECKING:
    # So that the command line starts without OpenCV and ONNX Runtime.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "comparison": ["Comparison", "compare_models"],
            "options": ["CompareOptions", "EvaluateOptions"],
            "page": ["comparison_page", "evaluation_page"],
            "report": ["Evaluation", "evaluate_model"],
        },
    )
