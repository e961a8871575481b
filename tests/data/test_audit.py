"""The audit with the shipped models on real pictures, the plan in a person's hands, and its cleaning."""

import csv
import dataclasses
import math
import re
import time
from collections import Counter

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.data import Dataset, audit_dataset, audit_page, clean_dataset, read_plan, write_plan
from mien.data.audit.checks import copy_findings, label_findings
from mien.data.audit.labels import LabelIssues, find_label_issues
from mien.data.audit.plan import CHECKS
from mien.data.audit.predict import knowing_head, label_probabilities, read_probabilities
from mien.data.audit.run import identify
from mien.data.copies import COPY_KINDS, CopyPairs
from mien.errors import InputError, MienWarning, ModelError, UsageError
from mien.labels import FER7
from tests.data.made import make_dataset
from tests.data.test_copies import picture, recompressed, zoomed

HAPPY, SAD = FER7.index("happy"), FER7.index("sad")
VOTES_HAPPY = [0, 10, 0, 0, 0, 0, 0, 0, 0, 0]
VOTES_NOT_FACE = [0] * 9 + [10]


@pytest.fixture(scope="module")
def face(astronaut_bgr):
    """The face of the shipped photo, as FER2013 frames it."""
    gray = cv2.cvtColor(astronaut_bgr, cv2.COLOR_BGR2GRAY)
    return cv2.resize(gray[50:190, 155:295], (48, 48), interpolation=cv2.INTER_AREA)


def word(text):
    image = np.full((48, 48), 255, np.uint8)
    cv2.putText(image, text, (2, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 0, 1)
    return image


@pytest.fixture(scope="module")
def dataset(face, tmp_path_factory):
    rows = [
        (face, HAPPY, "train", VOTES_HAPPY),  # 0
        (face, SAD, "train", VOTES_HAPPY),  # 1: an exact copy, labelled otherwise
        (zoomed(face), HAPPY, "train", VOTES_HAPPY),  # 2: a near copy
        (recompressed(face[:, ::-1]), HAPPY, "train", VOTES_HAPPY),  # 3: a mirror image
        (np.zeros((48, 48), np.uint8), SAD, "train", VOTES_NOT_FACE),  # 4: black
        (word("404 !"), SAD, "train", VOTES_NOT_FACE),  # 5: no face
        (picture(1), SAD, "train", VOTES_HAPPY),  # 6
        (recompressed(picture(1)), SAD, "validation", VOTES_HAPPY),  # 7: leaks from 6
        (picture(2), SAD, "validation", VOTES_HAPPY),  # 8: clean
    ]
    images, label, split, votes = zip(*rows, strict=True)
    return make_dataset(tmp_path_factory.mktemp("a") / "a.parquet", images, label, list(split), votes)


@pytest.fixture(scope="module")
def audit(dataset):
    return audit_dataset(dataset, threads=1)


def found(audit, check):
    return {finding.index for finding in audit.of(check)}


def test_each_check_finds_its_rows(audit):
    assert found(audit, "leak") == {7}
    assert found(audit, "leak_source") == {6}
    assert found(audit, "exact_copy") == {1}
    assert found(audit, "near_copy") == {2}
    assert found(audit, "mirror_copy") == {3}
    assert found(audit, "flat") == {4}
    assert 5 in found(audit, "not_face")
    assert not found(audit, "not_face") & {0, 1, 2, 3, 4}
    (exact,) = audit.of("exact_copy")
    assert exact.note == "its copy is labelled happy"
    assert exact.partner == 0
    assert (audit.judged_rows, audit.in_sample_rows) == (0, 0), "nine labels are too few to judge any"
    assert list(audit.to_dict()["leaks"].values()) == [0, 1, 0]
    assert audit.counts().keys() == set(CHECKS)
    assert repr(audit).startswith("Audit(leak 1, leak_source 1, ")


def test_what_the_votes_say_is_reported_but_not_used_for_the_score(audit):
    assert audit.not_face["train"]["all_votes"] == 2
    (finding,) = [finding for finding in audit.of("not_face") if finding.index == 5]
    assert finding.action == "drop"
    assert "votes 100%" in finding.note


def test_evaluation_rows_are_kept_unless_asked_for(dataset, audit):
    assert {finding.action for finding in audit.findings if finding.split == "validation"} == {"keep"}
    votes_say = audit_dataset(dataset, threads=1, evaluation="clean", detector="none")
    assert votes_say.of("leak")[0].action == "keep", "a leak is marked, not dropped"


def test_a_plan_is_edited_and_carried_out(dataset, audit, tmp_path):
    write_plan(tmp_path / "plan.csv", audit.findings)
    with (tmp_path / "plan.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["check"] == "leak_source":
            row["action"] = "keep"
        if row["check"] == "not_face" and row["index"] != "5":
            row["action"] = "keep"
        if row["check"] == "flat":
            row["action"], row["new_label"] = "relabel", "neutral"
    with (tmp_path / "plan.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    before = dataset.path.read_bytes()
    plan = read_plan(tmp_path / "plan.csv", dataset.labels)
    cleaned, summary = clean_dataset(dataset, plan, tmp_path / "clean.parquet", leak_free=True)
    assert dataset.path.read_bytes() == before, "the source is never changed"
    assert cleaned.column("row") == [0, 4, 6, 7, 8]
    assert cleaned.labels[cleaned.label[1]] == "neutral"
    assert cleaned.column("leaked") == [False, False, False, True, False]
    assert summary.leaked == {"validation": 1}
    assert summary.relabelled == 1
    assert summary.dropped == {"exact_copy": 1, "near_copy": 1, "mirror_copy": 1, "not_face": 1}
    assert cleaned.info.history[-1]["step"] == "clean"
    assert Dataset(tmp_path / "clean.parquet").info.history[-1]["relabelled"] == 1


def test_copies_agree_on_one_label(dataset, audit, tmp_path):
    plan = [finding for finding in audit.findings if finding.check.endswith("_copy")]
    labels = dataset.label.copy()
    labels[0] = SAD
    odd = make_dataset(tmp_path / "odd.parquet", dataset.images(), labels, dataset.split.tolist())
    cleaned, summary = clean_dataset(odd, plan, tmp_path / "c.parquet")
    assert (summary.merged_labels, summary.tied_labels) == (0, 1), "two sad, two happy: the kept one's label stays"
    assert cleaned.labels[cleaned.label[0]] == "sad"
    labels[1] = HAPPY
    odd = make_dataset(tmp_path / "odd.parquet", dataset.images(), labels, dataset.split.tolist())
    cleaned, summary = clean_dataset(odd, plan, tmp_path / "c.parquet")
    assert (summary.merged_labels, summary.tied_labels) == (1, 0)
    assert cleaned.labels[cleaned.label[0]] == "happy"


def test_thousands_of_copies_of_one_picture_take_no_minutes(tmp_path):
    """As of a picture that says that there is none; looked at in pairs, these took four minutes."""
    count = 12_000
    split = ["test" if row % 10 == 0 else "train" for row in range(count)]
    dataset = make_dataset(tmp_path / "a.parquet", [np.zeros((4, 4))] * count, [HAPPY] * count, split)
    rows = np.arange(1, count)
    pairs = CopyPairs(np.zeros(count - 1, np.int64), rows, np.zeros(count - 1, np.int8), np.ones(count - 1, np.float32))
    start_s = time.process_time()
    findings = copy_findings(dataset, pairs)
    identify(dataset, findings)
    cleaned, summary = clean_dataset(dataset, findings, tmp_path / "b.parquet")
    assert time.process_time() - start_s < 30
    assert {finding.partner for finding in findings} == {0, 1}, "the first in the other split, or in the same"
    assert Counter(finding.check for finding in findings) == {
        "leak": 1200, "leak_source": 10_800, "exact_copy": 11_998,
    }  # fmt: skip
    assert (len(cleaned), summary.dropped) == (1, {"leak_source": 10_800, "exact_copy": 1199})


def test_the_default_plan_leaves_no_leak(dataset, audit, tmp_path):
    cleaned, _ = clean_dataset(dataset.path, audit.findings, tmp_path / "c.parquet")
    again = audit_dataset(cleaned.path, threads=1, detector="none")
    for check in ("leak", "leak_source", "exact_copy", "near_copy", "mirror_copy", "flat"):
        assert not again.of(check), check


def test_parquet_and_csv_hold_the_same_plan(dataset, audit, tmp_path):
    write_plan(tmp_path / "plan.parquet", audit.findings)
    write_plan(tmp_path / "plan.csv", audit.findings)
    plans = [read_plan(tmp_path / name, dataset.labels) for name in ("plan.parquet", "plan.csv")]
    assert plans[0] == plans[1] == audit.findings


def test_a_plan_may_come_from_a_spreadsheet_of_another_country(dataset, audit, tmp_path):
    write_plan(tmp_path / "plan.csv", audit.findings)
    with (tmp_path / "plan.csv").open(newline="", encoding="utf-8") as file:
        rows = [[cell.replace(".", ",") if cell[:1].isdigit() else cell for cell in row] for row in csv.reader(file)]
    with (tmp_path / "semi.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    assert read_plan(tmp_path / "semi.csv", dataset.labels) == audit.findings
    assert not any(finding.image_id.replace("e", "", 1).isdigit() for finding in audit.findings)


def test_votes_count_for_what_a_class_stands_for(tmp_path):
    classes = ("positive", "neutral", "negative")
    truth = np.arange(60) % 3
    votes = [[VOTES_HAPPY, [10] + [0] * 9, [0, 0, 0, 10] + [0] * 6][kind] for kind in truth]
    label = truth.copy()
    label[:2] = 2, 0  # the votes say happy, and neutral
    made = make_dataset(tmp_path / "a.parquet", [picture(i) for i in range(60)], label, votes=votes, labels=classes)
    probabilities = np.full((60, 3), 0.02)
    probabilities[np.arange(60), truth] = 0.96
    issues = find_label_issues(made.label, probabilities, np.zeros(60, bool))
    findings = label_findings(made, issues, probabilities, np.zeros(60, bool), set())
    assert [(finding.index, finding.action, finding.new_label) for finding in findings] == [
        (0, "relabel", "positive"),
        (1, "relabel", "neutral"),
    ]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_plan_may_come_from_a_data_frame_that_keeps_whole_numbers_as_floats(dataset, audit, tmp_path, kind):
    write_plan(tmp_path / "plan.parquet", audit.findings)
    table = pq.read_table(tmp_path / "plan.parquet")
    for name in ("rank", "index", "partner"):
        column = table.column(name).cast(pa.float64())
        if kind == "parquet":
            column = column.fill_null(math.nan)
        table = table.set_column(table.column_names.index(name), name, column)
    saved = tmp_path / f"saved.{kind}"
    if kind == "parquet":
        pq.write_table(table, saved)
    else:
        rows = [[f"{cell:.1f}" if isinstance(cell, float) else cell for cell in row.values()]
                for row in table.drop_columns("score").to_pylist()]  # fmt: skip
        with saved.open("w", newline="") as file:
            csv.writer(file).writerows([table.drop_columns("score").column_names, *rows])
        assert ",1.0," in saved.read_text()
    found = read_plan(saved, dataset.labels)
    assert [dataclasses.replace(finding, score=0) for finding in found] == [
        dataclasses.replace(finding, score=0) for finding in audit.findings
    ]


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("index", "2.5", "index is '2.5'; expected a whole number"),
        ("index", "nan", "has no index"),
        ("partner", "first", "partner is 'first'; expected a number"),
        ("partner", "inf", "partner is 'inf'; expected a number"),
        ("score", "high", "score is 'high'; expected a number"),
    ],
)
def test_a_wrong_number_is_named_by_its_column(dataset, audit, tmp_path, column, value, problem):
    rows = [dataclasses.asdict(finding) for finding in audit.findings]
    rows[2][column] = value
    with (tmp_path / "plan.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError, match=f"plan.csv row 2: {problem}"):
        read_plan(tmp_path / "plan.csv", dataset.labels)


def test_a_plan_that_makes_no_sense_is_refused(dataset, audit, tmp_path):
    path = tmp_path / "plan.parquet"
    write_plan(path, audit.findings)
    rows = pq.read_table(path).to_pylist()
    for change, problem in (
        ({"action": "delete"}, "row 0: action 'delete'; expected one of keep, drop, relabel, merge"),
        ({"action": "relabel", "new_label": "joy"}, "relabel to 'joy'; expected new_label as one of angry"),
        ({"action": "merge", "partner": None}, "merge without a partner"),
        ({"image_id": None}, "has no image_id"),
    ):
        pq.write_table(pa.Table.from_pylist([{**rows[0], **change}]), path)
        with pytest.raises(InputError, match=problem):
            read_plan(path, dataset.labels)
    with pytest.raises(InputError, match="no such file; 'mien data audit"):
        read_plan(tmp_path / "none.csv", dataset.labels)


def test_a_plan_of_another_dataset_is_refused(dataset, audit, tmp_path):
    images = dataset.images()[::-1]
    other = make_dataset(tmp_path / "other.parquet", images, dataset.label[::-1])
    with pytest.raises(InputError, match="the plan is of another dataset"):
        clean_dataset(other, audit.findings, tmp_path / "c.parquet")
    assert not (tmp_path / "c.parquet").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"index": 77}, "index 77; expected 0 to 8"),
        ({"index": -1}, "index -1; expected 0 to 8"),
        ({"partner": 77}, "partner 77; expected 0 to 8"),
        ({"partner": -1}, "partner -1; expected 0 to 8"),
        ({"partner": 77, "action": "keep"}, "partner 77; expected 0 to 8"),
        ({"partner": None}, "merge without a partner"),
        ({"partner": 1}, "partner 1 is the row itself"),
        ({"partner": 6}, "partner 6 is .*, but partner_name is "),
    ],
)
def test_a_row_or_partner_that_is_wrong_is_refused_by_its_row_in_the_plan(dataset, audit, tmp_path, change, problem):
    at = next(i for i, finding in enumerate(audit.findings) if finding.action == "merge" and finding.index == 1)
    plan = [dataclasses.replace(finding, **(change if i == at else {})) for i, finding in enumerate(audit.findings)]
    with pytest.raises(InputError, match=rf"^plan\.csv row {at}: {problem}"):
        clean_dataset(dataset, plan, tmp_path / "c.parquet", plan_name="plan.csv")
    assert not (tmp_path / "c.parquet").exists()


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (("relabel", "angry"), ("relabel", "fear"), "'relabel to angry' and 'relabel to fear'"),
        (("relabel", "angry"), ("drop", ""), "'relabel to angry' and 'drop'"),
        (("drop", ""), ("relabel", "angry"), "'drop' and 'relabel to angry'"),
        (("drop", ""), ("drop", "angry"), None),
        (("relabel", "angry"), ("relabel", "angry"), None),
        (("relabel", "angry"), ("keep", "fear"), None),
    ],
)
def test_rows_that_contradict_each_other_are_refused(dataset, audit, tmp_path, first, second, problem):
    flat = audit.of("flat")[0]
    plan = [audit.of("leak")[0]]
    plan += [dataclasses.replace(flat, action=action, new_label=label) for action, label in (first, second)]
    path = tmp_path / "c.parquet"
    if problem is None:
        clean_dataset(dataset, plan, path)
        return
    with pytest.raises(InputError, match=f"^p.csv rows 1 and 2: contradict each other on {flat.name}: {problem}"):
        clean_dataset(dataset, plan, path, plan_name="p.csv")
    assert not path.exists()


def test_the_audit_contradicts_itself_nowhere(face, tmp_path):
    """A face with a wrong label by model and votes, which leaks into evaluation besides."""
    images = [face, recompressed(face), *(picture(seed) for seed in range(58))]
    truth = np.array([HAPPY, HAPPY, *[HAPPY, SAD] * 29])
    label = np.where(np.arange(60) == 0, SAD, truth)
    split = ["train" if row != 1 else "validation" for row in range(60)]
    votes = [np.where(np.arange(10) == (1 if value == HAPPY else 3), 10, 0).tolist() for value in truth]
    made = make_dataset(tmp_path / "l.parquet", images, label, split, votes)
    probabilities = np.full((60, len(FER7)), 0.01)
    probabilities[np.arange(60), truth] = 0.94
    np.save(tmp_path / "p.npy", probabilities)
    audit = audit_dataset(made, threads=1, detector="none", probabilities=tmp_path / "p.npy")
    wrong = next(finding for finding in audit.of("wrong_label") if finding.index == 0)
    assert [finding.action for finding in audit.of("leak_source")] == ["drop"]
    assert (wrong.action, wrong.new_label) == ("keep", "happy")
    assert wrong.note.endswith("dropped by another check")
    _, summary = clean_dataset(made, audit.findings, tmp_path / "c.parquet")
    assert summary.dropped["leak_source"] == 1


def test_labels_of_faces_that_another_check_drops_are_not_judged(dataset):
    """A black picture has no label that could be wrong."""
    probabilities = np.full((len(dataset), len(FER7)), 0.01)
    probabilities[:, HAPPY] = 0.94
    rows = np.array([1, 4])
    issues = LabelIssues(rows, np.array([HAPPY, HAPPY]), np.array([0.01, 0.01]), np.ones(len(dataset), bool))
    in_sample = np.zeros(len(dataset), bool)
    found = label_findings(dataset, issues, probabilities, in_sample, known={4})
    assert [finding.index for finding in found] == [1]
    same = LabelIssues(
        rows[:1], np.array([SAD]), np.array([0.01]), np.ones(len(dataset), bool)
    )  # the label that it has already
    assert label_findings(dataset, same, probabilities, in_sample, known=set()) == []


def test_a_leak_through_a_third_picture_is_found(tmp_path):
    """Rows 0 and 2 both resemble row 1, but not each other."""
    made = make_dataset(
        tmp_path / "l.parquet",
        [picture(seed) for seed in range(4)],
        [HAPPY] * 4,
        ["validation", "train", "train", "train"],
    )
    near = COPY_KINDS.index("near")
    pairs = CopyPairs(np.array([0, 1]), np.array([1, 2]), np.array([near] * 2), np.array([0.95, 0.92], np.float32))
    found = {(finding.check, finding.index): finding for finding in copy_findings(made, pairs)}
    assert set(found) == {("leak", 0), ("leak_source", 1), ("leak_source", 2), ("near_copy", 2)}
    through = found["leak_source", 2]
    assert (through.partner, through.score) == (0, pytest.approx(0.92))


@pytest.mark.parametrize("text", ["", "\n", "a,b\n", "a,b\n1,2\n", "check,index,action\n"])
def test_a_file_that_is_no_plan_is_refused(dataset, audit, tmp_path, text):
    (tmp_path / "plan.csv").write_text(text)
    with pytest.raises(InputError, match="plan.csv: is no plan: it (is empty|has no column .*image_id); expected"):
        read_plan(tmp_path / "plan.csv", dataset.labels)
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "plan.parquet")
    with pytest.raises(InputError, match="is no plan: it has no column check, index"):
        read_plan(tmp_path / "plan.parquet", dataset.labels)
    write_plan(tmp_path / "none.csv", [])
    assert read_plan(tmp_path / "none.csv", dataset.labels) == []


def test_what_else_spreadsheets_save_is_told_what_to_do(dataset, tmp_path):
    (tmp_path / "plan.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"expected a plan in \.csv or \.parquet; .*'CSV UTF-8'"):
        read_plan(tmp_path / "plan.xlsx", dataset.labels)
    (tmp_path / "plan.csv").write_text("check,index,action,image_id,name\nflat,0,keep,id-0,größer.png\n", "cp1252")
    with pytest.raises(InputError, match="is not UTF-8; save it as 'CSV UTF-8'"):
        read_plan(tmp_path / "plan.csv", dataset.labels)


@pytest.mark.parametrize(("encoding", "delimiter"), [("utf-16", "\t"), ("utf-8-sig", ";"), ("utf-8", ",")])
def test_what_spreadsheets_save_as_text_is_read(dataset, audit, tmp_path, encoding, delimiter):
    write_plan(tmp_path / "plan.csv", audit.findings)
    with (tmp_path / "plan.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with (tmp_path / "saved.csv").open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert read_plan(tmp_path / "saved.csv", dataset.labels) == read_plan(tmp_path / "plan.csv", dataset.labels)


def test_a_partner_of_ones_own_is_taken(dataset, audit, tmp_path):
    plan = [finding for finding in audit.findings if finding.index == 1 and finding.action == "merge"]
    plan = [dataclasses.replace(plan[0], partner=6, partner_name="")]
    cleaned, _ = clean_dataset(dataset, plan, tmp_path / "c.parquet")
    assert cleaned.column("row") == [0, 1, 2, 3, 4, 5, 7, 8]


def test_the_page_holds_everything_itself(dataset, audit):
    text = audit_page(dataset, dataclasses.replace(audit, in_sample_rows=7))
    assert "http" not in text
    assert 'src="data:image/png;base64,' in text
    assert "In-sample." in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_exact_copies_are_shown_with_the_disagreeing_ones_first(dataset, audit):
    copies = [
        dataclasses.replace(finding, check="exact_copy", name=f"copy {i}", note="label of the other: sad" if i else "")
        for i, finding in enumerate([finding for finding in audit.findings if finding.partner is not None][:2])
    ]
    text = audit_page(dataset, dataclasses.replace(audit, findings=copies))
    assert re.findall(r'alt="(copy \d)"', text) == ["copy 1", "copy 0"]


def test_the_page_says_if_labels_were_not_judged(dataset, audit):
    text = audit_page(dataset, dataclasses.replace(audit, findings=[], judged_rows=0))
    assert "<b>-</b><span>likely wrong labels" in text
    assert "Labels were not judged" in text
    assert "Confident learning" not in text


def test_figures_and_tables_of_the_page_are_numbered_as_they_come(dataset, audit):
    some = [finding for finding in audit.findings if finding.check in ("near_copy", "flat")]
    text = audit_page(dataset, dataclasses.replace(audit, findings=some))
    figures, tables = (re.findall(rf"<b>{kind} (\d+)\.</b>", text) for kind in ("Figure", "Table"))
    assert len(figures) == 2
    assert figures == [str(number) for number in range(1, len(figures) + 1)]
    assert tables == [str(number) for number in range(1, len(tables) + 1)]


def test_wrong_labels_are_found_in_out_of_fold_probabilities():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 400)
    probabilities = rng.dirichlet([0.5] * 4, 400) * 0.3
    probabilities[np.arange(400), truth] += 0.7
    labels = truth.copy()
    labels[:12] = (truth[:12] + 1) % 4
    issues = find_label_issues(labels, probabilities, np.zeros(400, bool))
    assert len(set(issues.rows.tolist()) & set(range(12))) >= 8
    assert set(issues.rows.tolist()) <= set(range(12))
    assert issues.suggested.tolist() == truth[issues.rows].tolist()
    assert np.all(np.diff(issues.quality) >= 0)
    probabilities[:6] = np.nan
    assert not set(find_label_issues(labels, probabilities, np.zeros(400, bool)).rows.tolist()) & set(range(6))


@pytest.mark.parametrize("kind", ["npy", "csv", "parquet"])
def test_probabilities_are_read_from_files(tmp_path, kind):
    values = np.array([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    path = tmp_path / f"p.{kind}"
    if kind == "npy":
        np.save(path, values)
        assert np.allclose(read_probabilities(path, 3, ("happy", "sad")), values)
        return
    # By name, in any order and spelling; some of the rows.
    table = pa.table({"index": [2, 0], "p_sadness": [0.0, 0.8], "Happiness": [1.0, 0.2]})
    if kind == "csv":
        path.write_text("index,p_sadness,Happiness\n2,0.0,1.0\n0,0.8,0.2\n")
    else:
        pq.write_table(table, path)
    read = read_probabilities(path, 3, ("happy", "sad"))
    assert np.allclose(read[[0, 2]], values[[0, 2]])
    assert np.isnan(read[1]).all()


@pytest.mark.parametrize(
    "text",
    [",happy,sad\n0,0.2,0.8\n1,0.5,0.5\n", "happy,sad,\n0.2,0.8,\n0.5,0.5,\n", "happy,sad\n0.2,0.8,\n0.5,0.5,\n"],
)
def test_columns_without_a_name_are_passed_over(tmp_path, text):
    """Such as the numbers of rows that pandas writes; cells beyond the header ended the program."""
    (tmp_path / "p.csv").write_text(text)
    assert read_probabilities(tmp_path / "p.csv", 2, ("happy", "sad")).tolist() == [[0.2, 0.8], [0.5, 0.5]]


def test_probabilities_that_do_not_fit_are_refused(dataset, tmp_path):
    path = tmp_path / "p.npy"
    np.save(path, np.ones((3, 2)))
    with pytest.raises(InputError, match=r"rows sum to 2 to 2; expected probabilities"):
        read_probabilities(path, 3, ("happy", "sad"))
    with pytest.raises(InputError, match=r"shape \(3, 2\); expected \(9, 7\)"):
        audit_dataset(dataset, probabilities=path)
    (tmp_path / "p.csv").write_text("happy,joyless\n1,0\n")
    with pytest.raises(InputError, match="unknown expression 'joyless'"):
        read_probabilities(tmp_path / "p.csv", 1, ("happy", "sad"))
    (tmp_path / "p.csv").write_text("happy\n1\n")
    with pytest.raises(InputError, match=r"of happy, sad \(there is no column sad\)"):
        read_probabilities(tmp_path / "p.csv", 1, ("happy", "sad"))
    with pytest.raises(UsageError, match="expected probabilities in"):
        read_probabilities(tmp_path / "p.txt", 1, ("happy", "sad"))
    # As of two models that were evaluated on the same faces in place of their own folds.
    (tmp_path / "p.csv").write_text("index,happy,sad\n0,1,0\n2,1,0\n2,0,1\n")
    with pytest.raises(InputError, match="names row 2 more than once"):
        read_probabilities(tmp_path / "p.csv", 3, ("happy", "sad"))


def test_classes_that_the_model_does_not_know_are_audited_for_all_else(tmp_path):
    images = [picture(seed) for seed in (1, 2, 1, 3)]
    own = make_dataset(tmp_path / "a.parquet", images, [0, 1, 0, 1], labels=("engaged", "bored"))
    with pytest.warns(MienWarning, match="not looked for: the model does not know the classes engaged"):
        audit = audit_dataset(own, threads=1)
    assert found(audit, "exact_copy") == {2}
    assert (audit.judged_rows, audit.in_sample_rows, audit.own_probabilities) == (0, 0, False)


def test_usage_is_checked(dataset):
    with pytest.raises(UsageError, match="trained_on names tset; the splits are train, validation"):
        audit_dataset(dataset, trained_on="tset")
    with pytest.raises(ModelError, match="unknown expression model 'huge'"):
        audit_dataset(dataset, model="huge")


def test_merged_classes_get_the_sum_of_their_members():
    outputs = {FER7: np.array([[0.1, 0.1, 0.1, 0.3, 0.2, 0.1, 0.1]])}
    assert label_probabilities(outputs, ("positive", "negative"))[0] == pytest.approx([0.3 / 0.8, 0.5 / 0.8])
    assert label_probabilities(outputs, ("sad", "happy"))[0] == pytest.approx([0.4, 0.6])
    with pytest.raises(ModelError, match="does not know the classes contempt; it knows angry"):
        label_probabilities(outputs, ("happy", "contempt"))
    with pytest.raises(ModelError, match="knows happy, sad, contempt; give a model"):  # each class once, and no others
        knowing_head([("happy", "sad"), ("sad", "contempt", "unknown", "not_face")], ("engaged", "bored"))
    with pytest.raises(ModelError, match="does not know the classes happy, contempt; it knows"):
        knowing_head([("happy", "sad"), ("sad", "contempt")], ("happy", "contempt"))
