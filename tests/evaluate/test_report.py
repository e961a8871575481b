"""Evaluations and comparisons with the shipped models, on made-up faces and on FER2013 where there is one."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mien.classify import OnnxClassifier
from mien.classify.calibration import expected_calibration_error, softmax
from mien.data import Dataset
from mien.data.faces import open_faces
from mien.errors import UsageError
from mien.evaluate import compare_models, evaluate_model
from mien.evaluate.page import comparison_page, evaluation_page
from mien.evaluate.predict import Outputs, predict
from mien.evaluate.report import scheme_probabilities
from mien.labels import EXPRESSIONS, FER7, SCHEMES
from mien.zoo import Head, list_models
from tests.sets import smooth_faces, write_dataset

IMAGES = smooth_faces(42)


class Links(HTMLParser):
    """Everything that a page would fetch, and the tags that are left open."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def assert_tables_are_numbered(text: str) -> None:
    numbers = [int(number) for number in re.findall(r"<caption><b>Table (\d+)\.", text)]
    assert numbers == list(range(1, len(numbers) + 1))


def assert_self_contained(text: str) -> None:
    page = Links()
    page.feed(text)
    assert all(link.startswith("data:image/png;base64,") for link in page.fetched)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sets") / "made <set>.parquet"
    return write_dataset(path, IMAGES, leaked=True, votes=True)


def test_a_report_holds_together(dataset: Path) -> None:
    evaluation = evaluate_model("small", dataset, threads=1)
    values = json.loads(json.dumps(evaluation.to_dict()))
    assert re.fullmatch(
        r"Evaluation\('small' on 'made <set>\.parquet', split 'validation', 42 images: accuracy [\d.]+%, .*\)",
        repr(evaluation),
    )
    one_pass = values["one_pass"]
    confusion = np.array(one_pass["confusion"])
    assert one_pass["images"] == confusion.sum() == values["data"]["images"] == 42
    assert one_pass["accuracy"] == pytest.approx(np.trace(confusion) / 42, abs=1e-5)
    leaks = values["leaks"]
    assert (leaks["without_leaks"]["images"], leaks["leaked_only"]["images"]) == (28, 14)
    hits = sum(leaks[part]["images"] * leaks[part]["one_pass"]["accuracy"] for part in ("without_leaks", "leaked_only"))
    assert hits == pytest.approx(np.trace(confusion), abs=1e-3)
    assert values["calibration"]["temperature_card"] == list_models()["small"].card.heads[0].temperature
    assert sum(part["images"] for part in values["calibration"]["reliability"]) == 42
    assert values["ferplus"]["head"] == "ferplus"
    wrong = values["confidently_wrong"]
    assert len(wrong) == min(24, 42 - np.trace(confusion)) == len(evaluation.pictures)
    assert all(face["label"] != face["answer"] for face in wrong)
    assert [face["confidence"] for face in wrong] == sorted((face["confidence"] for face in wrong), reverse=True)
    row = int(wrong[0]["row"].split("row ")[1])
    np.testing.assert_array_equal(evaluation.pictures[0], IMAGES[row])
    page = evaluation_page(evaluation)
    assert_self_contained(page)
    assert page.count("<svg") == 2
    assert page.count('class="whisker"') == sum(part["images"] > 0 for part in values["calibration"]["reliability"])
    assert_tables_are_numbered(page)
    assert "made &lt;set&gt;.parquet" in page
    assert "<set>" not in page


def test_a_report_of_little_is_still_one(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "few.parquet", IMAGES[:3], labels=EXPRESSIONS)
    evaluation = evaluate_model("small", path, ten_views=False)
    values = evaluation.to_dict()
    assert values["ten_views"] is values["leaks"] is values["ferplus"] is None
    assert values["one_pass"]["classes"]["contempt"]["recall"] is None
    assert_self_contained(evaluation_page(evaluation))
    others = write_dataset(tmp_path / "others.parquet", IMAGES[3:6], labels=EXPRESSIONS)
    page = evaluation_page(evaluate_model("small", path, ten_views=False, training=others))
    assert "No face has a copy in training." in page


def test_copies_in_training_are_told_of_each_model(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "few.parquet", IMAGES[:6], labels=EXPRESSIONS)
    training = write_dataset(tmp_path / "training.parquet", IMAGES[4:9], labels=EXPRESSIONS)
    values = compare_models(["small", "base"], path, training=training, timed_faces=0).to_dict()
    for row in values["models"]:
        assert "training.parquet" in row["leaks"]["found_by"]
        assert (row["leaks"]["leaked_only"]["images"], row["leaks"]["without_leaks"]["images"]) == (2, 4)


def test_models_are_compared_on_the_same_rows(dataset: Path) -> None:
    # A dataset that is open already is as good as its file.
    comparison = compare_models(["small", "base"], Dataset(dataset), timed_faces=5, labels="valence3")
    assert re.fullmatch(r"Comparison\(on .*, 36 images: 'small' [\d.]+%, 'base' [\d.]+% right\)", repr(comparison))
    values = json.loads(json.dumps(comparison.to_dict()))
    small, base = values["models"]
    (pair,) = values["pairs"]
    assert (pair["first"], pair["second"]) == ("small", "base")
    assert pair["difference"] == pytest.approx(small["scores"]["accuracy"] - base["scores"]["accuracy"], abs=2e-5)
    images = values["data"]["images"]
    assert images == 36  # no surprise
    assert pair["only_first"] + pair["only_second"] + values["all_right"] + values["all_wrong"] == images
    assert (values["all_right"] + pair["only_first"]) / images == pytest.approx(small["scores"]["accuracy"], abs=1e-4)
    assert small["file_bytes"] == list_models()["small"].weights.stat().st_size
    assert small["ms_a_face"]["median"] > 0
    for row, name in ((small, "small"), (base, "base")):
        alone = evaluate_model(name, dataset, ten_views=False, labels="valence3").to_dict()
        assert row["scores"] == alone["one_pass"]
        assert row["ece"] == alone["calibration"]["ece_card"]
        # The votes of all 42 rows count, whatever the scheme.
        assert row["ferplus"]["one_pass"] == alone["ferplus"]["one_pass"]
        assert row["leaks"]["without_leaks"]["accuracy"] == alone["leaks"]["without_leaks"]["one_pass"]
    page = comparison_page(comparison)
    assert_self_contained(page)
    assert_tables_are_numbered(page)
    assert "accuracy on 36 faces" in page
    assert f"Table {4 if base['ferplus'] else 3} compares them face by face" in page


def test_ten_views_stand_beside_one_pass(dataset: Path) -> None:
    comparison = compare_models(["tiny", "small"], dataset, timed_faces=0, ten_views=True)
    values = comparison.to_dict()
    for row in values["models"]:
        alone = evaluate_model(row["name"], dataset).to_dict()
        assert row["scores"] == alone["ten_views"]
        assert row["one_pass_accuracy"] == alone["one_pass"]["accuracy"]
        assert row["ferplus"] == alone["ferplus"]
        # The calibration error is that of the answers that the other figures are of.
        views = predict([OnnxClassifier(list_models()[row["name"]])], open_faces(dataset), views=True)[0].views
        assert views is not None
        error = expected_calibration_error(views["fer7"], open_faces(dataset).label)
        assert row["ece"] == pytest.approx(error, abs=1e-5) != alone["calibration"]["ece_card"]
    page = comparison_page(comparison)
    assert page.count("one pass") == 1
    assert "more than half of" in page


def test_an_answer_is_the_one_that_recognition_gives() -> None:
    """Merged classes were added up without the card's calibration, and the answer was not the most probable label."""
    head = Head("fer7", FER7, temperature=0.5)
    logits = np.where(np.array(FER7) == "happy", 2.0, np.isin(FER7, ("neutral", "surprise")) * -10.0 + 1.0)[None]
    outputs = Outputs({"fer7": logits.astype(np.float32)}, None, np.array([48.0]))
    scheme = SCHEMES["valence3"]
    probabilities = scheme_probabilities([outputs], [head], scheme, np.ones(1, np.bool_))
    assert list(probabilities) == ["one_pass"]
    assert scheme.labels[probabilities["one_pass"].argmax()] == "positive"
    assert scheme.project(softmax(logits), FER7)[0].argmax() == scheme.labels.index("negative")


def test_one_model_is_no_comparison(dataset: Path) -> None:
    with pytest.raises(UsageError, match="two or more"):
        compare_models(["small"], dataset)
    with pytest.raises(UsageError, match="given twice"):
        compare_models(["small", "base", "small"], dataset)
    with pytest.raises(UsageError, match="has no split 'train'"):  # from which both learned
        compare_models(["small", "base"], dataset, learned=True)


def test_the_card_tells_what_is_measured(fer2013_dir: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    # A sixth of PublicTest, to be quick: within the sampling error of the card's figure.
    table = pq.read_table(fer2013_dir / "fer2013-valid.parquet")
    pq.write_table(table.slice(0, 600), tmp_path / "valid.parquet")
    values = evaluate_model("small", tmp_path / "valid.parquet", ten_views=False).to_dict()
    card = list_models()["small"].card.scores
    assert abs(values["one_pass"]["accuracy"] - card["fer7"]["one_pass"]["accuracy"]) < 0.06
    assert values["data"]["split"] == "validation"
    assert abs(values["ferplus"]["one_pass"]["plurality"]["accuracy"] - card["ferplus"]["plurality_accuracy"]) < 0.05
    assert values["ferplus"]["one_pass"]["majority"]["accuracy"] > 0.8
