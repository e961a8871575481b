"""What templates do with values."""

import pytest

from mien.page import render


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-0.13", "\N{MINUS SIGN}0.13"),
        ("-0.7 ± 4.4", "\N{MINUS SIGN}0.7 ± 4.4"),
        ("-10.0 to +0.05", "\N{MINUS SIGN}10.0 to +0.05"),
        ("-0.0", "0.0"),
        ("+0.00", "0.00"),
    ],
)
def test_signed_numbers(text, shown, tmp_path):
    (tmp_path / "one.j2").write_text("{{ text | minus }}", encoding="utf-8")
    assert render("one.j2", folder=tmp_path, text=text) == shown
