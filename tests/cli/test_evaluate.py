from __future__ import annotations

import csv
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mien.cli.evaluate import _show_classes
from mien.cli.terminal import open_console
from mien.zoo import list_models
from tests.cli.mien_in_process import runner
from tests.conftest import ROOT
from tests.sets import smooth_faces, write_class_folders, write_dataset, write_huggingface

IMAGES = smooth_faces(28)


@pytest.fixture
def run(monkeypatch, capsys):
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("sets") / "made.parquet", IMAGES, leaked=True, votes=True)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_names_are_shown_as_they_are(run, dataset, tmp_path, capsys):
    """What Rich takes for its markup vanished, or ended in its traceback."""
    data, model = tmp_path / "[b]:smile:.parquet", tmp_path / "own.onnx"
    data.symlink_to(dataset)
    shipped = list_models()["tiny"]
    model.symlink_to(shipped.weights)
    model.with_suffix(".json").write_text(json.dumps({**shipped.card.to_dict(), "name": "[/x]"}), encoding="utf-8")
    assert run("evaluate", model, "--data", data).out.startswith("[/x] (int8, ")
    compared = run("compare", model, "base", "--data", data, "--timed-faces", 0).out
    assert compared.startswith("[b]:smile:.parquet, ")
    assert "\n[/x] - base " in compared
    row = {"support": 2, "recall": 0.5, "precision": 1.0, "f1": 0.6}
    _show_classes(
        open_console(), {"confusion": [[1, 1], [0, 2]], "classes": {"[/x]": row, "[b]": row}}, ["[/x]", "[b]"]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[0] == "[/x]"
    assert lines[1].rstrip().endswith("[b] 50 %")
    assert lines[2].split()[0] == "[b]"


def test_a_person_reads_a_summary_and_gets_files(run, dataset, tmp_path):
    done = run(
        "evaluate", "small", "--data", dataset, "--out", tmp_path / "r.json", "--page", tmp_path / "r.html"
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    for part in ("one pass, no leaks", "ten views", "95 % interval", "FER+ majority", "calibration  ECE", "happy"):
        assert part in done.out
    assert re.search(r"by chance alone 0\.\d{3}, in 95 of 100 samples at most 0\.\d{3}", done.out)
    assert "no face of" not in done.out
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["data"]["images"] == 28
    assert "<svg" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert files(tmp_path) == ["r.html", "r.json"]


def test_classes_that_the_split_lacks_are_named(run):
    """Only a dash in the table told that no sad face had been read."""
    data = ("--data", ROOT / "examples" / "tiny-dataset", "--split", "test", "--labels", "happy,sad,neutral")
    shown = run("evaluate", "small", *data, "--no-ten-views", "--no-leaks").out
    assert "no face of sad, neutral: balanced accuracy and macro F1 are of the others\n" in shown


def test_a_model_without_a_calibration_is_not_called_calibrated(run, dataset, tmp_path):
    """A checkpoint has no card: its line named one, with temperature 1.000 and the same error twice."""
    model, shipped = tmp_path / "own.onnx", list_models()["tiny"]
    model.symlink_to(shipped.weights)
    card = shipped.card.to_dict()
    card["heads"] = [{"output": head["output"], "labels": head["labels"]} for head in card["heads"]]
    model.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    shown = run("evaluate", model, "--data", dataset, "--no-ten-views", "--no-leaks").out
    assert re.search(r"calibration  ECE 0\.\d{3} uncalibrated, 0\.\d{3} with the best temperature", shown)
    assert "by the card" not in shown
    shown = run("evaluate", "tiny", "--data", dataset, "--no-ten-views", "--no-leaks").out
    assert re.search(r"ECE 0\.\d{3} as calibrated by the card \(temperature .{5}\), 0\.\d{3}\s+uncalibrated", shown)


def test_bars_on_a_screen_without_unicode(dataset, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mien", "evaluate", "small", "--data", dataset, "--no-ten-views", "--out", "r.json"],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"}, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "........" in done.stdout
    assert "?" not in done.stdout
    assert files(tmp_path) == ["r.json"]


def test_a_table_of_faces_is_written_beside_the_report(run, dataset, tmp_path):
    faces = tmp_path / "faces.csv"
    done = run("evaluate", "small", "--data", dataset, "--no-ten-views", "--faces", faces)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == f"wrote {faces}"
    with faces.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["index"] for row in rows] == [str(number) for number in range(28)]
    assert {row["leaked"] for row in rows} == {"True", "False"}
    quiet = run("evaluate", "small", "--data", dataset, "--no-ten-views", "--faces", faces, "--json")
    assert json.loads(quiet.out)["data"]["images"] == 28


def test_a_program_reads_json_and_nothing_else(run, dataset, tmp_path):
    done = run("evaluate", "small", "--data", dataset, "--json", "--no-ten-views", "--out", tmp_path / "r.json")
    values = json.loads(done.out)
    assert (done.code, done.err, values["ten_views"]) == (0, "", None)
    written = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert values == written


def test_groups_of_faces_are_shown_and_drawn(run, tmp_path):
    made = write_dataset(tmp_path / "made.parquet", IMAGES, attributes={"skin [x]": ["dark", "light"]})
    done = run("evaluate", "tiny", "--data", made, "--no-ten-views", "--by", "Skin [x]", "--page", tmp_path / "r.html")
    assert (done.code, done.err) == (0, "")
    for part in ("by skin [x]", "dark", "light", "same labels"):
        assert part in done.out
    assert re.search(r"[+-]\d+\.\d \([+-]\d+\.\d to [+-]\d+\.\d\)", done.out)
    assert "Taken for, by skin [x]." in (tmp_path / "r.html").read_text(encoding="utf-8")
    bad = run("evaluate", "tiny", "--data", made, "--by", "age")
    assert (bad.code, bad.err.count("\n")) == (2, 1)
    assert "has no attribute age; it has skin [x]" in bad.err


@pytest.mark.parametrize("form", ["huggingface", "folders"])
def test_other_forms_are_read_and_copies_found(run, form, tmp_path, dataset):
    write = write_huggingface if form == "huggingface" else write_class_folders
    path = write(tmp_path / "set.parquet", IMAGES[:14])
    done = run(
        "evaluate", "small", "--data", path, "--no-ten-views", "--training", dataset, "--labels", "happy,sad", "--json"
    )  # fmt: skip
    values = json.loads(done.out)
    assert (done.code, values["data"]["images"], sum(values["data"]["left_out"].values())) == (0, 4, 10)
    assert values["leaks"]["leaked_only"]["images"] == 4
    assert values["leaks"]["without_leaks"] == {"images": 0}


def test_bad_input_is_one_clear_line(run, dataset, tmp_path):
    few = write_dataset(tmp_path / "few.parquet", IMAGES, labels=("happy", "sad"), splits=("test", "validation"))
    empty = write_dataset(tmp_path / "empty.parquet", IMAGES[:0])
    (tmp_path / "torn.parquet").write_bytes(dataset.read_bytes()[:3000])
    (tmp_path / "model.onnx").write_bytes(b"no model")
    (tmp_path / "torn.onnx").write_bytes(list_models()["small"].read_weights()[:1000])
    (tmp_path / "torn.json").write_text(json.dumps(list_models()["small"].card.to_dict()))
    before = files(tmp_path)
    page = tmp_path / "page.html"
    cases = [
        (("small", "--data", few, "--split", "test"), 1, "lacks the classes angry, disgust"),
        (("small", "--data", few, "--labels", "happy,sad"), 2, "several splits: validation (14 rows), test (14 rows)"),
        (("small", "--data", few, "--split", "x"), 2, "no split 'x'; it has validation (14 rows), test (14 rows)"),
        (("small", "--data", empty), 1, "has no rows"),
        (("small", "--data", tmp_path / "torn.parquet"), 1, "torn.parquet"),
        (("small", "--data", tmp_path / "nothing"), 1, "no such file"),
        (("minute", "--data", dataset), 2, "unknown expression model 'minute'"),
        (("mien", "--data", dataset), 1, "is not a dataset of photos with face boxes"),
        ((tmp_path / "model.onnx", "--data", dataset), 2, "model card model.json is missing"),
        ((tmp_path / "torn.onnx", "--data", dataset), 2, "sha256"),
        (("small", "--data", dataset, "--labels", "joyful"), 2, "unknown label scheme"),
        (("small", "--data", dataset, "--out", tmp_path / "r.txt"), 2, "ends in .json"),
        (("small", "--data", dataset, "--page", tmp_path / "no" / "r.html"), 2, "folder does not exist"),
        (("small", "--data", dataset, "--faces", tmp_path / "faces.xlsx"), 2, "ends in .csv or .parquet"),
        (("small", "--data", dataset, "--faces", dataset), 2, "is the dataset itself"),
        (("mien", "--data", dataset, "--faces", tmp_path / "faces.csv"), 2, "--faces can only be used with expression"),
    ]
    for arguments, code, message in cases:
        given = arguments if "--page" in arguments else (*arguments, "--page", page)
        done = run("evaluate", *given)
        assert done.code == code, (arguments, done)
        assert done.err.startswith("mien: "), done
        assert message in done.err
        assert done.err.count("\n") == 1
        assert files(tmp_path) == before


def test_a_full_disk_leaves_no_half_a_report(run, dataset, tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    for flag, name in (("--out", "r.json"), ("--faces", "faces.csv"), ("--faces", "faces.parquet")):
        done = run("evaluate", "small", "--data", dataset, "--no-ten-views", flag, tmp_path / name, "--json")
        assert done.code == 2
        assert f"{name}: cannot be written (No space left on device)" in done.err
        assert json.loads(done.out)  # what was measured is not lost
        assert files(tmp_path) == []


def test_a_reader_who_leaves_early_costs_the_screen_only(dataset, tmp_path):
    command = [sys.executable, "-m", "mien", "evaluate", "tiny", "--data", dataset, "--no-ten-views", "--out",
               tmp_path / "r.json"]  # fmt: skip
    closed, screen = os.pipe()
    os.close(closed)
    try:
        done = subprocess.run(command, stdout=screen, stderr=subprocess.PIPE, text=True, timeout=120)
    finally:
        os.close(screen)
    assert (done.returncode, done.stderr) == (141, "")
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["data"]["images"] == 28


def test_a_page_needs_the_extra_and_says_so_at_once(dataset, tmp_path):
    script = "import sys; sys.modules['jinja2'] = None; from mien.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "evaluate", "small", "--data", dataset, "--page", tmp_path / "r.html"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "needs the library 'jinja2'" in done.stderr
    assert "mien[data]" in done.stderr
