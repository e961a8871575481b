"""The two tables of a part, and the counts beside them."""

import io
import os

import pyarrow.parquet
import pytest

from mien.cluster.rows import PartTables, Tally, read_tally
from mien.labels import FER7
from tests.fakes import make_face, make_reading


def rows_of(data):
    return pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()


def test_faces_and_inputs_come_back_with_their_counts():
    tables = PartTables(FER7)
    name = os.fsdecode(b"\xff.jpg")
    reading = make_reading(make_face("happy"), make_face("sad"), source=name)
    tables.add_faces(name, reading.to_rows())
    tables.add_input(name, name, faces=2, frames=1, size_wh=(120, 100))
    tables.add_input("b.jpg", "b.jpg", frames=1, size_wh=(9, 8))
    for number in (1, 2):
        error = f"is cut off (at {number} (of 7) bytes) after {number}.5 s; try A; or B"
        tables.add_input(f"c{number}.jpg", "c", error=error)
    faces, inputs = rows_of(tables.faces_parquet()), rows_of(tables.inputs_parquet())
    assert [(row["key"], row["source"], row["expression"]) for row in faces] == [
        ("\\udcff.jpg", "\\udcff.jpg", label) for label in ("happy", "sad")
    ]
    assert [row["key"] for row in inputs] == ["\\udcff.jpg", "b.jpg", "c1.jpg", "c2.jpg"]
    assert [row["status"] for row in inputs] == ["ok", "no face", "unreadable", "unreadable"]
    assert [(row["width_px"], row["height_px"]) for row in inputs] == [(120, 100), (9, 8), (None, None), (None, None)]
    tally = read_tally(io.BytesIO(tables.inputs_parquet()))
    assert tally == tables.tally
    assert (tally.inputs, tally.ok, tally.no_face, tally.unreadable) == (4, 1, 1, 2)
    assert (tally.frames, tally.faces) == (2, 2)
    assert tally.expressions == {**dict.fromkeys(FER7, 0), "happy": 1, "sad": 1}
    assert tally.reasons == {"is cut off after … s": 2}
    assert tally.examples == {"is cut off after … s": "c1.jpg"}


def test_a_long_reason_is_cut():
    tables = PartTables(FER7)
    tables.add_input("a.jpg", "a.jpg", error="this MP4 file says no " + "no " * 1000)
    (reason,) = tables.tally.reasons
    assert 115 < len(reason) <= 120
    assert reason.startswith("this MP4 file")
    assert reason.endswith(" no…")


@pytest.mark.parametrize("count", [0, 5000])
def test_any_number_of_rows_is_one_table(count):
    tables = PartTables(FER7)
    for number in range(count):
        tables.add_input(str(number), "a.jpg")
    assert [row["key"] for row in rows_of(tables.inputs_parquet())] == [str(number) for number in range(count)]
    assert rows_of(tables.faces_parquet()) == []


def test_tallies_add_up():
    total = Tally()
    for part in range(3):
        total.add(
            Tally(
                inputs=4, ok=3, unreadable=1, frames=5, faces=6, seconds=1.5, expressions={"happy": 2, "sad": part},
                reasons={"often": 2, f"once {part}": 1}, examples={"often": f"{part}.jpg", f"once {part}": "x.jpg"},
            )
        )  # fmt: skip
    assert (total.inputs, total.ok, total.unreadable, total.frames, total.faces) == (12, 9, 3, 15, 18)
    assert (total.seconds, total.expressions) == (4.5, {"happy": 6, "sad": 3})
    assert total.reasons == {"often": 6, "once 0": 1, "once 1": 1, "once 2": 1}
    assert total.examples == {"often": "0.jpg", **{f"once {part}": "x.jpg" for part in range(3)}}
    total.add(Tally(reasons={f"rare {number}": 1 for number in range(99)}, examples={"rare 98": "y.jpg"}))
    assert len(total.reasons) == 50
    assert "often" in total.reasons
    assert set(total.examples) <= set(total.reasons)


def test_no_class_of_very_many_is_left_out():
    """Of more than 50 classes those that came last were, with their counts."""
    total = Tally(expressions={f"class {number}": 1 for number in range(60)})
    total.add(Tally(expressions={"class 59": 1}))
    assert (len(total.expressions), total.expressions["class 59"]) == (60, 2)
