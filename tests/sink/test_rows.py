"""Files of rows: the same faces in every format, written as they come."""

import csv
import io
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import MissingExtraError, OutputError, UsageError
from mien.labels import FER7, SCHEMES
from mien.result import columns
from mien.sink import JsonLinesSink, open_row_sink
from mien.sink.rows import face_schema
from tests.fakes import make_face, make_reading

READINGS = [
    make_reading(make_face(), make_face("sad", score=None, landmarks_xy=()), source='bild "ä", 1.jpg'),
    make_reading(source="empty.jpg"),
    make_reading(make_face("fear", track_id=3), source="clip.mp4", frame=7, time_s=0.28),
    make_reading(source="bad.jpg", error="the file is empty"),
]


def write(path, **options):
    with open_row_sink(path, SCHEMES["fer7"], **options) as sink:
        for reading in READINGS:
            sink.write(reading)
    return path


def test_json_lines(tmp_path):
    lines = write(tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [r for reading in READINGS for r in reading.to_records()]


def test_an_image_without_a_face_has_a_row_only_when_asked(tmp_path):
    """The unreadable input is no image without a face, and stays out."""
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = write(tmp_path / "x.jsonl", include_empty=True).read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert [record.get("faces") for record in found] == [None, None, 0, None]
    assert {name for name, value in found[2].items() if value is not None} == {"source", "turned_deg", "faces"}
    assert list(found[2]) == [*found[0], "faces"]
    with write(tmp_path / "x.csv", include_empty=True).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4
    assert {name: value for name, value in rows[2].items() if value} == {"source": "empty.jpg", "turned_deg": "0"}
    assert tuple(rows[2]) == columns(FER7)
    table = parquet.read_table(write(tmp_path / "x.parquet", include_empty=True))
    assert table.schema.remove_metadata() == face_schema(FER7)
    assert table.column("expression").to_pylist() == ["happy", "sad", None, "fear"]
    assert table.column("probability_sad").null_count == table.column("box_x1").null_count == 1


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_of_images_without_a_face_is_one(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    path = tmp_path / f"x.{suffix}"
    with open_row_sink(path, SCHEMES["fer7"], include_empty=True) as sink:
        for number in range(3):
            sink.write(make_reading(source="clip.mp4", frame=number, time_s=number / 10))
    read = {"csv": pd.read_csv, "jsonl": lambda file: pd.read_json(file, lines=True), "parquet": pd.read_parquet}
    table = read[suffix](path)
    assert table["frame"].tolist() == [0, 1, 2]
    assert table["time_s"].tolist() == [0.0, 0.1, 0.2]
    assert table["expression"].isna().all()


def test_csv(tmp_path):
    with write(tmp_path / "x.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == columns(FER7)
    assert [row["source"] for row in rows] == ['bild "ä", 1.jpg'] * 2 + ["clip.mp4"]
    assert [row["expression"] for row in rows] == ["happy", "sad", "fear"]
    assert [row["face"] for row in rows] == ["1", "2", "1"]
    assert float(rows[2]["time_s"]) == 0.28
    assert rows[1]["score"] == ""


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write(tmp_path / "x.parquet"))
    assert tuple(table.column_names) == columns(FER7)
    assert table.column("frame").to_pylist() == [None, None, 7]
    assert table.column("expression").to_pylist() == ["happy", "sad", "fear"]
    assert table.column("face").to_pylist() == [1, 2, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_readings_of_another_scheme_are_refused(tmp_path, suffix):
    """Of a program with two recognizers: Parquet had no probabilities of the second one's, and no one was told."""
    other = make_reading(labels=SCHEMES["valence3"].labels, source="b.jpg")
    said = "b.jpg: was read with the labels positive, neutral, negative; this output is for angry, .*recognizer.scheme"
    with open_row_sink(tmp_path / f"x{suffix}", SCHEMES["fer7"], include_empty=True) as sink:
        sink.write(READINGS[0])
        with pytest.raises(UsageError, match=said):
            sink.write(other)
        with pytest.raises(UsageError, match=r"labels up, down; this"):
            sink.write(make_reading(make_face(probabilities={"up": 0.75, "down": 0.25})))


def test_parquet_keeps_what_was_read_before_an_error(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    with pytest.raises(KeyboardInterrupt), open_row_sink(path, SCHEMES["fer7"]) as sink:
        sink.write(READINGS[0])
        raise KeyboardInterrupt
    assert parquet.read_table(path).num_rows == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_lines_stay_where_no_parquet_can_be_made(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.parquet"
    with pytest.raises(OutputError, match="cannot be written"), open_row_sink(path, SCHEMES["fer7"]) as sink:
        sink.write(READINGS[0])
        path.mkdir()  # only now
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.parquet", "x.parquet.partial.jsonl"]
    lines = (tmp_path / "x.parquet.partial.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == READINGS[0].to_records()


def test_parquet_of_nothing_has_its_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    with open_row_sink(tmp_path / "x.parquet", SCHEMES["basic3"]) as sink:
        sink.write(make_reading(source="empty.jpg"))
    assert tuple(parquet.read_table(tmp_path / "x.parquet").column_names) == columns(SCHEMES["basic3"].labels)


@pytest.mark.parametrize(
    ("name", "written"), [("x.csv", "x.csv"), ("x.jsonl", "x.jsonl"), ("x.parquet", "x.parquet.partial.jsonl")]
)
def test_a_kill_loses_the_rows_of_the_last_second_at_most(tmp_path, monkeypatch, name, written):
    clock_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock_s)
    if name == "x.parquet":
        pytest.importorskip("pyarrow")
    with open_row_sink(tmp_path / name, SCHEMES["fer7"]) as sink:
        sink.write(READINGS[0])
        clock_s = 1.0
        sink.write(READINGS[2])
        assert "clip.mp4" in (tmp_path / written).read_text(encoding="utf-8")


def test_parquet_without_pyarrow_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mien\[parquet\]"'):
        open_row_sink(tmp_path / "x.parquet", SCHEMES["fer7"])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_an_older_file_stays_until_something_was_read(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"x.{suffix}"
    for before in (None, b"rows of yesterday"):
        if before is not None:
            path.write_bytes(before)
        with open_row_sink(path, SCHEMES["fer7"]) as sink:
            sink.write(make_reading(error="broken"))
            assert not sink.begun
        with pytest.raises(KeyboardInterrupt), open_row_sink(path, SCHEMES["fer7"]):
            raise KeyboardInterrupt
        assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if before is None else [before])
    with open_row_sink(path, SCHEMES["fer7"]) as sink:
        sink.write(make_reading(source="no face.jpg"))
        assert sink.begun
    assert before not in path.read_bytes()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_file_may_have_a_name_that_is_no_utf8(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / os.fsdecode(b"o\xff." + suffix.encode())
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert write(path).stat().st_size > 100
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_rows_go_through_a_pipe(tmp_path, suffix):
    path = tmp_path / f"pipe.{suffix}"
    os.mkfifo(path)
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as reader:
        write(path)
        assert reader.communicate(timeout=60)[0].count(b"clip.mp4") == 1


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    with pytest.raises(UsageError, match="cannot be written"):
        open_row_sink(tmp_path / "missing" / f"x.{suffix}", SCHEMES["fer7"])


def test_where_the_lines_beside_a_parquet_file_cannot_be_written_nothing_is_left(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "faces.parquet.partial.jsonl").mkdir()
    with pytest.raises(UsageError, match=r"partial\.jsonl: cannot be written"):
        write(tmp_path / "faces.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["faces.parquet.partial.jsonl"]


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(UsageError, match="expected .jsonl, .csv or .parquet"):
        open_row_sink(tmp_path / "x.xlsx", SCHEMES["fer7"])


@given(st.text(max_size=30), st.floats(0, 1e6), st.floats(1, 1e6))
def test_every_line_is_json_whatever_the_name(source, left, width):
    stream = io.StringIO()
    face = make_face(box_xyxy=(left, 0.0, left + width, 5.0))
    with JsonLinesSink(stream) as sink:
        sink.write(make_reading(face, source=source))
    record = json.loads(stream.getvalue())
    assert record["source"] == source
    assert np.allclose(record["box_xyxy"], face.box_xyxy, atol=0.006)


PARQUET_WRITER = """
import sys
from mien.labels import find_scheme
from mien.sink import open_row_sink
from tests.fakes import make_face, make_reading
with open_row_sink(sys.argv[1], find_scheme("fer7")) as sink:
    for number in range(9_000):
        box = (number / 7, number / 3, number / 3 + 7000, number / 7 + 9000)
        face = make_face(box_xyxy=box, probability=0.5 + number / 1e5)
        sink.write(make_reading(face, frame=number, time_s=number / 30))
"""


def test_parquet_on_a_full_disk_stays_readable(tmp_path):
    """A limit on the size of files stands for the disk."""
    import resource
    import signal

    def limit_file_size():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))

    done = subprocess.run(
        [sys.executable, "-c", PARQUET_WRITER, str(tmp_path / "rows.parquet")],
        capture_output=True, text=True, preexec_fn=limit_file_size, check=False,
    )  # fmt: skip
    assert "mien.errors.OutputError" in done.stderr.splitlines()[-1]
    assert "File too large" in done.stderr
    # Which of the two files meets the limit first depends on the rows; what was written can be read in any case.
    (left,) = tmp_path.iterdir()
    if left.suffix == ".parquet":
        import pyarrow.parquet

        frames = pyarrow.parquet.read_table(left, columns=["frame"])["frame"].to_pylist()
    else:
        frames = [json.loads(line)["frame"] for line in left.read_bytes().split(b"\n")[:-1]]
    assert frames == list(range(len(frames)))
    assert len(frames) > 500
