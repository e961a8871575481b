"""The report: its numbers, and a page that needs nothing else."""

import dataclasses
import json
import re

import numpy as np
import pytest

from mien.data import report_dataset, report_page
from tests.data.layouts_on_disk import pattern
from tests.data.made import make_dataset

VOTES = [[0, 10, 0, 0, 0, 0, 0, 0, 0, 0], [5, 0, 0, 5, 0, 0, 0, 0, 0, 0], [0, 0, 0, 10, 0, 0, 0, 0, 0, 0]]


@pytest.fixture
def dataset(tmp_path):
    label, split = [3, 4, 3, 3], ["train", "train", "train", "test"]
    images = [pattern(0), pattern(1), pattern(2), np.full((20, 30), 100, np.uint8)]
    return make_dataset(tmp_path / "a.parquet", images, label, split, [*VOTES, VOTES[0]])


def test_its_numbers(dataset):
    report = report_dataset(dataset)
    assert report.counts["train"]["happy"] == 2
    assert report.class_totals["happy"] == 3
    assert report.imbalance["train"] == float("inf"), "there is no disgust at all"
    assert report.sizes["table"] == {"48 x 48": 3, "30 x 20": 1}
    assert report.sizes["smallest"] == 20
    assert report.votes["with_majority"] == 3
    assert report.votes["agreement"] == pytest.approx(2 / 3)
    assert report.votes["mean_entropy_bits"] == pytest.approx(0.25)
    assert report.votes["disagreement"][3].tolist() == [0, 0, 0, 2, 1, 0, 0, 0, 0]
    assert report.votes["disagreement"][4].tolist() == [0] * 8 + [1]
    faces = np.array([pattern(0), pattern(2), np.full((48, 48), 100)], float)
    assert np.abs(report.pictures["means"]["happy"] - faces.mean(axis=0)).max() <= 1
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["imbalance"]["train"] is None


def test_the_page_holds_everything_itself(dataset):
    text = report_page(report_dataset(dataset))
    assert "http" not in text
    assert (text.count("<svg"), text.count('class="bars"')) == (4, 1)
    assert re.findall(r'<svg [^>]*role="img" aria-label="(\w+)[^"]* (\d+) faces, median', text) == [
        (name, "4") for name in ("brightness", "contrast", "sharpness", "entropy")
    ]
    assert "Dataset report: made" in text
    assert report_page(report_dataset(dataset.path)) == text, "the same choice every time"


def test_the_history_is_for_people(tmp_path):
    dataset = make_dataset(tmp_path / "a.parquet", [pattern(0)], [0], ["happy"])
    step = {"step": "import", "excluded": {"left out": 2}, "attributes": ["age", "race"]}
    text = report_page(dataclasses.replace(report_dataset(dataset), history=(step,)))
    assert "excluded: <code>left out: 2</code>" in text
    assert "attributes: <code>age, race</code>" in text


def test_text_in_metadata_cannot_break_the_page(tmp_path):
    dataset = make_dataset(tmp_path / "a.parquet", [pattern(0)], [0], ["<script>alert(1)</script>"])
    assert "<script>" not in report_page(report_dataset(dataset))


def test_faces_without_votes_are_no_agreement_of_all(tmp_path):
    images = [pattern(i) for i in range(5)]
    votes = [VOTES[1], None, None, VOTES[0], None]
    dataset = make_dataset(tmp_path / "a.parquet", images, [4, 4, 4, 3, 0], votes=votes)
    report = report_dataset(dataset)
    assert report.medians["sad"]["entropy_bits"] == pytest.approx(1.0)
    assert report.medians["happy"]["entropy_bits"] == 0.0
    assert "entropy_bits" not in report.medians["angry"]
    assert "entropy" in report_page(report)


def test_without_a_majority_no_label_disagrees_with_one(tmp_path):
    """They agreed on 0.0 % of 0 faces."""
    votes = [[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]
    report = report_dataset(make_dataset(tmp_path / "a.parquet", [pattern(0)], [0], votes=votes))
    assert (report.votes["with_majority"], report.votes["agreement"]) == (0, None)
    page = report_page(report)
    assert "None\nhas a majority" in page
    assert "agree with" not in page


def test_votes_are_compared_with_what_the_classes_stand_for(tmp_path):
    classes = ("positive", "neutral", "negative")
    images = [pattern(i) for i in range(3)]
    report = report_dataset(make_dataset(tmp_path / "a.parquet", images, [0, 1, 2], votes=VOTES, labels=classes))
    assert report.votes["with_majority"] == 2
    assert report.votes["agreement"] == 1.0, "happy is positive, sad is negative"


def test_photos_come_a_few_at_a_time(tmp_path):
    photos = [np.zeros((5000, 5000), np.uint8)] * 4
    box = [None, None, None, [10.0, 10.0, 40.0, 40.0]]
    dataset = make_dataset(tmp_path / "a.parquet", photos, [0] * 4, box_xyxy=box)
    batches = list(dataset.image_batches())
    assert [len(batch) for batch in batches] == [3, 1], "1,024 photos of a camera do not fit into memory"
    assert batches[1][0].base is None, "a face does not keep the photo that it was cut out of"
