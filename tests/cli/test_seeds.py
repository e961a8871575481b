"""Several seeds from the command line: trained, measured and compared as one thing."""

import dataclasses
import json
import re

import numpy as np
import pytest

from mien.evaluate import evaluate_model
from mien.evaluate.page import evaluation_page
from mien.metrics.runs import accuracies, compare_runs
from tests.cli.mien_in_process import runner
from tests.sets import smooth_faces, write_dataset

QUICK = ("--architecture", "cnn2", "--size-px", 16, "--threads", 1, "--loggers", "csv", "--accelerator", "cpu")
LEARN = ("--batch-size", 16, "--optimizer", "adamw", "--learning-rate", 0.01, "--mixup", 0, "--erasing", 0)


@pytest.fixture
def mien(monkeypatch, capsys):
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    images = smooth_faces(84, side_px=24)
    splits = ("train",) * 42 + ("validation",) * 42
    labels = ("happy", "sad", "neutral")
    return write_dataset(tmp_path_factory.mktemp("data") / "faces.parquet", images, labels=labels, splits=splits)


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Two recipes, three seeds each."""
    place = tmp_path_factory.mktemp("runs")
    patch = pytest.MonkeyPatch()
    for name, epochs in (("short", 1), ("long", 4)):
        given = ("train", "--data", data, "--out", place / name, *QUICK, *LEARN, "--epochs", epochs, "--seeds", 3)
        patch.setattr("sys.argv", ["mien", *map(str, given)])
        from mien.cli import main

        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    patch.undo()
    return place


def checkpoints(folder):
    return [folder / f"seed-{seed}" / "best.safetensors" for seed in range(3)]


def answers_of(folder, data):
    """Of each run and face, whether it is read right."""
    every = [evaluate_model(path, data, ten_views=False, leaks=False) for path in checkpoints(folder)]
    return np.stack([one.probabilities.argmax(axis=1) == one.label for one in every])


def test_seeds_are_trained_and_their_scores_told(mien, data, tmp_path):
    out = tmp_path / "run"
    done = mien("train", "--data", data, "--out", out, *QUICK, *LEARN, "--epochs", 1, "--seed", 5, "--seeds", 2)
    assert done.code == 0, done.err
    assert "seed 5: trains on 42 faces" in done.out
    assert "seed 6: trains on 42 faces" in done.out
    assert re.search(r"validation accuracy 0\.\d+ ± 0\.\d+: mean and standard deviation over 2 seeds", done.out)
    assert f"measure it: mien evaluate {out} --data {data} --split validation" in done.out
    # One more, and nothing else.
    done = mien("train", "--resume", "--out", out, "--seeds", 3, "--json")
    assert done.code == 0, done.err
    assert [run["seed"] for run in json.loads(done.out)["runs"]] == [5, 6, 7]
    done = mien("train", "--resume", "--out", out)
    assert done.code == 0, done.err
    assert "over 3 seeds" in done.out
    done = mien("train", "--resume", "--out", out / "seed-5", "--seeds", 3)
    assert done.code == 2
    assert "holds no runs of several seeds" in done.err


def test_seeds_are_measured_as_one(mien, runs, data, tmp_path):
    page = tmp_path / "page.html"
    done = mien("evaluate", runs / "long", "--data", data, "--page", page)
    assert done.code == 0, done.err
    assert "long, 3 seeds (float32" in done.out
    assert "± seeds" in done.out
    found = json.loads(mien("evaluate", runs / "long", "--data", data, "--json").out)
    right = answers_of(runs / "long", data)
    assert found["one_pass"]["accuracy"] == pytest.approx(right.mean(), abs=1e-5)
    assert found["one_pass"]["accuracy_deviation"] == pytest.approx(right.mean(axis=1).std(ddof=1), abs=1e-5)
    assert [run["seed"] for run in found["runs"]] == [0, 1, 2]
    assert [run["accuracy"] for run in found["runs"]] == pytest.approx(right.mean(axis=1), abs=1e-5)
    assert found["ten_views"]["accuracy"] == pytest.approx(
        np.mean([run["ten_views_accuracy"] for run in found["runs"]]), abs=1e-5
    )
    one = evaluate_model(checkpoints(runs / "long")[0], data).to_dict()
    assert one["runs"] == []
    assert set(one) == set(found)
    assert found["leaks"]["without_leaks"]["one_pass"].keys() - one["leaks"]["without_leaks"]["one_pass"].keys() == {
        "accuracy_deviation"
    }
    text = page.read_text()
    assert "The mean of 3 trainings with the seeds 0, 1, 2" in text
    assert found["runs"][2]["sha256"] in text


def test_what_the_mean_reads_right_is_not_said_of_every_run(runs, data):
    found = evaluate_model(runs / "short", data, ten_views=False, leaks=False)
    none = dataclasses.replace(found, values={**found.values, "confidently_wrong": []}, pictures=[])
    assert "every face was read as it is labelled, by the mean of the runs' probabilities" in evaluation_page(none)


def test_recipes_are_compared_over_seeds(mien, runs, data, tmp_path):
    page = tmp_path / "page.html"
    given = ("--data", data, "--timed-faces", 2)
    done = mien("compare", runs / "short", runs / "long", *given, "--page", page)
    assert done.code == 0, done.err
    assert "short, 3 seeds" in done.out
    assert "p: t test over seeds and faces" in done.out
    assert "only one" not in done.out
    assert "t test over seeds and faces" in page.read_text()
    found = json.loads(mien("compare", runs / "short", runs / "long", *given, "--json").out)
    (pair,) = found["pairs"]
    short, long = (answers_of(runs / name, data) for name in ("short", "long"))
    wanted = compare_runs(accuracies(short), accuracies(long))
    assert (pair["difference"], pair["p_value"]) == (wanted.difference, pytest.approx(wanted.p_value))
    assert found["all_right"] == int((short.all(axis=0) & long.all(axis=0)).sum())
    assert [len(model["runs"]) for model in found["models"]] == [3, 3]


def test_seeds_stand_beside_single_models(mien, runs, data):
    first, second, _ = checkpoints(runs / "short")
    given = ("--data", data, "--timed-faces", 0)
    done = mien("compare", runs / "long", first, second, *given)
    assert done.code == 0, done.err
    assert "exact McNemar test; with seeds: t test" in done.out
    done = mien("compare", runs / "short", first, *given)
    assert done.code == 2
    assert "a model is given twice" in done.err


def test_what_is_of_one_model_is_refused(mien, runs, data, tmp_path):
    done = mien("evaluate", runs / "long", "--data", data, "--by", "size")
    assert done.code == 2
    assert "groups are compared for one model" in done.err
    done = mien("evaluate", runs / "long", "--data", data, "--occlusion", 5)
    assert done.code == 2
    assert "occlusion is 5; one model is explained: give" in done.err
    done = mien("evaluate", runs / "long", "--data", data, "--faces", tmp_path / "faces.csv")
    assert done.code == 2
    assert "--faces writes the rows of one model" in done.err
    done = mien("evaluate", runs, "--data", data)
    assert done.code == 2
    assert "holds no run; expected a model, or a folder with runs of several seeds" in done.err
