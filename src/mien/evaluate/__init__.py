"""What a model is worth on labelled faces: metrics with intervals, calibration, reports, comparison.

The order of the work is that of the files: `faces` (labelled rows of a dataset in any layout), `scheme` (which labels
are compared), `predict` (one pass and ten views), `metrics`, `calibration`, `votes` (the FER+ protocols), then
`report` (one model) or `comparison` (several on the same rows, with `paired` tests and `speed`), and `page`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.lazy import lazy_names

if TYPE_CHECKING:
    from mien.evaluate.comparison import Comparison, compare_models
    from mien.evaluate.faces import Faces, open_faces
    from mien.evaluate.options import CompareOptions, EvaluateOptions
    from mien.evaluate.paired import PairedTest, exact_mcnemar, paired_test
    from mien.evaluate.report import Evaluation, evaluate_model

__all__ = [
    "CompareOptions",
    "Comparison",
    "EvaluateOptions",
    "Evaluation",
    "Faces",
    "PairedTest",
    "compare_models",
    "evaluate_model",
    "exact_mcnemar",
    "open_faces",
    "paired_test",
]

if not TYPE_CHECKING:
    # So that the command line starts without OpenCV and ONNX Runtime.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "comparison": ["Comparison", "compare_models"],
            "faces": ["Faces", "open_faces"],
            "options": ["CompareOptions", "EvaluateOptions"],
            "paired": ["PairedTest", "exact_mcnemar", "paired_test"],
            "report": ["Evaluation", "evaluate_model"],
        },
    )
