"""What templates do with values, and how well pages can be read."""

import re

import pytest

from mien.page import render
from tests.conftest import ROOT

BASE = (ROOT / "src" / "mien" / "page" / "templates" / "base.html.j2").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-0.13", "\N{MINUS SIGN}0.13"),
        ("-0.7 (-5.1 to +0.0)", "\N{MINUS SIGN}0.7 (\N{MINUS SIGN}5.1 to 0.0)"),
        ("-10.0 to +0.05", "\N{MINUS SIGN}10.0 to +0.05"),
        ("-0.0", "0.0"),
        ("+0.00", "0.00"),
    ],
)
def test_signed_numbers(text, shown, tmp_path):
    (tmp_path / "one.j2").write_text("{{ text | minus }}", encoding="utf-8")
    assert render("one.j2", folder=tmp_path, text=text) == shown


def test_shares_are_printed_as_on_the_terminal(tmp_path):
    (tmp_path / "one.j2").write_text("{{ share | percent }}", encoding="utf-8")
    assert render("one.j2", folder=tmp_path, share=0.6789) == "67.9 %"


@pytest.mark.parametrize("theme", re.findall(r":root \{(.*?)\}", BASE), ids=["light", "dark"])
def test_numbers_have_contrast_in_the_fullest_cell(theme):
    values = dict(re.findall(r"--(\w+): #?(\w+)", theme))
    paper, ink, accent = (
        [int(text[i : i + 2], 16) for i in (0, 2, 4)]
        for text in (
            values[name] if len(values[name]) == 6 else "".join(2 * c for c in values[name])
            for name in ("paper", "ink", "accent")
        )
    )
    most = int(values["most"]) / 100
    cell = [most * front + (1 - most) * back for front, back in zip(accent, paper, strict=True)]
    dark, light = sorted(map(luminance, (ink, cell)))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(rgb):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
