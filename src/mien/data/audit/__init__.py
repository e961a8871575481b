"""The audit: what is wrong with a dataset, ranked, as a plan that a person reviews."""

from mien.data.audit.page import write_audit_page
from mien.data.audit.plan import ACTIONS, CHECKS, Finding, read_plan, write_plan
from mien.data.audit.run import Audit, audit_dataset

__all__ = ["ACTIONS", "CHECKS", "Audit", "Finding", "audit_dataset", "read_plan", "write_audit_page", "write_plan"]
