"""Datasets of faces: every layout of the field in, one form out; reports, audits, cleaning, balancing, splits.

Needs the extra ``data``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.lazy import lazy_names

if TYPE_CHECKING:
    from mien.data.align import AlignSummary, align_dataset
    from mien.data.audit import Audit, Finding, audit_dataset, audit_page, read_plan, write_plan
    from mien.data.balance import balance_dataset, class_weights, map_labels, oversample
    from mien.data.clean import CleanSummary, clean_dataset
    from mien.data.copies import CopyPairs, copy_groups, find_copies
    from mien.data.dataset import Dataset
    from mien.data.faces import Faces, open_faces
    from mien.data.importer import ImportSummary, import_dataset
    from mien.data.info import DatasetInfo
    from mien.data.options import AlignOptions, AuditOptions, BalanceOptions, ImportOptions, SplitOptions
    from mien.data.report import Report, report_dataset, report_page
    from mien.data.split import dataset_groups, make_folds, split_dataset

__all__ = [
    "AlignOptions",
    "AlignSummary",
    "Audit",
    "AuditOptions",
    "BalanceOptions",
    "CleanSummary",
    "CopyPairs",
    "Dataset",
    "DatasetInfo",
    "Faces",
    "Finding",
    "ImportOptions",
    "ImportSummary",
    "Report",
    "SplitOptions",
    "align_dataset",
    "audit_dataset",
    "audit_page",
    "balance_dataset",
    "class_weights",
    "clean_dataset",
    "copy_groups",
    "dataset_groups",
    "find_copies",
    "import_dataset",
    "make_folds",
    "map_labels",
    "open_faces",
    "oversample",
    "read_plan",
    "report_dataset",
    "report_page",
    "split_dataset",
    "write_plan",
]

if not TYPE_CHECKING:
    # So that the command line starts without OpenCV, pyarrow and scikit-learn.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "align": ["AlignSummary", "align_dataset"],
            "audit": ["Audit", "Finding", "audit_dataset", "audit_page", "read_plan", "write_plan"],
            "balance": ["balance_dataset", "class_weights", "map_labels", "oversample"],
            "clean": ["CleanSummary", "clean_dataset"],
            "copies": ["CopyPairs", "copy_groups", "find_copies"],
            "dataset": ["Dataset"],
            "faces": ["Faces", "open_faces"],
            "importer": ["ImportSummary", "import_dataset"],
            "info": ["DatasetInfo"],
            "options": ["AlignOptions", "AuditOptions", "BalanceOptions", "ImportOptions", "SplitOptions"],
            "report": ["Report", "report_dataset", "report_page"],
            "split": ["dataset_groups", "make_folds", "split_dataset"],
        },
    )
