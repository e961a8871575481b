"""The search itself, with a training that takes no time; once with a real one."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from mien.data import Dataset
from mien.errors import InputError, MienWarning, ModelError, UsageError
from mien.train import change_recipe, read_recipe
from mien.train.architectures import build_network, make_spec
from mien.train.checkpoint import save_checkpoint
from mien.train.folds import FOLDS, prepare_folds
from mien.train.lock import locked
from mien.train.options import ExpressionRecipe
from mien.train.search import SearchResult, search_recipe
from tests.conftest import ROOT
from tests.data.test_copies import picture, recompressed
from tests.sets import write_class_folders, write_dataset
from tests.train.search.made import EPOCHS, SPACE, MadeTraining, true_score


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows 0 to 35 for training, every third one a copy of the one before; the rest for evaluation."""
    images = [picture(seed) for seed in range(60)]
    for row in range(2, 36, 3):
        images[row] = recompressed(images[row - 1])
    path = tmp_path_factory.mktemp("sets") / "faces.parquet"
    splits = ("train",) * 36 + ("validation",) * 12 + ("test",) * 12
    return write_dataset(path, np.stack(images), labels=("happy", "sad", "neutral"), splits=splits)


@pytest.fixture
def recipe(data: Path) -> ExpressionRecipe:
    return change_recipe(ExpressionRecipe(), {"dataset": data, "validation_split": "validation"})


def trials_of(result: SearchResult) -> list[tuple[object, ...]]:
    return [(trial.state, trial.score, trial.values, trial.folds) for trial in result.trials]


def test_a_search_finds_better_values_and_says_what_matters(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    train = MadeTraining()
    out = tmp_path / "search"
    reports = []
    result = search_recipe(recipe, SPACE, out, trials=20, folds=3, train=train, progress=reports.append)
    assert len(result.trials) == 20
    assert result.metric == "validation_accuracy"
    assert result.stopped_by == "trials"
    assert (result.trials[0].note, result.trials[0].values["learning_rate"]) == ("the recipe itself", 0.1)
    best = result.best
    assert best is not None
    assert best.score == pytest.approx(np.mean(best.folds))
    assert best.score > 0.68
    assert best.deviation == pytest.approx(0.01)
    assert repr(result).count("Trial(") == 1  # the best one
    assert result.importances["learning_rate"] > 0.5
    assert sum(result.importances.values()) == pytest.approx(1, abs=0.01)
    # The best recipe is ready to train: the user's own data and validation split, and the values.
    found = read_recipe(out / "best.yaml")
    assert found == change_recipe(recipe, best.values)
    assert true_score(found) == pytest.approx(best.score - 0.01)
    assert json.loads((out / "result.json").read_text())["best"]["values"] == best.values
    assert not any((out / "trials").iterdir())  # no checkpoint is left
    last = reports[-1]
    assert (last.trials, last.folds, last.finished) == (20, 3, 19)


def test_bad_trials_are_given_up(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    pruning, every = MadeTraining(), MadeTraining()
    result = search_recipe(recipe, SPACE, str(tmp_path / "a"), trials=12, folds=3, train=pruning)
    states = {trial.state for trial in result.trials}
    assert states == {"complete", "pruned"}
    whole = search_recipe(recipe, SPACE, tmp_path / "b", trials=12, folds=3, train=every, prune=False)
    assert {trial.state for trial in whole.trials} == {"complete"}
    assert every.epochs == 12 * 3 * EPOCHS
    assert pruning.epochs < 0.8 * every.epochs
    worst = min(result.trials, key=lambda trial: true_score(change_recipe(recipe, trial.values)))
    assert worst.state == "pruned"


def test_trials_only_see_folds_of_the_training_split(recipe: ExpressionRecipe, data: Path, tmp_path: Path) -> None:
    train = MadeTraining()
    out = tmp_path / "search"
    result = search_recipe(recipe, SPACE, out, trials=2, folds=3, folds_used=2, train=train)
    assert (result.folds, result.rows) == (2, 36)
    folds = Dataset(out / "folds.parquet")
    assert folds.splits == {"train": 36}
    assert folds.label.tolist() == Dataset(data).label.tolist()[:36]
    fold = folds.column("fold")
    assert sorted(set(fold)) == [0, 1, 2]
    assert all(fold[row] == fold[row - 1] for row in range(2, 36, 3))  # copies stay together
    for given, folder, resume in train.calls:
        assert given.data.dataset == out / "folds.parquet"
        assert given.data.fold in (0, 1)
        assert given.data.validation_split is None
        assert folder.parent.parent == out / "trials"
        assert not resume


def test_own_folds_and_other_layouts_are_taken(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    from mien.data import split_dataset

    split_dataset(Dataset(recipe.data.dataset), tmp_path / "folds.parquet", folds=2, only="train")
    own = change_recipe(recipe, {"dataset": tmp_path / "folds.parquet"})
    result = search_recipe(own, SPACE, tmp_path / "a", trials=1, folds=5, train=MadeTraining())
    assert (result.folds, len(Dataset(tmp_path / "a" / "folds.parquet"))) == (2, 36)
    images = np.stack([picture(seed) for seed in range(12)])
    folders = write_class_folders(tmp_path / "faces", images, ("happy", "sad"))
    other = change_recipe(recipe, {"dataset": folders})
    assert search_recipe(other, SPACE, tmp_path / "b", trials=1, folds=2, train=MadeTraining()).rows == 12
    named = change_recipe(recipe, {"train_split": "Training"})
    assert search_recipe(named, SPACE, tmp_path / "named", trials=1, folds=2, train=MadeTraining()).rows == 36
    wrong = change_recipe(recipe, {"train_split": "learning"})
    with pytest.raises(UsageError, match=r"no split 'learning' to learn from; it has train \(36 rows\)"):
        search_recipe(wrong, SPACE, tmp_path / "c", train=MadeTraining())
    with pytest.raises(InputError, match="no such file"):
        search_recipe(change_recipe(recipe, {"dataset": "no.parquet"}), SPACE, tmp_path / "d", train=MadeTraining())
    with pytest.raises(UsageError, match="no dataset to learn from"):
        search_recipe(ExpressionRecipe(), SPACE, tmp_path / "e", train=MadeTraining())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs a list of what is mapped")
def test_what_was_imported_for_a_search_is_let_go_before_it_is_deleted(
    recipe: ExpressionRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows deletes no file that is mapped."""
    mapped: list[bool] = []

    class Watched(tempfile.TemporaryDirectory):  # type: ignore[type-arg]
        def __exit__(self, *error: object) -> None:
            mapped.append("imported.parquet" in Path("/proc/self/maps").read_text(encoding="utf-8"))
            super().__exit__(*error)  # type: ignore[arg-type]

    monkeypatch.setattr("mien.train.folds.tempfile.TemporaryDirectory", Watched)
    folders = write_class_folders(tmp_path / "faces", np.stack([picture(seed) for seed in range(6)]), ("happy", "sad"))
    dest = tmp_path / "folds.parquet"
    assert len(prepare_folds(folders, dest, split="train", folds=2, seed=0)) == 6
    assert mapped == [False]


def test_a_search_goes_on_and_is_the_same(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    whole = search_recipe(recipe, SPACE, tmp_path / "a", trials=11, folds=2, train=MadeTraining())
    search_recipe(recipe, SPACE, tmp_path / "b", trials=6, folds=2, train=MadeTraining())
    with pytest.raises(UsageError, match="holds a search already; continue it with --resume"):
        search_recipe(recipe, SPACE, tmp_path / "b", trials=11, folds=2, train=MadeTraining())
    again = search_recipe(recipe, SPACE, tmp_path / "b", trials=11, folds=2, train=MadeTraining(), resume=True)
    assert trials_of(again) == trials_of(whole)
    done = search_recipe(recipe, SPACE, tmp_path / "b", trials=11, folds=2, train=MadeTraining(), resume=True)
    assert trials_of(done) == trials_of(whole)


def test_a_seed_repeats_a_search(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    """Folds and choices come from the recipe's seed."""

    def trials(name: str, seed: int) -> list[tuple[object, ...]]:
        own = change_recipe(recipe, {"seed": seed})
        result = search_recipe(own, SPACE, tmp_path / name, trials=4, folds=2, train=MadeTraining(), prune=False)
        return trials_of(result)

    first = trials("first", 7)
    assert trials("again", 7) == first
    assert trials("other", 8) != first


def test_no_recipe_is_tried_twice_and_a_search_ends_where_all_were(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    space = {
        "batch_size": [64, 128],
        "epochs": {"low": 2, "high": 3},
        "dropout": {"low": 0, "high": 0.2, "step": 0.1},
    }
    train = MadeTraining()
    whole = search_recipe(recipe, space, tmp_path / "a", trials=40, folds=2, train=train, prune_after=5)
    assert whole.stopped_by == "space"
    assert len(whole.trials) == len({tuple(trial.values.items()) for trial in whole.trials}) == 12
    assert len(train.calls) <= 24
    # The same, too, where it stopped in between; and once more there is nothing to do.
    search_recipe(recipe, space, tmp_path / "b", trials=9, folds=2, train=MadeTraining(), prune_after=5)
    for _ in range(2):
        again = search_recipe(
            recipe, space, tmp_path / "b", trials=40, folds=2, train=MadeTraining(), prune_after=5, resume=True
        )
        assert trials_of(again) == trials_of(whole)


def test_a_kill_costs_nothing(recipe: ExpressionRecipe, data: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of a trial, more than once; then the result of a search that was left alone."""
    out = tmp_path / "killed"
    program = [sys.executable, "-m", "tests.train.search.made", str(data), str(out)]
    kills = 0
    for wanted in (1, 3):
        process = subprocess.Popen(program, cwd=ROOT)
        deadline_s = time.monotonic() + 60
        # A second fold under way: the first one's score is kept, and must not be trained again.
        while process.poll() is None and time.monotonic() < deadline_s:
            folders = sorted((out / "trials").glob("*/fold-1/recipe.yaml"))
            if folders and int(folders[-1].parent.parent.name) >= wanted:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        process.wait(timeout=60)
    assert kills == 2
    train = MadeTraining()
    whole = search_recipe(recipe_of_program(data), SPACE, tmp_path / "whole", trials=6, folds=2, prune_after=2,
                          train=MadeTraining())  # fmt: skip
    found = search_recipe(
        recipe_of_program(data), SPACE, out, trials=6, folds=2, prune_after=2, train=train, resume=True
    )
    assert trials_of(found) == trials_of(whole)
    first, folder, resumed = train.calls[0]
    assert resumed
    assert (first.data.fold, folder.name) == (1, "fold-1")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_file_of_a_search_is_named(recipe: ExpressionRecipe, tmp_path: Path, text: str) -> None:
    search_recipe(recipe, SPACE, tmp_path / "a", trials=1, folds=2, train=MadeTraining())
    (tmp_path / "a" / "search.json").write_text(text)
    with pytest.raises(UsageError, match=r"search\.json: cannot be read"):
        search_recipe(recipe, SPACE, tmp_path / "a", trials=2, folds=2, train=MadeTraining(), resume=True)


def recipe_of_program(data: Path) -> ExpressionRecipe:
    return change_recipe(ExpressionRecipe(), {"dataset": data})


def test_a_budget_in_minutes_cuts_and_goes_on(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    # A fold takes a minute in the made training: one trial, and a half.
    train = MadeTraining()
    cut = search_recipe(recipe, SPACE, tmp_path / "a", trials=4, total_minutes=3.1, folds=2, train=train, prune=False)
    assert cut.stopped_by == "minutes"
    assert len(cut.trials) == 1
    more = search_recipe(recipe, SPACE, tmp_path / "a", trials=4, folds=2, train=train, prune=False, resume=True)
    whole = search_recipe(recipe, SPACE, tmp_path / "b", trials=4, folds=2, train=MadeTraining(), prune=False)
    assert trials_of(more) == trials_of(whole)
    assert more.seconds == whole.seconds == 480


def test_recipes_that_fail_are_told_and_do_not_end_a_search(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    train = MadeTraining(broken=lambda tried: tried.optimizer.batch_size == 128)
    result = search_recipe(recipe, SPACE, tmp_path / "a", trials=12, folds=2, train=train)
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert failed
    assert all(trial.values["batch_size"] == 128 and trial.score is None for trial in failed)
    assert "the loss is nan" in failed[0].note
    with pytest.raises(UsageError, match=r"3 trials in a row failed, the last one so: the loss is nan"):
        search_recipe(recipe, SPACE, tmp_path / "b", trials=12, folds=2, train=MadeTraining(broken=lambda _: True))


def test_a_search_goes_on_elsewhere(recipe: ExpressionRecipe, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "search"
    whole = search_recipe(recipe, SPACE, tmp_path / "whole", trials=3, folds=2, train=MadeTraining())
    search_recipe(recipe, SPACE, out, trials=2, folds=2, train=MadeTraining())
    moved = shutil.copy(data, tmp_path / "moved.parquet")
    other = change_recipe(recipe, {"dataset": moved, "threads": 3, "accelerator": "cpu", "save_every_s": 5})
    again = search_recipe(other, SPACE, out, trials=3, folds=2, train=MadeTraining(), resume=True)
    assert trials_of(again) == trials_of(whole)
    assert again.recipe_path is not None
    assert read_recipe(again.recipe_path).data.dataset == tmp_path / "moved.parquet"
    with pytest.raises(UsageError, match=r"another search: data.dataset is .* and None here"):
        search_recipe(change_recipe(recipe, {"dataset": None}), SPACE, out, train=MadeTraining(), resume=True)


def test_another_search_in_the_folder_is_refused(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    out = tmp_path / "search"
    search_recipe(recipe, SPACE, out, trials=1, folds=2, train=MadeTraining())

    def go_on(changed: ExpressionRecipe, space: object, **options: object) -> None:
        search_recipe(changed, space, out, resume=True, train=MadeTraining(), **options)  # type: ignore[arg-type]

    with pytest.raises(UsageError, match=r"another search: schedule.epochs is 60 there and 7 here"):
        go_on(change_recipe(recipe, {"epochs": 7}), SPACE)
    with pytest.raises(UsageError, match=r"another search: search.learning_rate is .*and 3 more\)"):
        go_on(recipe, {"mixup": {"low": 0.0, "high": 1.0}})
    with pytest.raises(UsageError, match="sampler is 'tpe' there and 'random' here"):
        go_on(recipe, SPACE, sampler="random")
    with locked(out, "search"), pytest.raises(UsageError, match="another process is at this search"):
        go_on(recipe, SPACE)
    with pytest.raises(UsageError, match="holds no search to continue"):
        search_recipe(recipe, SPACE, tmp_path / "none", resume=True, train=MadeTraining())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match="is not empty and holds no search"):
        search_recipe(recipe, SPACE, tmp_path / "full", train=MadeTraining())
    with pytest.raises(UsageError, match="runs on one device"):
        search_recipe(change_recipe(recipe, {"devices": 2}), SPACE, tmp_path / "two", train=MadeTraining())


def test_teachers_have_seen_the_folds_and_it_says_so(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.safetensors"
    save_checkpoint(build_network(make_spec("cnn2", size_px=16)), teacher)
    taught = change_recipe(recipe, {"teachers": teacher})
    with pytest.warns(MienWarning, match="teacher.safetensors: nothing says what it learned from"):
        search_recipe(taught, SPACE, tmp_path / "a", trials=1, folds=2, train=MadeTraining())


def test_a_search_that_did_not_begin_leaves_no_folds_of_other_data(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    out = tmp_path / "a"
    with pytest.raises(ModelError, match="none.safetensors"):
        search_recipe(
            change_recipe(recipe, {"teachers": "none.safetensors"}), SPACE, out, folds=2, train=MadeTraining()
        )
    other = write_dataset(tmp_path / "other.parquet", np.stack([picture(seed) for seed in range(9)]), splits=("train",))
    search_recipe(change_recipe(recipe, {"dataset": other}), SPACE, out, trials=1, folds=2, train=MadeTraining())
    assert len(Dataset(out / FOLDS)) == 9


def test_a_real_training_is_searched(recipe: ExpressionRecipe, tmp_path: Path) -> None:
    small = change_recipe(
        recipe,
        {
            "architecture": "cnn2",
            "epochs": 2,
            "batch_size": 12,
            "threads": 1,
            "ferplus_weight": 0.0,
            "accelerator": "cpu",
        },
    )
    out = tmp_path / "search"
    space = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "mixup": [0.0, 0.2]}
    result = search_recipe(small, space, out, trials=3, folds=2)
    assert [len(trial.folds) for trial in result.trials] == [2, 2, 2]
    assert result.best is not None
    assert 0 < result.best.score <= 1
    assert result.trials[0].note == "the recipe itself" or result.trials[0].values
