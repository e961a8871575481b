from __future__ import annotations

import pytest

from mien.errors import UsageError
from mien.train.expression.network_spec import architecture_options


def test_options_of_architectures_are_read_from_text() -> None:
    got = architecture_options(("widths=8:16", "a=1", "b=0.5", "c=true", "d=word"))
    assert got == {"widths": (8, 16), "a": 1, "b": 0.5, "c": True, "d": "word"}
    with pytest.raises(UsageError, match="'widths'; expected NAME=VALUE"):
        architecture_options(("widths",))
