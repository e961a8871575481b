"""One recipe with several seeds: what is trained, resumed, added, and refused."""

import dataclasses
import json
import shutil
import statistics

import pytest

from mien.errors import ModelError, UsageError
from mien.train import ExpressionRecipe, change_recipe, train_model, train_seeds
from mien.train.folder import RunFolder
from mien.train.seeds import find_runs, read_seeds
from tests.sets import smooth_faces, write_dataset
from tests.train.toy import ToyRecipe, same_weights, toy_recipe


def test_each_seed_has_the_run_that_it_would_have_alone(tmp_path):
    told = []
    result = train_seeds(toy_recipe(seed=3), tmp_path / "g", 2, progress=lambda seed, report: told.append(seed))
    assert list(result.runs) == [3, 4]
    assert told[0] == 3
    assert told[-1] == 4
    alone = train_model(toy_recipe(seed=4), tmp_path / "alone")
    assert same_weights(result.runs[4].best_path, alone.best_path)
    best = [run.best for run in result.runs.values()]
    assert (result.mean, result.deviation) == (statistics.fmean(best), statistics.stdev(best))
    values = json.loads((tmp_path / "g" / "seeds.json").read_text())
    assert values["seeds"] == [3, 4]
    assert values["result"] == result.to_dict()
    assert [run["seed"] for run in values["result"]["runs"]] == [3, 4]


def test_what_was_stopped_goes_on_and_seeds_can_be_added(tmp_path):
    whole = train_seeds(toy_recipe(), tmp_path / "whole", 3)

    class EnoughError(Exception):
        pass

    def stop(seed, report):
        if seed == 1 and report.epoch == 3:
            raise EnoughError

    place = tmp_path / "stopped"
    with pytest.raises(EnoughError):
        train_seeds(toy_recipe(), place, 2, progress=stop)
    assert json.loads((place / "seeds.json").read_text())["result"] is None
    with pytest.raises(UsageError, match="is there and not empty"):
        train_seeds(toy_recipe(), place, 2)
    with pytest.raises(ModelError, match=r"seed-1: this run is not complete; continue with: .*stopped$"):
        find_runs(place)
    first = (place / "seed-0" / "best.safetensors").stat().st_mtime_ns
    recipe, count = read_seeds(place, {"toy": ToyRecipe})
    assert (recipe, count) == (toy_recipe(), 2)
    train_seeds(recipe, place, resume=True)
    result = train_seeds(recipe, place, 3, resume=True)
    assert (place / "seed-0" / "best.safetensors").stat().st_mtime_ns == first  # it was done
    assert result.to_dict()["mean"] == whole.mean
    for seed, run in whole.runs.items():
        assert same_weights(run.best_path, result.runs[seed].best_path)
    with pytest.raises(UsageError, match="runs of 3 seeds; expected seeds 3 or more"):
        train_seeds(recipe, place, 2, resume=True)
    with pytest.raises(UsageError, match=r"another recipe \(toy.points was 256 and is 128\)"):
        train_seeds(toy_recipe(points=128), place, resume=True)


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(UsageError, match="seeds is 1; expected 2 or more"):
        train_seeds(toy_recipe(), tmp_path / "g", 1)
    with pytest.raises(UsageError, match="nodes is 2"):
        train_seeds(toy_recipe(nodes=2), tmp_path / "g", 2)
    with pytest.raises(UsageError, match="no runs of several seeds"):
        train_seeds(toy_recipe(), tmp_path / "g", 2, resume=True)
    with pytest.raises(UsageError, match="seed is 4294967296"):  # before the first run
        train_seeds(toy_recipe(seed=2**32 - 1), tmp_path / "g", 2)
    assert not (tmp_path / "g").exists()
    data = write_dataset(tmp_path / "faces.parquet", smooth_faces(14, side_px=24), splits=("train",))
    recipe = change_recipe(ExpressionRecipe(), {"dataset": data, "start_from": tmp_path / "none.safetensors"})
    with pytest.raises(ModelError, match="none.safetensors"):  # in the first run, but before it has begun
        train_seeds(recipe, tmp_path / "g", 2)
    assert list((tmp_path / "g").iterdir()) == []


def test_all_seeds_learn_from_the_same_faces(tmp_path):
    """Where training holds out its own tenth, the first seed chooses it for all."""
    quick = {"architecture": "cnn2", "size_px": 16, "epochs": 1, "batch_size": 8, "accelerator": "cpu", "threads": 1}
    data = write_dataset(tmp_path / "faces.parquet", smooth_faces(42, side_px=24), splits=("train",) * 42)
    recipe = change_recipe(ExpressionRecipe(), {**quick, "dataset": data, "loggers": ("csv",), "max_faces": 30})
    result = train_seeds(recipe, tmp_path / "g", 2)
    first, second = (RunFolder(run.folder).read_record()["data"] for run in result.runs.values())
    assert first["checksum"] == second["checksum"]
    assert not same_weights(result.runs[0].best_path, result.runs[1].best_path)
    assert "data_seed: 0" in (tmp_path / "g" / "seed-1" / "recipe.yaml").read_text()
    others = write_dataset(tmp_path / "others.parquet", smooth_faces(48, side_px=24), splits=("train",) * 48)
    for name, place in (("moved", shutil.copy(data, tmp_path / "moved.parquet")), ("others", others)):
        changes = {"seed": 2, "data_seed": 0, "dataset": place}
        train_model(change_recipe(recipe, changes), shutil.copytree(tmp_path / "g", tmp_path / name) / "third")
    assert list(find_runs(tmp_path / "moved")) == [0, 1, 2]
    with pytest.raises(ModelError, match=r"seed-0 and third learned from different data \(data.dataset is .*others"):
        find_runs(tmp_path / "others")
    train_seeds(change_recipe(recipe, {"dataset": others}), tmp_path / "g", 3, resume=True)
    with pytest.raises(ModelError, match=r"seed-0 and seed-2 learned from different data"):
        find_runs(tmp_path / "g")
    shutil.copy(others, data)
    shutil.rmtree(tmp_path / "g" / "seed-2")
    train_seeds(recipe, tmp_path / "g", 3, resume=True)
    with pytest.raises(ModelError, match=r"different data \(by the checksums"):
        find_runs(tmp_path / "g")


def test_runs_are_found_if_only_their_seeds_differ(tmp_path):
    for seed in (0, 1):  # by hand
        train_model(toy_recipe(seed=seed), tmp_path / f"by-hand-{seed}")
    assert list(find_runs(tmp_path)) == [0, 1]
    with pytest.raises(ModelError, match=r"the folder of one run; give its checkpoint, .*best\.safetensors"):
        find_runs(tmp_path / "by-hand-0")
    train_model(toy_recipe(seed=2, points=128), tmp_path / "other")
    with pytest.raises(ModelError, match="different recipes: toy.points is 256 in by-hand-0 and 128 in other"):
        find_runs(tmp_path)
    only = tmp_path / "only"
    train_model(toy_recipe(), only / "one")
    with pytest.raises(ModelError, match="holds one run"):
        find_runs(only)
    train_model(toy_recipe(), only / "two")
    with pytest.raises(ModelError, match="one and two have the same seed, 0"):
        find_runs(only)
    record = RunFolder(only / "two").read_record()
    del record["result"]
    RunFolder(only / "two").write_record(record)
    with pytest.raises(ModelError, match=r"not complete; continue with: mien train --resume --out .*two"):
        find_runs(only)


def test_fewer_runs_than_seeds_are_not_measured(tmp_path):
    """A training that was killed between two runs, or in its first, is not taken for one of fewer seeds."""
    place = tmp_path / "g"
    train_seeds(toy_recipe(), place, 3)
    (place / "seed-1" / "best.safetensors").unlink()
    with pytest.raises(ModelError, match=r"seed-1.best\.safetensors: no such file, although its run is complete"):
        find_runs(place)
    for seed in (1, 2):
        shutil.rmtree(place / f"seed-{seed}")
        with pytest.raises(ModelError, match=r"g: lacks seed-1; continue with: mien train --resume --out .*g$"):
            find_runs(place)
    (place / "seeds.json").write_text("{")
    with pytest.raises(UsageError, match=r"seeds\.json: cannot be read"):
        find_runs(place)


def test_a_run_of_the_recipe_itself_is_as_before():
    recipe = ExpressionRecipe()
    assert recipe.rows_seed == 0
    assert change_recipe(recipe, {"seed": 5}).rows_seed == 5
    assert dataclasses.replace(change_recipe(recipe, {"seed": 5, "data_seed": 1})).rows_seed == 1
