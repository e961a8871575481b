"""The table fits the terminal and loses nothing."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from mien.labels import SCHEMES
from mien.sink import TableSink
from tests.fakes import make_face, make_reading


def printed(readings, scheme="fer7", width=100, encoding="utf-8", sources=None):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, highlight=False)
    sources = [reading.source for reading in readings] if sources is None else sources
    with TableSink(console, SCHEMES[scheme], sources) as sink:
        for reading in readings:
            sink.write(reading)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding).splitlines()


def test_a_row_a_face_with_bars():
    lines = printed([make_reading(make_face(), make_face("sad", 0.5), source="party.jpg")])
    assert len(lines) == 3
    assert lines[0].split()[:4] == ["file", "face", "expression", "sure"]
    assert lines[1].split()[:4] == ["party.jpg", "1", "happy", "70%"]
    assert lines[2].split()[:3] == ["2", "sad", "50%"]  # the name is not repeated
    column = lines[0].index("hap")
    assert lines[1][column : column + 3].strip() == "▆▆"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("source", ["x.jpg", "/a/very/long/" + "path/" * 30 + "portrait.jpg", "写真" * 40 + ".jpg"])
def test_lines_fit_the_terminal_and_keep_the_end_of_the_name(width, source):
    lines = printed([make_reading(make_face(), source=source)], width=width)
    assert all(cell_len(line) <= width for line in lines)
    assert ".jpg" in lines[1]
    assert "happy" in lines[1]
    assert len({line.index("expression") for line in lines[:1]}) == 1


def test_no_face_notes_and_errors():
    lines = printed(
        [
            make_reading(source="wall.jpg"),
            make_reading(make_face(), source="x.gif", note="animated GIF: read the first of 3 frames"),
            make_reading(source="bad.jpg", error="broken"),
        ]
    )
    assert lines[1].split() == ["wall.jpg", "no", "face"]
    assert "first of 3 frames" in lines[3]
    assert not any("bad.jpg" in line for line in lines)  # said on stderr


def test_a_face_outside_the_scheme_says_so():
    lines = printed([make_reading(make_face(coverage=0.04))])
    assert lines[1].endswith("  coverage 4%")


def test_a_terminal_without_unicode_gets_plain_bars():
    lines = printed([make_reading(make_face(), source="x.jpg")], encoding="ascii")
    assert "**" in lines[1] or "##" in lines[1] or "++" in lines[1]


def test_every_scheme_has_its_columns():
    for name, scheme in SCHEMES.items():
        shares = dict.fromkeys(scheme.labels, 1 / len(scheme.labels))
        header, row = printed([make_reading(make_face(probabilities=shares))], scheme=name, width=120)
        assert len(row.split()) == 4 + len(scheme.labels), name
        assert header


def test_the_common_folder_is_left_out():
    sources = ["/shots/summer/a.jpg", "/shots/summer/sea/b.jpg"]
    lines = printed([make_reading(make_face(), source=source) for source in sources])
    assert lines[1].startswith("a.jpg ")
    assert lines[2].startswith("sea/b.jpg ")
    assert printed([make_reading(make_face(), source="/shots/a.jpg")])[1].startswith("/shots/a.jpg")


def test_a_crop_that_is_no_face_says_so():
    """Where a detector looked, this was its business: what it left is too small to tell."""
    cropped = make_face(score=None, not_face=0.98)
    lines = printed([make_reading(cropped), make_reading(make_face(not_face=0.98))])
    assert lines[1].endswith("  not_face 98%")
    assert "not_face" not in lines[2]


@pytest.mark.parametrize("width", [50, 80, 85, 100, 120])
@pytest.mark.parametrize("scheme", ["fer7", "basic3"])
def test_warnings_are_seen_beside_a_long_name(width, scheme):
    labels = SCHEMES[scheme].labels
    doubtful = make_face(score=None, not_face=1.0, coverage=0.04, probabilities=dict.fromkeys(labels, 1 / len(labels)))
    lines = printed([make_reading(doubtful, source="crop/" * 20 + "x.jpg")], scheme, width)
    assert all(cell_len(line) <= width for line in lines)
    text = " ".join("\n".join(lines).split())
    assert "coverage 4%" in text
    assert "not_face 100%" in text
    assert "…" in lines[1]
    assert "x.jpg" in lines[1]
    for line in lines[2:]:
        assert line.startswith(" " * lines[0].index("expression"))
