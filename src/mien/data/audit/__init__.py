"""The audit: what is wrong with a dataset, ranked, as a plan that a person reviews."""

from mien.data.audit.page import audit_page
from mien.data.audit.plan import ACTIONS, CHECKS, Finding, read_plan, write_plan
from mien.data.audit.run import Audit, audit_dataset

__all__ = ["ACTIONS", "CHECKS", "Audit", "Finding", "audit_dataset", "audit_page", "read_plan", "write_plan"]
