"""The shipped detector, opened once."""

from __future__ import annotations

import pytest

from mien.detect.mien import MienDetector
from mien.zoo.store import StoredModel, find_model


@pytest.fixture(scope="session")
def model() -> StoredModel:
    return find_model("mien", "detector")


@pytest.fixture(scope="session")
def detector(model: StoredModel) -> MienDetector:
    return MienDetector(model, threads=1)
