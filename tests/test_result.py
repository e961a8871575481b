"""Results validate themselves and keep their shape, whatever the number of faces."""

import json
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import MissingExtraError, UsageError
from mien.labels import FER7
from mien.result import LANDMARK_NAMES, Face, Reading, columns, to_pandas
from tests.fakes import make_face, make_reading


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"box_xyxy": (0, 0, 1)}, "four"),
        ({"box_xyxy": (0, 0, math.nan, 1)}, "finite"),
        ({"box_xyxy": (5, 0, 1, 1)}, "left <= right"),
        ({"landmarks_xy": ((1.0, 2.0),)}, "no point or five"),
        ({"landmarks_xy": ((1.0, 2.0, 3.0),) * 5}, r"\(1.0, 2.0, 3.0\)\); expected no point or five of \(x, y\)"),
        ({"probabilities": {}}, "empty"),
        ({"probabilities": {"happy": 0.4, "sad": 0.4}}, "sum to 0.8"),
        ({"probabilities": {"happy": 1.2, "sad": -0.2}}, r"in \[0, 1\]"),
        ({"score": 1.5}, "score"),
        ({"not_face": math.nan}, "not_face"),
    ],
)
def test_a_face_that_makes_no_sense_cannot_be_built(changes, message):
    with pytest.raises(ValueError, match=message):
        make_face(**changes)


def test_a_reading_that_makes_no_sense_cannot_be_built():
    with pytest.raises(ValueError, match="size_wh"):
        Reading("x", (-1, 2))
    with pytest.raises(ValueError, match="cannot have faces"):
        make_reading(make_face(), error="broken")
    with pytest.raises(ValueError, match="else than Face"):
        Reading("x", (1, 1), ["happy"])
    with pytest.raises(ValueError, match="turned_deg is 45; expected 0, 90"):
        Reading("x", (1, 1), turned_deg=45)


def test_numbers_of_a_dict_are_rounded_and_each_has_its_place():
    values = (0.12345678, 0.1, 0.1, 0.4, 0.1, 0.1, 0.07654322)
    face = make_face(
        box_xyxy=(1.234, 2.346, 33.456, 44.567), landmarks_xy=[(x + 0.126, x + 10.374) for x in range(5)],
        probabilities=dict(zip(FER7, values, strict=True)), coverage=0.98765432, not_face=0.01234567, score=0.91234567,
    ).to_dict()  # fmt: skip
    assert face["box_xyxy"] == [1.23, 2.35, 33.46, 44.57]
    assert face["landmarks_xy"] == [[x + 0.13, x + 10.37] for x in range(5)]
    assert (face["coverage"], face["not_face"], face["score"]) == (0.987654, 0.012346, 0.912346)
    assert (face["expression"], face["confidence"], face["probabilities"]["angry"]) == ("happy", 0.4, 0.123457)


@pytest.mark.parametrize(
    "faces", [[], [make_face(track_id=3)], [make_face("sad", 0.9), make_face(score=None, landmarks_xy=())]]
)
def test_a_reading_comes_back_from_its_dict(faces):
    reading = make_reading(*faces, frame=4, time_s=0.125, turned_deg=90, note="animated", labels=FER7 if faces else ())
    values = json.loads(json.dumps(reading.to_dict()))
    again = Reading.from_dict(values)
    assert again.to_dict() == values
    assert (again.labels, again.size_wh) == (reading.labels, reading.size_wh)
    assert [Face.from_dict(record).box_xyxy for record in reading.to_records()] == [face.box_xyxy for face in faces]
    assert [hash(face) for face in again.faces] == [hash(Face.from_dict(face)) for face in values["faces"]]


def test_a_dict_of_something_else_is_refused_by_what_it_lacks():
    with pytest.raises(
        ValueError, match=r"Reading.from_dict: there is no 'faces'; expected what Reading.to_dict gives"
    ):
        Reading.from_dict({"source": "x"})
    with pytest.raises(ValueError, match=r"Face.from_dict: there is no 'landmarks_xy'"):
        Reading.from_dict({**make_reading().to_dict(), "faces": [{"box_xyxy": [0, 0, 1, 1]}]})
    with pytest.raises(ValueError, match="not iterable"):
        Reading.from_dict({**make_reading().to_dict(), "faces": None})
    with pytest.raises(ValueError, match=r"five of \(x, y\)"):
        Face.from_dict({**make_face().to_dict(), "landmarks_xy": [[1, 2, 3]] * 5})


@given(st.sampled_from(FER7), st.floats(0.2, 1.0))
def test_expression_is_the_most_probable(expression, probability):
    face = make_face(expression, probability)
    assert face.expression == expression
    assert face.confidence == probability


def test_dict_has_the_documented_keys_and_is_json():
    record = make_reading(make_face()).to_records()[0]
    documented = ["source", "frame", "time_s", "turned_deg", "face", "track_id", "box_xyxy", "score", "landmarks_xy"]
    assert list(record)[: len(documented)] == documented
    assert {"expression", "confidence", "probabilities"} <= set(record)
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_what_is_shown_fits_a_line():
    assert repr(make_face(track_id=3)) == "Face(happy 70%, box_xyxy=(10, 20, 60, 80), track_id=3)"
    assert repr(make_reading()) == "Reading('photo.jpg', size_wh=(120, 100), faces=[])"
    assert repr(make_reading(error="broken")).endswith(", faces=[], error='broken')")


def test_faces_and_readings_are_keys():
    face = make_face()
    reading = make_reading(face)
    assert {face: "seen"}[make_face()] == "seen"
    assert len({reading, make_reading(make_face()), make_reading()}) == 2


def test_no_face_is_an_empty_list():
    reading = make_reading()
    assert reading.faces == []
    assert reading.to_dict()["faces"] == []
    assert reading.to_rows() == reading.to_records() == []


def test_an_image_without_a_face_has_a_row_only_when_asked():
    nobody = make_reading(frame=4, time_s=0.125, labels=FER7)
    (record,), (row,) = nobody.to_records(include_empty=True), nobody.to_rows(include_empty=True)
    assert list(record) == list(make_reading(make_face()).to_records()[0])
    assert tuple(row) == columns(FER7)
    for values in (record, row):
        filled = {name: value for name, value in values.items() if value is not None}
        assert filled == {"source": "photo.jpg", "frame": 4, "time_s": 0.125, "turned_deg": 0}
    with pytest.raises(ValueError, match=r"Face.from_dict: it is of an image without a face; expected"):
        Face.from_dict(record)
    seen = make_reading(make_face())
    assert seen.to_records(include_empty=True) == seen.to_records()
    assert make_reading(error="broken").to_records(include_empty=True) == []


def test_rows_have_the_same_columns_with_and_without_landmarks():
    cropped = make_face(score=None, landmarks_xy=())
    rows = make_reading(make_face(), cropped).to_rows()
    assert tuple(rows[0]) == tuple(rows[1]) == columns(FER7)
    box, points = ["box_x1", "box_y1", "box_x2", "box_y2"], [f"{name}_{xy}" for name in LANDMARK_NAMES for xy in "xy"]
    assert [rows[0][name] for name in box] == [10, 20, 60, 80]
    assert [rows[0][name] for name in points] == np.ravel(make_face().landmarks_xy).tolist()
    assert [rows[1][name] for name in points] == [None] * 10
    assert rows[0]["probability_happy"] == pytest.approx(0.7)


def test_to_pandas_has_one_row_a_face():
    table = to_pandas([make_reading(make_face(), make_face("sad")), make_reading()])
    assert list(table["expression"]) == ["happy", "sad"]
    assert list(table["face"]) == [1, 2]
    assert (table["face"].dtype, table["turned_deg"].dtype) == ("int64", "int64")
    assert make_reading().to_pandas().empty
    one = make_reading(make_face(), make_face("sad"))
    assert to_pandas(one).equals(to_pandas([one]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda reading: reading.faces, "to_pandas is given Face; expected a mien.Reading, .*, not its faces alone"),
        (lambda reading: [[reading]], "to_pandas is given list; .*: of a list of photos, one for each"),
        (lambda reading: "photo.jpg", "to_pandas is given str; expected a mien.Reading"),
        (lambda reading: [reading.to_dict()], "to_pandas is given dict; expected a mien.Reading"),
        (lambda reading: None, "to_pandas is given NoneType; expected a mien.Reading"),
    ],
)
def test_what_is_no_reading_is_refused_by_name(given, message):
    """It was an AttributeError on `to_rows`, a name that whoever called had not written."""
    with pytest.raises(UsageError, match=message):
        to_pandas(given(make_reading(make_face())))


def test_the_table_has_all_columns_without_a_face():
    """A program that takes the mean of probability_happy met a KeyError where nobody was seen."""
    found = make_reading(make_face(), labels=FER7)
    nobody = make_reading(labels=FER7)
    assert list(to_pandas([nobody, nobody]).columns) == list(found.to_pandas().columns)
    assert len(to_pandas(iter([nobody, found, nobody]))) == 1


def test_the_table_has_a_row_for_an_image_without_a_face_when_asked():
    pytest.importorskip("pandas")
    clip = [
        Reading.from_dict(make_reading(frame=0, time_s=0.0).to_dict()),  # no longer knows its labels
        make_reading(make_face(track_id=1), make_face("sad", track_id=2), frame=1, time_s=0.04, labels=FER7),
        make_reading(frame=2, time_s=0.08, labels=FER7),
        make_reading(error="broken", labels=FER7),
    ]
    table = to_pandas(clip, include_empty=True)
    assert tuple(table.columns) == columns(FER7)
    assert table["frame"].tolist() == [0, 1, 1, 2]
    assert table["expression"].isna().tolist() == [True, False, False, True]
    assert table.groupby("frame")["expression"].count().eq(0).mean() == pytest.approx(2 / 3)
    assert table["expression"].value_counts().to_dict() == {"happy": 1, "sad": 1}
    assert table["track_id"].dropna().tolist() == [1, 2]
    assert (table.dtypes["frame"], table.dtypes["probability_sad"], table.dtypes["box_x1"]) == (
        "int64", "float64", "float64",
    )  # fmt: skip
    plain = to_pandas(clip)
    assert table.dropna(subset="expression").reset_index(drop=True).astype(plain.dtypes).equals(plain)
    assert table.dtypes["expression"] == plain.dtypes["expression"]
    alone = clip[2].to_pandas(include_empty=True)
    assert tuple(alone.columns) == columns(FER7)
    assert alone.notna().sum(axis=1).tolist() == [4]
    assert clip[3].to_pandas(include_empty=True).empty


def test_a_column_of_numbers_is_one_whatever_is_in_it():
    """Tables of photos, of cropped faces and without a row are put together with those of videos."""
    pd = pytest.importorskip("pandas")
    cropped = make_reading(make_face(score=None, landmarks_xy=(), track_id=None))
    seen = Reading("clip.mp4", (120, 100), [make_face(track_id=3)], frame=2, time_s=0.5)
    tables = [to_pandas(readings) for readings in (seen, cropped, [seen, cropped], make_reading(labels=FER7))]
    together = pd.concat(tables)
    for table in (*tables, together):
        assert (table["time_s"].dtype, table["nose_x"].dtype, table["score"].dtype) == ("float64",) * 3
    assert [str(table["track_id"].dtype) for table in tables] == ["int64", "float64", "float64", "int64"]
    assert together["track_id"].fillna(0).tolist() == [3, 0, 3, 0]
    assert together["time_s"].mean() == 0.5


def test_a_name_that_is_no_utf8_costs_no_table():
    """Where pyarrow is installed, pandas keeps texts in it, and it takes no others."""
    readings = [Reading(name, (120, 100), [make_face()]) for name in ("caf\udce9.jpg", "Zoë.jpg")]
    table = to_pandas(readings)
    assert table["source"].tolist() == [r"caf\udce9.jpg", "Zoë.jpg"]
    table["source"].str.encode("utf-8")


def test_to_supervision_keeps_boxes_and_names():
    pytest.importorskip("supervision")
    detections = make_reading(make_face(), make_face("sad", track_id=None)).to_supervision()
    assert detections.xyxy.shape == (2, 4)
    assert detections.data["class_name"].tolist() == ["happy", "sad"]
    assert detections.class_id.tolist() == [FER7.index("happy"), FER7.index("sad")]
    assert detections.data["landmarks_xy"].shape == (2, 5, 2)
    assert np.isclose(detections.confidence, 0.7).all()
    assert detections.tracker_id is None
    assert make_reading(make_face(track_id=4), make_face(track_id=2)).to_supervision().tracker_id.tolist() == [4, 2]
    whole = make_reading(make_face(), make_face(landmarks_xy=(), score=None)).to_supervision().data
    assert np.isnan(whole["landmarks_xy"]).all(axis=(1, 2)).tolist() == [False, True]
    assert np.isnan(whole["score"]).tolist() == [False, True]
    assert np.allclose(whole["landmarks_xy"][0], make_face().landmarks_xy)
    empty = make_reading().to_supervision()  # the same shape without a face
    assert empty.xyxy.shape == (0, 4)
    assert {name: len(values) for name, values in empty.data.items()} == dict.fromkeys(detections.data, 0)


@pytest.mark.parametrize(("library", "method"), [("pandas", "to_pandas"), ("supervision", "to_supervision")])
def test_a_missing_library_names_the_pip_command(monkeypatch, library, method):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf'pip install "mien\[{library}\]"'):
        getattr(make_reading(make_face()), method)()
