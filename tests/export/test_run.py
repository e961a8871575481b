from __future__ import annotations

import numpy as np
import pytest

from mien.errors import ModelError
from mien.export.run import run_logits


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(ModelError, match="cannot load"):
        run_logits(b"no model", np.zeros((1, 1, 4, 4), np.uint8))
