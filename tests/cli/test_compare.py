from __future__ import annotations

import hashlib
import io
import json

import pytest
from rich.console import Console

from mien.cli.compare import _show_pairs
from mien.zoo import list_models
from tests.cli.mien_in_process import runner
from tests.sets import smooth_faces, write_dataset


@pytest.fixture
def run(monkeypatch, capsys):
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("sets") / "made.parquet", smooth_faces(28), leaked=True, votes=True)


def copy_of_small(folder, name):
    """A file of the same weights with another card: the same name, another temperature."""
    small = list_models()["small"]
    card = small.card.to_dict()
    data = small.read_weights()
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    (folder / f"{name}.onnx").write_bytes(data)
    (folder / f"{name}.json").write_text(json.dumps(card))
    return folder / f"{name}.onnx"


def test_three_models_side_by_side(run, dataset, tmp_path):
    twin = copy_of_small(tmp_path, "twin")
    done = run(
        "compare", "small", "base", twin, "--data", dataset, "--timed-faces", 5, "--page", tmp_path / "c.html",
        "--out", tmp_path / "c.json",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    for part in ("small.onnx", "twin.onnx", "base", "ms a face", "no leaks", "no difference shown", "adjusted",
                 "FER+ majority", "FER+ plurality", "more than half of"):  # fmt: skip
        assert part in done.out
    values = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert [model["name"] for model in values["models"]] == ["small.onnx", "base", "twin.onnx"]
    same = next(pair for pair in values["pairs"] if pair["second"] == "twin.onnx" and pair["first"] == "small.onnx")
    low, high = same["interval_95"]
    assert (same["difference"], same["p_value"]) == (0, 1)
    assert -low == high > 0  # no face is read differently, of the few that there are
    assert "<svg" in (tmp_path / "c.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "tables"), [(79, 2), (200, 1)])
def test_pairs_are_whole_on_any_terminal(width, tables):
    pair = {"first": "base", "only_first": 1182, "only_second": 1188, "difference": -0.1017, "p_value": 0.011,
            "interval_95": [-0.1267, -0.0836], "p_value_holm": 0.055}  # fmt: skip
    shown = io.StringIO()
    _show_pairs(Console(file=shown, width=width), [{**pair, "second": name} for name in ("tiny", "best-int8")])
    lines = shown.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    for name in ("base - tiny", "base - best-int8"):
        assert sum(line.startswith(f"{name} ") for line in lines) == tables
    assert sum(line.startswith("pair ") for line in lines) == tables
    for cell in ("1,182 / 1,188", "-10.17", "-12.67 to -8.36", "0.011", "0.055", "no difference shown"):
        assert sum(cell in line for line in lines) == 2, cell


def test_a_program_reads_json(run, dataset):
    done = run("compare", "small", "base", "--data", dataset, "--json", "--timed-faces", 0, "--ten-views")
    values = json.loads(done.out)
    assert (done.code, done.err, values["read"]) == (0, "", "ten views")
    assert values["models"][0]["ms_a_face"] is None


def test_bad_input_is_one_clear_line(run, dataset, tmp_path):
    cases = [
        (("small", "--data", dataset), 2, "1 model to compare; expected two or more"),
        (("small", "small", "--data", dataset), 2, "given twice"),
        (("small", "large", "--data", dataset), 2, "unknown expression model 'large'"),
        (("small", "base", "--data", dataset, "--labels", "ferplus8"), 1, "lacks the class contempt"),
        (("small", "base", "--data", tmp_path), 1, "not recognised"),
        (("small", "base", "--data", dataset, "--timed-faces", -1), 2, "at least 0"),
    ]
    for arguments, code, message in cases:
        done = run("compare", *arguments, "--page", tmp_path / "c.html")
        assert (done.code, message in done.err) == (code, True), done
        assert not list(tmp_path.iterdir())
