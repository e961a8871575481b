from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mien.train import read_recipe
from tests.cli.mien_in_process import runner
from tests.data.test_copies import picture
from tests.evaluate.test_report import assert_self_contained
from tests.sets import write_dataset

RECIPE = """
model: {architecture: cnn2}
optimizer: {batch_size: 8}
schedule: {epochs: 1}
run: {accelerator: cpu, threads: 1}
search:
  learning_rate: {low: 0.001, high: 0.1, log: true}
  mixup: [0.0, 0.2]
"""


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return runner(monkeypatch, capsys)


@pytest.fixture
def recipe(tmp_path):
    images = np.stack([picture(seed) for seed in range(24)])
    write_dataset(tmp_path / "faces.parquet", images, labels=("happy", "sad"), splits=("train",))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return "recipe.yaml"


def test_a_search_from_the_command_line(run, recipe, tmp_path):
    search = ("search", recipe, "--data", "faces.parquet", "--folds", 2, "--trials")
    done = run(*search, 4, "--page", "search.html")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("trial 1/4") == 1
    assert "4 recipes on 2 folds of 24 training faces" in done.out
    assert "wrote searches/recipe/best.yaml" in done.out
    best = read_recipe(tmp_path / "searches" / "recipe" / "best.yaml")
    assert (best.data.fold, best.model.architecture) == (None, "cnn2")
    page = (tmp_path / "search.html").read_text(encoding="utf-8")
    assert_self_contained(page)
    assert page.count("<svg") == 3
    assert "learning_rate" in page
    done = run(*search, 5)
    assert done.code == 2
    assert "continue it with --resume" in done.err
    done = run(*search, 5, "--resume", "--json")
    values = json.loads(done.out)
    assert (done.code, len(values["trials"]), values["folds"]) == (0, 5, 2)
    done = run("train", values["recipe_path"], "--out", "trained", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["epochs"] == 1


def test_bad_input_is_one_clear_line(run, recipe, tmp_path):
    (tmp_path / "plain.yaml").write_text("schedule: {epochs: 1}\n")
    (tmp_path / "wrong.yaml").write_text("search: {learning_rat: [1]}\n")
    (tmp_path / "torn.yaml").write_text("search: {learning_rate: [1\n")
    cases = [
        (("plain.yaml",), 2, "the search space is empty"),
        (("wrong.yaml",), 2, "no field 'learning_rat'; did you mean 'learning_rate'"),
        (("torn.yaml",), 2, "is not YAML in line"),
        (("none.yaml",), 2, "cannot be read as a recipe"),
        ((recipe,), 2, "no dataset to learn from; name one with --data PATH"),
        ((recipe, "--data", "nothing.parquet"), 1, "no such file"),
        ((recipe, "--data", "faces.parquet", "--folds-used", 9), 2, "--folds-used is 9; expected at most"),
        ((recipe, "--data", "faces.parquet", "--page", "page.txt"), 2, "ends in .html"),
        ((recipe, "--data", "faces.parquet", "--train-split", "learn", "--folds", 100), 2, "100 folds of 24 different"),
    ]
    for number, (arguments, code, message) in enumerate(cases):
        done = run("search", *arguments, "--out", tmp_path / f"out{number}")
        assert (done.code, message in done.err) == (code, True), (arguments, done)
        assert re.fullmatch(r"mien: [^\n]+\n", done.err)


def test_a_real_search_that_is_killed_goes_on_to_the_same_end(run, recipe, tmp_path):
    """SIGKILL in the middle of a real training; every score is then that of a search that was left alone."""
    flags = ("search", recipe, "--data", "faces.parquet", "--folds", "2", "--trials", "3", "--no-prune",
             "--epochs", "4", "--save-every-s", "0", "--json", "--out")  # fmt: skip
    killed = subprocess.Popen([sys.executable, "-m", "mien", *flags, "killed"], stdout=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 120
    while killed.poll() is None and time.monotonic() < deadline_s:
        states = list((tmp_path / "killed" / "trials").glob("*/fold-1/state.safetensors"))
        if states and int(states[0].parent.parent.name) >= 1:
            killed.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    assert killed.wait(timeout=60) == -signal.SIGKILL
    found = json.loads(run(*flags, "killed", "--resume").out)
    whole = json.loads(run(*flags, "whole").out)
    scores = [[(trial["state"], trial["folds"], trial["values"]) for trial in one["trials"]] for one in (found, whole)]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 3
