"""One recipe trained once a fold: what is held out, resumed, refused, and how the folds are measured together."""

import dataclasses
import json
import shutil
import statistics
import warnings

import numpy as np
import pytest

from mien.data.dataset import Dataset
from mien.data.faces import open_faces
from mien.data.held_out import remember
from mien.errors import InputError, MienWarning, ModelError, UsageError
from mien.evaluate import compare_models, evaluate_model
from mien.evaluate.page import evaluation_page
from mien.train import ExpressionRecipe, change_recipe, cross_validate
from mien.train.checkpoint import LEARNED_KEY, load_checkpoint, save_checkpoint
from mien.train.cross_validation import find_fold_runs, read_folds
from tests.sets import smooth_faces, write_dataset
from tests.train.toy import same_weights, toy_recipe

PERSONS = [f"p{number // 2}" for number in range(42)]  # two pictures each, one after the other


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    data = tmp_path_factory.mktemp("folds") / "faces.parquet"
    write_dataset(data, smooth_faces(42, side_px=24), splits=("train",), attributes={"person": PERSONS}, votes=True)
    quick = {"architecture": "cnn2", "size_px": 16, "epochs": 2, "batch_size": 8, "accelerator": "cpu", "threads": 1}
    return change_recipe(ExpressionRecipe(), {**quick, "dataset": data, "learning_rate": 0.01, "loggers": ("csv",)})


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    return cross_validate(recipe, tmp_path_factory.mktemp("whole") / "cv", 3)


def test_each_face_is_read_by_the_model_that_did_not_learn_from_it(whole, recipe):
    data = Dataset(whole.data_path)
    fold = np.array(data.column("fold"))
    assert sorted(set(fold)) == list(whole.runs) == [0, 1, 2]
    together = evaluate_model(whole.folder, whole.data_path, threads=1)
    values = together.to_dict()
    assert values["data"]["images"] == len(data) == 42
    assert values["data"]["held_out"] == (
        "the 3 folds of folds.parquet, each read by the model that did not learn from it"
    )
    columns = together.to_columns()
    assert columns["index"] == list(range(42))
    for number, run in whole.runs.items():
        alone = evaluate_model(run.last_path, whole.data_path, split="train", threads=1)
        assert alone.faces.rows.tolist() == np.flatnonzero(fold == number).tolist()
        np.testing.assert_allclose(together.probabilities[fold == number], alone.probabilities, atol=1e-6)
        assert values["folds"][number]["accuracy"] == alone.to_dict()["one_pass"]["accuracy"]
        # Training validates in the same way: by the last epoch, not the best, which this very fold chose.
        assert whole.scores[number] == pytest.approx(alone.to_dict()["one_pass"]["accuracy"], abs=1e-4)
        assert whole.scores[number] == run.history[-1]["validation_accuracy"]
    weighted = sum(one["accuracy"] * one["images"] for one in values["folds"]) / 42
    assert values["one_pass"]["accuracy"] == pytest.approx(weighted, abs=1e-4)
    assert values["ferplus"]["ten_views"]["plurality"]["images"] > 0
    assert (whole.mean, whole.deviation) == (
        statistics.fmean(whole.scores.values()),
        statistics.stdev(whole.scores.values()),
    )
    assert json.loads((whole.folder / "folds.json").read_text())["result"] == whole.to_dict()
    page = evaluation_page(together)
    assert "<b>Each fold.</b>" in page
    assert whole.runs[2].last_path.parent.name in page


def test_persons_stay_in_one_fold_and_folds_of_ones_own_are_kept(whole, recipe, tmp_path):
    data = Dataset(whole.data_path)
    folds_of = {}
    for person, fold in zip(data.attributes["person"], data.column("fold"), strict=True):
        folds_of.setdefault(person, set()).add(fold)
    assert len(folds_of) == 21
    assert all(len(own) == 1 for own in folds_of.values())
    own = change_recipe(recipe, {"dataset": whole.data_path, "seed": 7})
    with pytest.raises(UsageError, match=r"has 3 folds of its own \(its column 'fold'\), not 5; say 3, or make others"):
        cross_validate(own, tmp_path / "own", 5)
    assert list((tmp_path / "own").iterdir()) == []  # so that it can be given again
    again = cross_validate(own, tmp_path / "own")
    assert Dataset(again.data_path).column("fold") == data.column("fold")


def test_two_recipes_are_compared_on_the_same_folds(whole, recipe, tmp_path):
    other = cross_validate(
        change_recipe(recipe, {"learning_rate": 0.001, "dataset": whole.data_path}), tmp_path / "b", 3
    )
    found = compare_models([whole.folder, other.folder], whole.data_path, timed_faces=0, threads=1, ten_views=False)
    values = found.to_dict()
    assert [model["name"] for model in values["models"]] == ["cv", "b"]
    for model, result in zip(values["models"], (whole, other), strict=True):
        alone = evaluate_model(result.folder, whole.data_path, threads=1).to_dict()
        assert model["scores"]["accuracy"] == alone["one_pass"]["accuracy"]
        assert model["folds"] == 3
    beside = compare_models(["tiny", whole.folder], whole.data_path, timed_faces=0, threads=1).to_dict()
    assert [model["scores"]["images"] for model in beside["models"]] == [42, 42]


def test_what_was_stopped_goes_on_and_comes_to_the_same(whole, recipe, tmp_path):
    class EnoughError(Exception):
        pass

    def stop(fold, report):
        if fold == 1 and report.epoch == 1:
            raise EnoughError

    place = tmp_path / "stopped"
    with pytest.raises(EnoughError):
        cross_validate(recipe, place, 3, progress=stop)
    with pytest.raises(UsageError, match="is there and not empty"):
        cross_validate(recipe, place, 3)
    with pytest.raises(ModelError, match=r"fold-1: this run is not complete; continue with: .*stopped$"):
        find_fold_runs(place)
    first = (place / "fold-0" / "last.safetensors").stat().st_mtime_ns
    assert read_folds(place) == (recipe, 3)
    with pytest.raises(UsageError, match="holds a cross-validation with 3 folds, not 4"):
        cross_validate(recipe, place, 4, resume=True)
    with pytest.raises(UsageError, match=r"another recipe \(schedule.epochs was 2 and is 3\)"):
        cross_validate(change_recipe(recipe, {"epochs": 3}), place, resume=True)
    result = cross_validate(recipe, place, resume=True)
    assert (place / "fold-0" / "last.safetensors").stat().st_mtime_ns == first  # it was done
    assert result.scores == whole.scores
    for fold, run in whole.runs.items():
        assert same_weights(run.last_path, result.runs[fold].last_path)
    shutil.rmtree(place / "fold-2")
    with pytest.raises(ModelError, match=r"stopped: lacks fold-2; continue with"):
        evaluate_model(place, result.data_path)


def test_what_was_killed_while_the_folds_were_made_goes_on(recipe, tmp_path, monkeypatch):
    place = tmp_path / "cv"
    with monkeypatch.context() as patched:
        patched.setattr("mien.train.cross_validation.open_folds", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            cross_validate(recipe, place, 2)
    assert read_folds(place) == (recipe, None)
    with pytest.raises(ModelError, match="no fold is trained yet; continue with"):
        find_fold_runs(place)
    assert list(cross_validate(recipe, place, 2, resume=True).runs) == [0, 1]


@pytest.mark.parametrize("role", ["start_from", "teachers"])
def test_weights_that_know_the_faces_of_the_folds_are_warned_of(recipe, whole, tmp_path, role):
    known, said = tmp_path / "known.safetensors", tmp_path / "said"

    def warned(learned, dataset=recipe.data.dataset):
        extra = {} if learned is None else {LEARNED_KEY: learned.to_json()}
        save_checkpoint(load_checkpoint(whole.runs[0].last_path), known, extra=extra)
        shutil.rmtree(said, ignore_errors=True)
        changed = change_recipe(recipe, {"dataset": dataset, "epochs": 1, role: known})
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always", MienWarning)
            cross_validate(changed, said, 2)
        return [str(one.message) for one in found if "validation" not in str(one.message)]

    every = remember(open_faces(recipe.data.dataset), None)
    (word,) = warned(every)
    assert "known.safetensors: learned from faces of" in word
    assert "on which each fold is measured: scores are too high" in word
    moved = shutil.copy(recipe.data.dataset, tmp_path / "moved.parquet")
    assert len(warned(every, moved)) == 1  # known by what is in it
    others = dataclasses.replace(every, checksum="00ff")
    assert len(warned(others)) == 1  # and by its name
    assert len(warned(dataclasses.replace(others, source="others", earlier=every), moved)) == 1
    assert warned(dataclasses.replace(others, source="others"), moved) == []
    (word,) = warned(None)
    assert "nothing says what it learned from; if faces of" in word


def test_what_does_not_fit_is_refused(whole, recipe, tmp_path):
    with pytest.raises(UsageError, match="folds is 1; expected 2 or more"):
        cross_validate(recipe, tmp_path / "a", 1)
    with pytest.raises(UsageError, match="kind 'toy' cannot be cross-validated"):
        cross_validate(toy_recipe(), tmp_path / "a", 2)
    with pytest.raises(UsageError, match="fold is 0, which holds out that fold alone"):
        cross_validate(change_recipe(recipe, {"fold": 0}), tmp_path / "a", 2)
    with pytest.raises(UsageError, match="one device"):
        cross_validate(change_recipe(recipe, {"devices": 2}), tmp_path / "a", 2)
    with pytest.raises(UsageError, match=r"holds no cross-validation to resume \(no folds.json\)"):
        cross_validate(recipe, tmp_path / "a", resume=True)
    assert not (tmp_path / "a").exists()
    with pytest.raises(InputError, match="no such file"):
        cross_validate(change_recipe(recipe, {"dataset": tmp_path / "no.parquet"}), tmp_path / "a", 2)
    assert list((tmp_path / "a").iterdir()) == []
    with pytest.raises(ModelError, match="none.safetensors"):
        cross_validate(change_recipe(recipe, {"start_from": tmp_path / "none.safetensors"}), tmp_path / "a", 2)
    assert list((tmp_path / "a").iterdir()) == []
    with pytest.raises(UsageError, match=r"is not what these folds were made of; give the file folds\.parquet"):
        evaluate_model(whole.folder, recipe.data.dataset, split="train")
    with pytest.raises(UsageError, match="each fold is read by the model that did not learn from it"):
        evaluate_model(whole.folder, whole.data_path, learned=True)
    with pytest.raises(UsageError, match="one model is explained"):
        evaluate_model(whole.folder, whole.data_path, occlusion=2)
