"""The table of the faces that were evaluated: whose rows they are, and what other programs make of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from mien.data import Dataset
from mien.data.audit import audit_dataset
from mien.data.audit.predict import read_probabilities
from mien.errors import MissingExtraError, UsageError
from mien.evaluate import evaluate_model
from mien.evaluate.face_rows import check_face_rows, write_face_rows
from mien.labels import FER7, SCHEMES
from tests.sets import smooth_faces, write_class_folders, write_dataset

pd = pytest.importorskip("pandas")
IMAGES = smooth_faces(120)
READ = {".csv": pd.read_csv, ".parquet": pd.read_parquet}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sets") / "made.parquet"
    attributes = {"label": ["dark", "light", ""]}
    splits = ("train", "validation")
    return write_dataset(path, IMAGES, splits=splits, leaked=True, votes=True, attributes=attributes)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_tells_what_the_report_adds_up(dataset: Path, tmp_path: Path, suffix: str) -> None:
    evaluation = evaluate_model("tiny", dataset, labels="valence3", by="label", ten_views=False)
    path = tmp_path / f"faces{suffix}"
    write_face_rows(path, evaluation.to_columns())
    table, values = READ[suffix](path), evaluation.to_dict()
    names = [f"probability_{label}" for label in SCHEMES["valence3"].labels]
    assert table.columns.tolist() == [
        "index", "name", "label", "answer", "confidence", *names, "leaked", "leaked_exactly", "attribute_label",
    ]  # fmt: skip
    assert len(table) == values["data"]["images"] == 51  # of 60, without surprise, though all have votes
    right = table["label"] == table["answer"]
    assert right.mean() == pytest.approx(values["one_pass"]["accuracy"], abs=1e-5)
    assert right[~table["leaked"]].mean() == pytest.approx(
        values["leaks"]["without_leaks"]["one_pass"]["accuracy"], abs=1e-5
    )
    assert np.allclose(table[names].sum(axis=1), 1)
    assert (table[names].idxmax(axis=1) == "probability_" + table["answer"]).all()
    assert np.array_equal(table[names].max(axis=1), table["confidence"])
    assert table["confidence"].tolist() == evaluation.probabilities.max(axis=1).tolist()  # not a digit is lost
    dataset_rows = Dataset(dataset)
    assert table["name"].tolist() == [dataset_rows.names()[row] for row in table["index"]]
    assert set(dataset_rows.split[table["index"]]) == {"validation"}
    groups = table["attribute_label"].value_counts().to_dict()
    assert groups == {name: own["images"] for name, own in values["by"]["label"]["groups"].items()}
    assert table["attribute_label"].isna().sum() == values["by"]["label"]["unknown"] > 0


def test_a_folder_has_names_and_no_row_numbers(tmp_path: Path) -> None:
    """Numbers of another order would be taken for rows of the dataset that is imported of it."""
    folder = write_class_folders(tmp_path / "faces", IMAGES[:21])
    columns = evaluate_model("tiny", folder, ten_views=False).to_columns()
    assert list(columns)[:4] == ["name", "label", "answer", "confidence"]
    assert "leaked" not in columns  # nobody looked
    assert len({Path(name).name for name in columns["name"]}) == 21
    for name, label in zip(columns["name"], columns["label"], strict=True):
        assert Path(name).parent.name == label


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_audit_judges_labels_by_the_probabilities_of_a_fold(dataset: Path, tmp_path: Path, suffix: str) -> None:
    evaluation = evaluate_model("tiny", dataset, ten_views=False, leaks=False)
    given = tmp_path / f"faces{suffix}"
    write_face_rows(given, evaluation.to_columns())
    read = read_probabilities(given, len(IMAGES), FER7)
    assert np.isnan(read[::2]).all()
    assert np.allclose(read[1::2], evaluation.probabilities, atol=1e-12)
    audit = audit_dataset(dataset, probabilities=given, detector="none")
    assert (audit.judged_rows, audit.in_sample_rows, audit.own_probabilities) == (60, 0, True)


def test_what_cannot_be_written_is_told_before_the_work(dataset: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(UsageError, match="ends in .csv or .parquet"):
        check_face_rows(tmp_path / "faces.xlsx")
    with pytest.raises(UsageError, match="folder does not exist"):
        check_face_rows(tmp_path / "no" / "faces.csv")
    link = tmp_path / "link.parquet"
    link.symlink_to(dataset)
    with pytest.raises(UsageError, match="is the dataset itself"):
        check_face_rows(link, dataset, None)
    with pytest.raises(UsageError, match="is the dataset itself"):
        check_face_rows(link, tmp_path, dataset)
    check_face_rows(tmp_path / "faces.csv", dataset, None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    check_face_rows(tmp_path / "faces.csv", dataset, None)
    with pytest.raises(MissingExtraError, match="pyarrow"):
        check_face_rows(tmp_path / "faces.parquet", dataset, None)
    assert list(tmp_path.iterdir()) == [link]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_names_may_be_no_utf8(tmp_path: Path, suffix: str) -> None:
    folder = write_class_folders(tmp_path / "faces", IMAGES[:21])
    odd = Path(os.fsdecode(os.fsencode(folder / "happy") + b"/o\xff.png"))
    try:
        odd.write_bytes((folder / "happy" / "003.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    path = tmp_path / f"rows{suffix}"
    write_face_rows(path, evaluate_model("tiny", folder, ten_views=False).to_columns())
    assert READ[suffix](path)["name"].str.contains("udcff").sum() == 1
