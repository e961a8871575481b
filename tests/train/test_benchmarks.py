"""The programs that measure training, in miniature: on a GPU they have to work at the first try."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mien.train import ExpressionRecipe, change_recipe
from mien.train.architectures import build_network, make_spec
from mien.train.checkpoint import save_checkpoint
from tests.conftest import ROOT
from tests.data.test_copies import picture
from tests.sets import write_dataset


def run(program: str, *arguments: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / program, *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def data(tmp_path: Path) -> Path:
    images = np.stack([picture(seed) for seed in range(84)])
    return write_dataset(tmp_path / "faces.parquet", images, splits=("train", "train", "validation"))


def test_every_classic_of_the_registry_is_trained() -> None:
    import runpy

    from mien.train.architectures import find_architecture, list_architectures

    program = runpy.run_path(str(ROOT / "benchmarks" / "classics.py"))
    names = program["CLASSICS"]
    assert {name for name in list_architectures() if not name.startswith("mien-")} - {"plain"} <= set(names)
    for name in {*names, *program["CHANGES"]}:
        find_architecture(name)
    for changes in program["CHANGES"].values():
        change_recipe(ExpressionRecipe(), changes)


def test_classics_makes_a_table_and_goes_on(data: Path, tmp_path: Path) -> None:
    """`cnn2` was trained by an earlier call; a call of its own for it would only take time."""
    out = tmp_path / "out"
    (out / "runs" / "cnn2").mkdir(parents=True)
    network = build_network(make_spec("cnn2"))
    save_checkpoint(network.eval(), out / "runs" / "cnn2" / "last.safetensors")
    earlier = {
        "network": "cnn2", "parameters": network.parameter_count, "changes": {}, "epochs": 1, "minutes": 0.1,
        "split": "validation", "faces": 28, "accuracy": 0.25, "interval_95": [0.1, 0.4], "ten_views": None,
        "faces_without_leaks": None, "without_leaks": None, "device": "here", "torch": "2", "ms_a_face": None,
    }  # fmt: skip
    (out / "cnn2.json").write_text(json.dumps(earlier))
    said = run(
        "classics.py", "--data", data, "--out", out, "--epochs", 1, "--batch-size", 16, "--accelerator", "cpu",
        "--one-pass", "--networks", "cnn2,mini_xception,no_such_net", "--side-by-side", 2, "--timed-faces", 2,
        cwd=tmp_path,
    )  # fmt: skip
    assert "no_such_net: FAILED" in said
    assert "unknown architecture 'no_such_net'" in said
    # What is done is not done again; what is new is kept in the same form, for the next call.
    assert json.loads((out / "cnn2.json").read_text()) == earlier
    assert list(json.loads((out / "mini_xception.json").read_text())) == list(earlier)
    old, new = json.loads((out / "table.json").read_text())["rows"]
    assert {**old, "ms_a_face": None} == earlier
    assert new["network"] == "mini_xception"
    for row in (old, new):
        assert 0 <= row["interval_95"][0] <= row["accuracy"] <= row["interval_95"][1] <= 1
        assert row["ms_a_face"] > 0
        assert (row["faces"], row["epochs"]) == (28, 1)
    text = (out / "table.md").read_text()
    assert text.count("\n| `") == 2
    assert "1 epochs" in text or "1 epoch" in text


def test_train_speed_measures_epochs_and_their_parts(tmp_path: Path) -> None:
    said = run(
        "train_speed.py", "--faces", 128, "--network", "cnn2", "--batch-sizes", "32", "--compile", "none",
        "--epochs", 3, "--accelerator", "cpu", "--threads", 1, "--out", tmp_path / "speed.json", cwd=tmp_path,
    )  # fmt: skip
    (row,) = json.loads((tmp_path / "speed.json").read_text())
    assert row["steps"] == 4
    assert 0 < row["epoch_s"] <= row["epoch_with_validation_s"] * 1.5
    assert row["augmentation_s"] > 0
    assert row["network_s"] > 0
    assert "| cnn2 | 32 | none |" in said
