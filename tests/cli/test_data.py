"""`mien data` as a person runs it: from a messy folder to a clean dataset, in processes of its own. Details are looked
at in this process, which takes a tenth of the time."""

import csv
import json
import shutil

import cv2
import pytest

from mien.labels import FER7
from tests.cli.mien_in_process import runner
from tests.cli.test_recognize import run
from tests.data import layouts_on_disk as disk
from tests.data.test_copies import picture


@pytest.fixture
def mien(monkeypatch, capsys):
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CSV of twelve faces, with one copy that leaks and one black image, imported."""
    folder = tmp_path_factory.mktemp("data")
    images = [picture(seed) for seed in range(10)]
    images += [images[0], images[1] * 0]
    disk.write_fer2013(
        folder / "fer.csv", [i % 7 for i in range(12)], ["Training"] * 9 + ["PublicTest"] * 2 + ["Training"], images
    )
    done = run("data", "import", "fer.csv", "fer.parquet", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 faces from the layout 'fer2013' in fer.parquet" in done.stdout
    return folder


def test_from_the_audit_to_a_clean_dataset(folder):
    done = run("data", "audit", "fer.parquet", "--plan", "plan.csv", "--page", "audit.html", "--json", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["findings"]["leak"] == found["findings"]["leak_source"] == found["findings"]["flat"] == 1
    assert (folder / "audit.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    done = run("data", "clean", "fer.parquet", "plan.csv", "clean.parquet", "--leak-free", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["leaked"] == {"validation": 1}
    assert summary["dropped"]["flat"] == summary["dropped"]["leak_source"] == 1


def test_a_wrong_partner_is_named_by_its_row_in_the_file(mien, folder, tmp_path):
    done = mien("data", "audit", "fer.parquet", "--plan", str(tmp_path / "plan.csv"), "--detector", "none", cwd=folder)
    assert done.code == 0, done.err
    # Twelve rows are too few to judge labels, which is not the same as none that is wrong.
    assert next(line.split()[1] for line in done.out.splitlines() if line.startswith("wrong_label")) == "-"
    rows = list(csv.DictReader((tmp_path / "plan.csv").read_text(encoding="utf-8").splitlines()))
    rows[1] |= {"action": "merge", "partner": "77"}
    with (tmp_path / "plan.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    done = mien("data", "clean", str(folder / "fer.parquet"), "plan.csv", "c.parquet", cwd=tmp_path)
    assert done.code == 1
    assert done.err.startswith("mien: plan.csv row 1: partner 77; expected 0 to 11")
    assert done.err.count("\n") == 1


def test_report(mien, folder):
    done = mien("data", "report", "fer.parquet", "--out", "report.json", "--page", "report.html", cwd=folder)
    assert (done.code, done.err) == (0, "")
    assert "imbalance ratio" in done.out
    assert "wrote report.html" in done.out
    found = json.loads(mien("data", "report", "fer.parquet", "--json", cwd=folder).out)
    assert found["rows"] == 12
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == found
    assert "validation ∞" in mien("data", "report", "fer.parquet", cwd=folder).out
    done = run("data", "report", "fer.parquet", cwd=folder, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "validation inf" in done.stdout


def test_balance_and_split(mien, folder):
    done = mien(
        "data", "balance", "fer.parquet", "b.parquet", "--labels", "valence3", "--oversample", "--json", cwd=folder
    )
    assert done.code == 0, done.err
    train = json.loads(done.out)["counts"]["train"]
    assert len(set(train.values())) == 1
    done = mien("data", "split", "fer.parquet", "s.parquet", "--folds", "2", cwd=folder)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].split() == ["class", "fold", "0", "fold", "1"]
    assert "12 faces in s.parquet" in done.out
    done = mien("data", "split", "fer.parquet", "s.parquet", cwd=folder)
    assert "the old splits" in done.out


def test_damaged_rows_are_named_and_the_status_says_so(mien, folder, tmp_path):
    text = (folder / "fer.csv").read_text().replace("\n1,", "\n9,", 1)
    (tmp_path / "bad.csv").write_text(text)
    done = mien("data", "import", "bad.csv", "out.parquet", cwd=tmp_path)
    assert done.code == 1
    said = "mien: bad.csv row 1 (line 3): label '9'; expected a whole number from 0 to 6"
    assert done.err == f"{said}; --on-error skip leaves out what is damaged\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]
    done = mien("data", "import", "bad.csv", "out.parquet", "--on-error", "skip", cwd=tmp_path)
    assert done.code == 1
    assert "left out bad.csv row 1" in done.err
    assert "11 faces" in done.out
    assert "1 damaged" in done.out


def test_a_folder_of_an_unknown_class_counts_with_its_images(mien, tmp_path):
    disk.write_folders(tmp_path / "set", ["train"], ["angry", "happy", "bored"])
    done = mien("data", "import", "set", "out.parquet", "--on-error", "skip", cwd=tmp_path)
    assert done.code == 1
    assert "4 faces" in done.out
    assert "2 damaged" in done.out
    assert done.err.startswith("mien: left out train/bored: unknown class name 'bored'")
    assert done.err.endswith("(2 images in this folder)\n")
    assert done.err.count("\n") == 1


def test_a_table_that_is_wider_than_the_screen_goes_on_below(mien, folder):
    done = mien("data", "split", "fer.parquet", "s.parquet", "--folds", "2", cwd=folder, COLUMNS="20")
    assert done.code == 0, done.err
    for table, fold in zip(done.out.split("\n\n"), ("0", "1"), strict=True):
        lines = [line.split() for line in table.splitlines()]
        assert lines[0] == ["class", "fold", fold]
        assert [cells[0] for cells in lines[1:9]] == [*FER7, "all"]


def test_one_is_counted_as_one(mien, tmp_path):
    for name in ("happy", "sad"):
        (tmp_path / "set" / name).mkdir(parents=True)
    (tmp_path / "set" / "sad" / "a.png").write_bytes(b"x")
    done = mien("data", "import", "set", "out.parquet", "--on-error", "skip", cwd=tmp_path)
    assert "no row can be read; its only one is damaged: sad/a.png" in done.err
    (tmp_path / "set" / "happy" / "a.png").write_bytes(disk.jpeg(1, extension=".png"))
    done = mien("data", "import", "set", "out.parquet", "--on-error", "skip", cwd=tmp_path)
    assert "1 face from the layout 'folders' in out.parquet; 1 damaged" in done.out
    (tmp_path / "yolo" / "images").mkdir(parents=True)
    (tmp_path / "yolo" / "labels").mkdir()
    for number in range(2):
        (tmp_path / "yolo" / "images" / f"{number}.png").write_bytes(disk.jpeg(1, extension=".png"))
    done = mien("data", "photos", "yolo", "photos.parquet", cwd=tmp_path)
    assert "2 photos from the layout 'yolo' in photos.parquet; near copies of others: 1" in done.out


def test_names_are_shown_as_they_are(mien, tmp_path):
    disk.write_folders(tmp_path / "set", ["train"], ["[b]", "[bored]"])
    assert mien("data", "import", "set", "[red]out.parquet", cwd=tmp_path).code == 0
    done = mien("data", "report", "[red]out.parquet", "--page", "[i]page.html", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()[1:3]] == ["[b]", "[bored]"]
    assert "wrote [i]page.html" in done.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("import", "fer.csv", "out.csv"), "ends in .parquet"),
        (("import", "fer.csv", "o.parquet", "--ferplus", "majority"), "needs FER+ votes"),
        (("balance", "fer.parquet", "fer.parquet", "--weights"), "is the dataset itself, which is never changed"),
        (("audit", "fer.parquet", "--plan", "fer.parquet"), "is the dataset itself, which is never changed"),
        (("clean", "fer.parquet", "plan.parquet", "plan.parquet"), "is the plan, which is never changed"),
        (("balance", "fer.parquet", "b2.parquet"), "nothing to do"),
        (("split", "fer.parquet", "s2.parquet", "--only", "train"), "--validation 0"),
        (("split", "fer.parquet", "s2.parquet", "--folds", "2", "--validation", "0.1"), "either folds, or"),
        (("audit", "fer.parquet", "--plan", "plan.txt"), "ends in .csv or .parquet"),
        (("report", "fer.parquet", "--page", "page.pdf"), "ends in .html"),
    ],
)
def test_wrong_usage_is_said_in_a_line(mien, folder, arguments, problem):
    (folder / "plan.parquet").touch()
    done = mien("data", *arguments, cwd=folder)
    assert done.code == 2
    assert done.err.startswith("mien: ")
    assert problem in done.err
    assert done.err.count("\n") == 1


def test_a_source_that_is_not_there_has_status_1(mien, folder):
    for arguments in (("import", "nothing", "o.parquet"), ("report", "nothing.parquet"), ("audit", "fer.csv")):
        done = mien("data", *arguments, cwd=folder)
        assert done.code == 1
        assert done.err.startswith("mien: ")


def test_faces_are_aligned(mien, tmp_path, astronaut_path, astronaut_bgr):
    (tmp_path / "photos" / "happy").mkdir(parents=True)
    (tmp_path / "photos" / "sad").mkdir()
    shutil.copy(astronaut_path, tmp_path / "photos" / "happy")
    cv2.imwrite(str(tmp_path / "photos" / "sad" / "hand.png"), astronaut_bgr[400:500, 300:400])
    assert mien("data", "import", "photos", "photos.parquet", cwd=tmp_path).code == 0
    done = mien("data", "align", "photos.parquet", "faces.parquet", "--face-px", "64", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "1 by the detector" in done.out
    assert "1 (kept as they are; --without-face drop leaves them out)" in done.out
    assert "2 faces of 64 px in faces.parquet" in done.out
    done = mien("data", "align", "photos.parquet", "faces.parquet", "--without-face", "drop", "--json", cwd=tmp_path)
    assert json.loads(done.out) == {
        "dataset": "faces.parquet", "rows_before": 2, "rows_after": 1, "by_own_landmarks": 0, "by_detector": 1,
        "no_face": 1,
    }  # fmt: skip
