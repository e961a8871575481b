"""A cross-validation from the command line: trained, gone on with, and measured as one thing."""

import csv
import json
import re

import pytest

from mien.data.dataset import Dataset
from tests.cli.mien_in_process import runner
from tests.sets import smooth_faces, write_class_folders

QUICK = ("--architecture", "cnn2", "--size-px", 16, "--threads", 1, "--loggers", "csv", "--accelerator", "cpu")
LEARN = ("--batch-size", 8, "--learning-rate", 0.01, "--epochs", 1)


@pytest.fixture
def mien(monkeypatch, capsys):
    return runner(monkeypatch, capsys)


def test_folders_are_cross_validated_and_each_face_is_read_by_a_model_that_does_not_know_it(mien, tmp_path):
    faces, out, table = tmp_path / "faces", tmp_path / "cv", tmp_path / "faces.csv"
    write_class_folders(faces, smooth_faces(24, side_px=24), ("happy", "sad"))
    done = mien("train", "--data", faces, "--out", out, *QUICK, *LEARN, "--folds", 3)
    assert done.code == 0, done.err
    assert "without fold 2: trains on 16 faces" in done.out
    assert re.search(r"accuracy 0\.\d+ ± 0\.\d+: mean and standard deviation over 3 folds", done.out)
    command = re.search(r"mien evaluate (\S+) --data (\S+)", done.out.replace("\n", " "))
    assert command is not None
    done = mien("evaluate", command[1], "--data", command[2], "--faces", table)
    assert done.code == 0, done.err
    assert "the 3 folds of folds.parquet" in done.out
    assert re.search(r"mean of the folds \d+\.\d %, standard deviation", done.out)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(24))
    data = Dataset(out / "folds.parquet")
    assert [row["label"] for row in rows] == [data.labels[label] for label in data.label]
    # It is what an audit takes for the opinion of models that did not learn from the labels that it judges.
    done = mien("data", "audit", out / "folds.parquet", "--probabilities", table, "--plan", tmp_path / "plan.csv")
    assert done.code == 0, done.err
    done = mien("train", "--resume", "--out", out, "--json")
    assert done.code == 0, done.err
    assert [run["fold"] for run in json.loads(done.out)["runs"]] == [0, 1, 2]


def test_folds_and_seeds_are_not_mixed(mien, tmp_path):
    done = mien("train", "--data", tmp_path, "--folds", 3, "--seeds", 2)
    assert done.code == 2
    assert "--seeds and --folds cannot be used together" in done.err
