"""Datasets of faces: every layout of the field in, one form out; reports, audits, cleaning, balancing, splits.

Needs the extra ``data``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.data.audit import Audit, Finding, audit_dataset, read_plan, write_audit_page, write_plan
    from mien.data.balance import balance_dataset, class_weights, map_labels, oversample
    from mien.data.clean import CleanSummary, clean_dataset
    from mien.data.copies import CopyPairs, copy_groups, find_copies
    from mien.data.dataset import Dataset
    from mien.data.importer import ImportSummary, import_dataset
    from mien.data.info import DatasetInfo
    from mien.data.options import AuditOptions, BalanceOptions, ImportOptions, SplitOptions
    from mien.data.report import Report, report_dataset
    from mien.data.split import dataset_groups, make_folds, split_dataset

__all__ = [
    "Audit",
    "AuditOptions",
    "BalanceOptions",
    "CleanSummary",
    "CopyPairs",
    "Dataset",
    "DatasetInfo",
    "Finding",
    "ImportOptions",
    "ImportSummary",
    "Report",
    "SplitOptions",
    "audit_dataset",
    "balance_dataset",
    "class_weights",
    "clean_dataset",
    "copy_groups",
    "dataset_groups",
    "find_copies",
    "import_dataset",
    "make_folds",
    "map_labels",
    "oversample",
    "read_plan",
    "report_dataset",
    "split_dataset",
    "write_audit_page",
    "write_plan",
]

_HOMES = {
    "audit": ["Audit", "Finding", "audit_dataset", "read_plan", "write_audit_page", "write_plan"],
    "balance": ["balance_dataset", "class_weights", "map_labels", "oversample"],
    "clean": ["CleanSummary", "clean_dataset"],
    "copies": ["CopyPairs", "copy_groups", "find_copies"],
    "dataset": ["Dataset"],
    "importer": ["ImportSummary", "import_dataset"],
    "info": ["DatasetInfo"],
    "options": ["AuditOptions", "BalanceOptions", "ImportOptions", "SplitOptions"],
    "report": ["Report", "report_dataset"],
    "split": ["dataset_groups", "make_folds", "split_dataset"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Loaded at first use, so that the command line starts without OpenCV, pyarrow and scikit-learn.
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"mien.data.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'mien.data' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
