"""What is known of faces besides their expressions: from the source to the dataset, its copies and its report."""

import csv
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.data import Dataset, balance_dataset, import_dataset, report_dataset, report_page
from mien.data.attributes import MOST_GROUPS, split_groups
from mien.errors import MienWarning, UsageError
from mien.labels import FER7
from tests.data import layouts_on_disk as disk


@pytest.fixture
def table(tmp_path):
    """Eight faces: four women and three men, one unknown; ages from 20 to 27."""
    path = tmp_path / "set" / "train.csv"
    (path.parent / "images").mkdir(parents=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "Gender", "AGE", "note"])
        for i in range(8):
            (path.parent / "images" / f"{i}.png").write_bytes(disk.jpeg(i, extension=".png"))
            gender = "" if i == 7 else ("female", "male")[i % 2]
            writer.writerow([f"{i}.png", FER7[3 + i % 2], gender, 20 + i, "any"])
    return path.parent


def test_a_tables_columns_are_kept_where_asked_for(table, tmp_path):
    dataset, _ = import_dataset(table, tmp_path / "a.parquet", attributes="gender, Age")
    assert dataset.info.attribute_names == ("gender", "age")
    assert dataset.attributes["gender"].tolist() == ["female", "male"] * 3 + ["female", ""]
    assert dataset.attributes["age"].tolist() == [str(20 + i) for i in range(8)]
    plain, _ = import_dataset(table, tmp_path / "b.parquet")
    assert (plain.info.attribute_names, plain.attributes, "attributes" in plain.info.columns) == ((), {}, False)


def test_they_stay_through_what_is_done_to_a_dataset(table, tmp_path):
    dataset, _ = import_dataset(table, tmp_path / "a.parquet", attributes="gender,age")
    again, _ = import_dataset(dataset.path, tmp_path / "b.parquet")
    assert {name: values.tolist() for name, values in again.attributes.items()} == {
        name: values.tolist() for name, values in dataset.attributes.items()
    }
    fewer, _ = import_dataset(dataset.path, tmp_path / "c.parquet", attributes="age")
    assert fewer.info.attribute_names == ("age",)
    with pytest.warns(MienWarning, match="no split but 'train'"):
        one_class = balance_dataset(dataset, tmp_path / "d.parquet", labels="valence3", oversample=True)
    assert one_class.attributes["age"].tolist() == dataset.attributes["age"].tolist()


def test_columns_of_parquet_are_kept_as_text(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [{"bytes": disk.jpeg(i, extension=".png"), "path": f"{i}.png"} for i in range(3)]
    columns = {
        "image": images,
        "label": ["happy", "sad", "happy"],
        "Age": [4, None, 70],
        "glasses": [True, False, None],
    }
    pq.write_table(pa.table(columns), tmp_path / "hf.parquet")
    dataset, _ = import_dataset(tmp_path / "hf.parquet", tmp_path / "a.parquet", attributes="age,glasses")
    assert {name: values.tolist() for name, values in dataset.attributes.items()} == {
        "age": ["4", "", "70"],
        "glasses": ["True", "False", ""],
    }


@pytest.mark.parametrize("aligned", [True, False])
def test_rafdb_tells_gender_race_and_age(tmp_path, aligned):
    root = disk.write_rafdb(tmp_path / "raf", aligned=False)
    if aligned:
        (root / "basic" / "Image" / "original").rename(root / "basic" / "Image" / "aligned")
        for file in (root / "basic" / "Image" / "aligned").iterdir():
            file.rename(file.with_name(f"{file.stem}_aligned.jpg"))
    dataset, _ = import_dataset(root, tmp_path / "a.parquet")
    assert {name: values.tolist() for name, values in dataset.attributes.items()} == {
        "gender": ["female"] * 3,
        "race": ["Caucasian"] * 3,
        "age": ["20 to 39"] * 3,
    }


def test_a_number_that_rafdb_does_not_know_is_named(tmp_path):
    root = disk.write_rafdb(tmp_path / "raf", aligned=False)
    file = root / "basic" / "Annotation" / "manual" / "train_00002_manu_attri.txt"
    file.write_text(file.read_text().replace("1\n0\n2\n", "1\n7\n2\n"))
    _, summary = import_dataset(root, tmp_path / "a.parquet", on_error="skip")
    assert "race 7; expected a whole number from 0 to 2" in str(summary.damaged[0])


def test_what_is_not_there_is_said(table, tmp_path):
    with pytest.raises(UsageError, match=r"train.csv has no column skin; it has image, label, gender, age, note"):
        import_dataset(table, tmp_path / "a.parquet", attributes="gender,skin")
    dataset, _ = import_dataset(table, tmp_path / "a.parquet", attributes="gender")
    with pytest.raises(UsageError, match=r"has no column age; it has gender"):
        import_dataset(dataset.path, tmp_path / "b.parquet", attributes="age")
    with pytest.raises(UsageError, match=r"--attributes is for parquet, table; .* has the layout 'folders'"):
        import_dataset(
            disk.write_folders(tmp_path / "f", ["train"], ["happy", "sad"]), tmp_path / "c.parquet", attributes="age"
        )


def test_the_report_shows_who_is_in_the_data(table, tmp_path):
    dataset, _ = import_dataset(table, tmp_path / "a.parquet", attributes="gender,note")
    report = report_dataset(Dataset(dataset.path))
    assert report.attributes["gender"] == {
        "female": {"happy": 4, "sad": 0},
        "male": {"happy": 0, "sad": 3},
        "not known": {"happy": 0, "sad": 1},
    }
    page = report_page(report)
    assert "Faces by gender" in page
    assert "mien evaluate --by gender,note" in page


def test_groups_are_in_the_order_in_which_people_read_them():
    assert list(split_groups(np.array(["70+", "4-19", "", "20-39", "0-3"]))) == ["0-3", "4-19", "20-39", "70+"]
    assert list(split_groups(np.array(["male", "Female", "10", "9"]))) == ["9", "10", "Female", "male"]
    assert split_groups(np.array([f"person {i}" for i in range(MOST_GROUPS + 1)])) is None
    assert split_groups(np.array([""])) == {}
    # Angles of a head: those below 0 came last, as names.
    assert list(split_groups(np.array(["45", "-45", "0", "-20-0", "-9.5"]))) == ["-45", "-20-0", "-9.5", "0", "45"]


@pytest.mark.parametrize(
    ("start", "step", "first"), [(1_700_000_000, 1, "1700000000 to 1700000003"), (0.1, 1e-7, "0.1 to 0.1000003")]
)
def test_numbers_that_are_alike_make_groups_of_their_own(start, step, first):
    """Times of photos were all "1.7e+09 to 1.7e+09": one group was left, of a fifth of the faces."""
    groups = split_groups(np.array([f"{start + step * number:.10g}" for number in range(20)]))
    assert [rows.sum() for rows in groups.values()] == [4] * 5
    assert next(iter(groups)) == first


@given(st.lists(st.integers(0, 99) | st.none(), min_size=1, max_size=200))
def test_every_known_row_is_in_one_group(ages):
    values = np.array(["" if age is None else str(age) for age in ages])
    groups = split_groups(values)
    assert np.array_equal(
        sum(rows.astype(int) for rows in groups.values()) if groups else 0 * (values == ""), values != ""
    )
    if len(set(ages) - {None}) > MOST_GROUPS:
        spans = [tuple(map(float, name.split(" to "))) for name in groups]
        assert 2 <= len(spans) <= 5
        assert all(first[1] < second[0] for first, second in itertools.pairwise(spans))
