"""`mien data` as a person runs it: from a messy folder to a clean dataset."""

import csv
import json

import pytest

from mien.labels import FER7
from tests.cli.test_recognize import run
from tests.data import layouts_on_disk as disk
from tests.data.test_copies import picture


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
    done = run("data", "audit", "fer.parquet", "--plan", "plan.csv", "--out", "audit.html", "--json", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["findings"]["leak"] == found["findings"]["leak_source"] == found["findings"]["flat"] == 1
    assert (folder / "audit.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    done = run("data", "clean", "fer.parquet", "plan.csv", "clean.parquet", "--leak-free", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["leaked"] == {"validation": 1}
    assert summary["dropped"]["flat"] == summary["dropped"]["leak_source"] == 1


def test_a_wrong_partner_is_named_by_its_row_in_the_file(folder, tmp_path):
    done = run("data", "audit", "fer.parquet", "--plan", str(tmp_path / "plan.csv"), "--detector", "none", cwd=folder)
    assert done.returncode == 0, done.stderr
    # Twelve rows are too few to judge labels, which is not the same as none that is wrong.
    assert next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("wrong_label")) == "-"
    rows = list(csv.DictReader((tmp_path / "plan.csv").read_text(encoding="utf-8").splitlines()))
    rows[1] |= {"action": "merge", "partner": "77"}
    with (tmp_path / "plan.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    done = run("data", "clean", str(folder / "fer.parquet"), "plan.csv", "c.parquet", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("mien: plan.csv row 1: partner 77; expected 0 to 11")
    assert done.stderr.count("\n") == 1


def test_report(folder):
    done = run("data", "report", "fer.parquet", "--out", "report.html", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "imbalance ratio" in done.stdout
    assert "wrote report.html" in done.stdout
    assert json.loads(run("data", "report", "fer.parquet", "--json", cwd=folder).stdout)["rows"] == 12
    for encoding, endless in (("utf-8", "∞"), ("ascii", "inf")):
        done = run("data", "report", "fer.parquet", cwd=folder, PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"validation {endless}" in done.stdout


def test_balance_and_split(folder):
    done = run(
        "data", "balance", "fer.parquet", "b.parquet", "--labels", "valence3", "--oversample", "--json", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    train = json.loads(done.stdout)["counts"]["train"]
    assert len(set(train.values())) == 1
    done = run("data", "split", "fer.parquet", "s.parquet", "--folds", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == ["class", "fold", "0", "fold", "1"]
    assert "12 faces in s.parquet" in done.stdout
    done = run("data", "split", "fer.parquet", "s.parquet", cwd=folder)
    assert "the old splits" in done.stdout


def test_damaged_rows_are_named_and_the_status_says_so(folder, tmp_path):
    text = (folder / "fer.csv").read_text().replace("\n1,", "\n9,", 1)
    (tmp_path / "bad.csv").write_text(text)
    done = run("data", "import", "bad.csv", "out.parquet", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "mien: bad.csv row 1 (line 3): label '9'; expected a whole number from 0 to 6\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]
    done = run("data", "import", "bad.csv", "out.parquet", "--on-error", "skip", cwd=tmp_path)
    assert done.returncode == 1
    assert "left out bad.csv row 1" in done.stderr
    assert "11 faces" in done.stdout
    assert "1 damaged" in done.stdout


def test_a_folder_of_an_unknown_class_counts_with_its_images(tmp_path):
    disk.write_folders(tmp_path / "set", ["train"], ["angry", "happy", "bored"])
    done = run("data", "import", "set", "out.parquet", "--on-error", "skip", cwd=tmp_path)
    assert done.returncode == 1
    assert "4 faces" in done.stdout
    assert "2 damaged" in done.stdout
    assert done.stderr.startswith("mien: left out train/bored: unknown class name 'bored'")
    assert done.stderr.endswith("(2 images in this folder)\n")
    assert done.stderr.count("\n") == 1


def test_a_table_that_is_wider_than_the_screen_goes_on_below(folder):
    done = run("data", "split", "fer.parquet", "s.parquet", "--folds", "2", cwd=folder, COLUMNS="20")
    assert done.returncode == 0, done.stderr
    for table, fold in zip(done.stdout.split("\n\n"), ("0", "1"), strict=True):
        lines = [line.split() for line in table.splitlines()]
        assert lines[0] == ["class", "fold", fold]
        assert [cells[0] for cells in lines[1:9]] == [*FER7, "all"]


def test_one_is_counted_as_one(tmp_path):
    for name in ("happy", "sad"):
        (tmp_path / "set" / name).mkdir(parents=True)
    (tmp_path / "set" / "sad" / "a.png").write_bytes(b"x")
    done = run("data", "import", "set", "out.parquet", "--on-error", "skip", cwd=tmp_path)
    assert "no row can be read; its only one is damaged: sad/a.png" in done.stderr
    (tmp_path / "set" / "happy" / "a.png").write_bytes(disk.jpeg(1, extension=".png"))
    done = run("data", "import", "set", "out.parquet", "--on-error", "skip", cwd=tmp_path)
    assert "1 face from the layout 'folders' in out.parquet; 1 damaged" in done.stdout
    (tmp_path / "yolo" / "images").mkdir(parents=True)
    (tmp_path / "yolo" / "labels").mkdir()
    for number in range(2):
        (tmp_path / "yolo" / "images" / f"{number}.png").write_bytes(disk.jpeg(1, extension=".png"))
    done = run("data", "photos", "yolo", "photos.parquet", cwd=tmp_path)
    assert "2 photos from the layout 'yolo' in photos.parquet; near copies of others: 1" in done.stdout


def test_names_are_shown_as_they_are(tmp_path):
    disk.write_folders(tmp_path / "set", ["train"], ["[b]", "[bored]"])
    assert run("data", "import", "set", "[red]out.parquet", cwd=tmp_path).returncode == 0
    done = run("data", "report", "[red]out.parquet", "--out", "[i]page.html", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:3]] == ["[b]", "[bored]"]
    assert "wrote [i]page.html" in done.stdout


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
        (("report", "fer.parquet", "--out", "page.pdf"), "ends in .html"),
    ],
)
def test_wrong_usage_is_said_in_a_line(folder, arguments, problem):
    (folder / "plan.parquet").touch()
    done = run("data", *arguments, cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("mien: ")
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_source_that_is_not_there_has_status_1(folder):
    for arguments in (("import", "nothing", "o.parquet"), ("report", "nothing.parquet"), ("audit", "fer.csv")):
        done = run("data", *arguments, cwd=folder)
        assert done.returncode == 1
        assert done.stderr.startswith("mien: ")
