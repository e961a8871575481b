"""Which faces training held out is known again from what it kept, and only for the same faces."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mien.data import Dataset
from mien.data.faces import open_faces
from mien.data.held_out import fold_rows, held_out_otherwise, open_measured, remember, shared_rows
from mien.errors import MienWarning, UsageError
from mien.zoo.card import LearnedFrom
from tests.sets import smooth_faces, write_class_folders, write_dataset

IMAGES = np.concatenate([smooth_faces(60), smooth_faces(10)])  # the last ten are copies of the first ten


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "flat", IMAGES, ("happy", "sad"))


@pytest.fixture
def learned(flat: Path) -> LearnedFrom:
    return keep(flat)


@pytest.fixture(autouse=True)
def _loud() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", MienWarning)
        yield


def keep(path: Path, share: float = 0.1, seed: int = 7) -> LearnedFrom:
    faces = open_faces(path)
    return remember(faces, shared_rows(faces, share, seed), share=share, seed=seed)


def test_the_faces_that_were_held_out_are_measured_and_the_rest_was_learned(flat: Path, learned: LearnedFrom) -> None:
    every = open_faces(flat)
    held = shared_rows(every, 0.1, 7)
    measured = open_measured(flat, None, [learned])
    names = every.names(np.flatnonzero(held))
    assert 4 <= len(names) <= 12
    assert measured.faces.names(np.arange(len(measured.faces))) == names
    assert measured.faces.title == "the tenth of flat that training held out"
    assert measured.learned is not None
    assert len(measured.learned) + len(names) == 70
    assert not {image.tobytes() for image in measured.learned.squares()} & {
        image.tobytes() for image in measured.faces.squares()
    }
    assert measured.warning == ""
    # Where the folder lies, and what it is called, does not matter.
    moved = open_measured(shutil.copytree(flat, flat.parent / "moved"), None, [None, learned])
    assert moved.faces.title == "the tenth of moved that training held out"


@pytest.mark.parametrize(("share", "name"), [(0.1, "tenth"), (0.4, "40 %"), (0.5, "half")])
def test_as_many_faces_are_held_out_as_were_asked_for(flat: Path, share: float, name: str) -> None:
    for image in flat.glob("*/06?.png"):  # the last ten are copies, which stay together
        image.unlink()
    learned = keep(flat, share)
    assert learned.held_out == pytest.approx(60 * share, abs=1)
    assert open_measured(flat, None, [learned]).faces.part == f"the {name} of flat that training held out"


def test_what_was_learned_is_the_rest_unless_other_faces_are_named(
    flat: Path, learned: LearnedFrom, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = open_measured(flat, None, [learned])
    assert measured.training(None) is measured.learned
    assert measured.training(flat / "." / ".." / "flat") is measured.learned
    assert measured.training(flat.parent / "other") == flat.parent / "other"
    assert open_measured(flat, None, [None]).training(None) is None
    monkeypatch.chdir(flat.parent)
    nearby = open_measured("flat", None, [learned])
    assert nearby.training(flat) is nearby.learned


def test_all_faces_where_nothing_is_known_or_another_split_was_learned(flat: Path, learned: LearnedFrom) -> None:
    assert len(open_measured(flat, None, [None]).faces) == 70
    both = write_dataset(flat.parent / "both.parquet", IMAGES, splits=("train", "test"))
    other = dataclasses.replace(learned, source="both.parquet")
    assert open_measured(both, None, [other]).faces.split == "test"


@pytest.mark.parametrize("change", ["fewer", "another picture", "another class"])
def test_other_faces_under_the_same_name_are_warned_of(flat: Path, learned: LearnedFrom, change: str) -> None:
    first = flat / "happy" / "000.png"
    if change == "fewer":
        first.unlink()
    elif change == "another picture":
        shutil.copy(flat / "happy" / "022.png", first)
    else:
        first.rename(flat / "sad" / "000.png")
    with pytest.warns(MienWarning, match="not quite the same: the score may be on faces that it learned from"):
        measured = open_measured(flat, None, [learned])
    assert measured.learned is None
    assert "dataset of this name (70 faces)" in measured.warning
    assert measured.faces.part == ""
    assert len(measured.faces) == 70 - (change == "fewer")
    # Another dataset is none of this: no word.
    assert open_measured(flat.rename(flat.parent / "others"), None, [learned]).warning == ""


def test_a_split_that_was_learned_from_as_a_whole_is_warned_of(flat: Path) -> None:
    with pytest.warns(MienWarning, match="learned from all of these faces"):
        assert len(open_measured(flat, None, [remember(open_faces(flat), None)]).faces) == 70


def test_faces_that_were_learned_before_a_model_was_tuned_on_others_are_known(flat: Path, learned: LearnedFrom) -> None:
    others = write_class_folders(flat.parent / "others", smooth_faces(40), ("happy", "sad"))
    tuned = dataclasses.replace(keep(others), earlier=learned)
    assert open_measured(flat, None, [tuned]).faces.part == "the tenth of flat that training held out"
    assert open_measured(others, None, [tuned]).faces.part == "the tenth of others that training held out"
    # Tuned on the same faces with another seed: what both held out.
    twice = dataclasses.replace(keep(flat, seed=8), earlier=tuned)
    assert open_measured(flat, None, [twice]).faces.part == "what every training held out of flat"
    whole = dataclasses.replace(keep(others), earlier=remember(open_faces(flat), None))
    with pytest.warns(MienWarning, match="learned from all of these faces"):
        open_measured(flat, None, [whole])


def test_weights_that_learned_from_what_is_held_out_now_are_known(flat: Path, learned: LearnedFrom) -> None:
    others = keep(write_class_folders(flat.parent / "others", smooth_faces(40), ("happy", "sad")))
    again, before = keep(flat), keep(flat, seed=8)
    assert held_out_otherwise(again, before)
    assert held_out_otherwise(again, dataclasses.replace(others, earlier=before))
    assert held_out_otherwise(again, remember(open_faces(flat), None))
    assert not held_out_otherwise(again, learned)
    assert not held_out_otherwise(again, others)
    assert not held_out_otherwise(again, None)
    assert not held_out_otherwise(remember(open_faces(flat), None), before)


def test_folds_that_nobody_made_are_asked_for(flat: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"flat is no dataset of mien, .* 'mien data import' makes one"):
        fold_rows(open_faces(flat), 0)
    plain = write_dataset(tmp_path / "a.parquet", IMAGES, splits=("train",))
    with pytest.raises(UsageError, match=r"has no column 'fold'; 'mien data split --folds N' writes one"):
        fold_rows(open_faces(plain), 0)


def test_a_fold(tmp_path: Path) -> None:
    plain = Dataset(write_dataset(tmp_path / "a.parquet", IMAGES, splits=("train",)))
    info = plain.info.with_columns("fold")
    folded = tmp_path / "folded.parquet"
    plain.write_rows(folded, np.arange(70), info, replace={"fold": [i // 7 % 3 for i in range(70)]})
    faces = open_faces(folded)
    learned = remember(faces, fold_rows(faces, 1), fold=1)
    measured = open_measured(folded, None, [learned])
    assert (len(measured.faces), measured.faces.title) == (21, "fold 1 of folded.parquet, which training held out")
    np.testing.assert_array_equal(measured.faces.images(np.array([0]))[0], IMAGES[7])
    # Without the column, or with other folds, nobody knows.
    plain.write_rows(folded, np.arange(70), info, replace={"fold": [i // 7 % 2 for i in range(70)]})
    with pytest.warns(MienWarning, match="not quite the same"):
        assert open_measured(folded, None, [learned]).learned is None
    shutil.copy(plain.path, folded)
    with pytest.warns(MienWarning, match="not quite the same"):
        assert open_measured(folded, None, [learned]).learned is None


def test_what_was_learned_from_can_be_measured_too(flat: Path, learned: LearnedFrom) -> None:
    found = open_measured(flat, None, [learned], learned=True)
    rest = open_measured(flat, None, [learned]).learned
    assert rest is not None
    assert (found.faces.part, found.learned, found.warning) == ("what training did not hold out of flat", None, "")
    every = np.arange(len(rest))
    assert found.faces.names(every) == rest.names(every)
    other = keep(flat, 0.3, seed=1)
    both = open_measured(flat, None, [learned, other], learned=True).faces
    faces = open_faces(flat)
    assert len(both) == (~shared_rows(faces, 0.1, 7) & ~shared_rows(faces, 0.3, 1)).sum() < len(rest)
    # Of a dataset with splits it is the one that was learned from, all of it.
    split = write_dataset(flat.parent / "split.parquet", IMAGES, splits=("train", "test"))
    whole = remember(open_faces(split, "train"), None)
    assert open_measured(split, None, [whole], learned=True).faces.split == "train"
    assert len(open_measured(split, None, [whole], learned=True).faces) == 35


def test_what_nobody_learned_from_is_not_measured_as_if(flat: Path, learned: LearnedFrom) -> None:
    with pytest.raises(UsageError, match="nothing says what a model learned from"):
        open_measured(flat, None, [learned, None], learned=True)
    next((flat / "happy").iterdir()).unlink()
    with pytest.raises(UsageError, match=r"\(69 faces\), is not what a model learned from: .* flat \(70 faces\)"):
        open_measured(flat, None, [learned], learned=True)
    split = write_dataset(flat.parent / "split.parquet", IMAGES, splits=("train", "test"))
    with pytest.raises(UsageError, match="split 'test' .* is not what a model learned from"):
        open_measured(split, "test", [remember(open_faces(split, "train"), None)], learned=True)


def test_several_models_are_measured_on_what_all_held_out(flat: Path, learned: LearnedFrom) -> None:
    assert open_measured(flat, None, [learned, None, learned]).faces.part == "the tenth of flat that training held out"
    half, third = keep(flat, 0.5), keep(flat, 0.3, seed=1)
    measured = open_measured(flat, None, [half, third])
    faces = open_faces(flat)
    assert measured.faces.part == "what every training held out of flat"
    assert len(measured.faces) == (shared_rows(faces, 0.5, 7) & shared_rows(faces, 0.3, 1)).sum() > 0
    mine = shared_rows(faces, 0.1, 7)
    # Two tenths are not one, though both are a tenth.
    both = mine & shared_rows(faces, 0.1, 8)
    assert 0 < both.sum() < mine.sum()
    part = open_measured(flat, None, [learned, keep(flat, seed=8)]).faces
    assert (part.part, len(part)) == ("what every training held out of flat", both.sum())
    disjoint = next(seed for seed in range(99) if not (shared_rows(faces, 0.02, seed) & mine).any())
    with pytest.raises(UsageError, match="no face of .*flat was held out by every training"):
        open_measured(flat, None, [learned, keep(flat, 0.02, disjoint)])
