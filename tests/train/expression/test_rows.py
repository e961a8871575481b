from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.data import Dataset
from mien.data.ferplus import VOTE_LABELS
from mien.errors import InputError, UsageError
from mien.labels import FER7, LabelScheme
from mien.train.architectures import FERPLUS_HEAD
from mien.train.expression.rows import head_of, open_rows, vote_head
from mien.train.options import DataOptions
from tests.sets import smooth_faces, write_class_folders, write_dataset

FACES = smooth_faces(63)


def options(path: Path, **more: Any) -> DataOptions:
    return DataOptions(dataset=path, **more)


def test_the_splits_of_a_dataset(tmp_path: Path) -> None:
    # Three splits and seven classes: every class is in every split.
    path = write_dataset(tmp_path / "a.parquet", FACES, splits=("train", "validation", "other"))
    training, validation = open_rows(options(path), 0)
    assert (len(training), len(validation)) == (21, 21)
    assert (training.faces.split, validation.faces.split) == ("train", "validation")
    assert training.learned_from is not None
    assert (training.learned_from.faces, training.learned_from.held_out) == (21, 0)
    assert training.scheme.labels == validation.scheme.labels == FER7
    assert len(open_rows(options(path, validation_split="other"), 0)[1]) == 21
    with pytest.raises(UsageError, match="cannot be used for training and validation"):
        open_rows(options(path, validation_split="train"), 0)
    with pytest.raises(UsageError, match="cannot be used for training and validation"):
        open_rows(options(path, validation_split="train", validation_data=path), 0)
    with pytest.raises(UsageError, match="no split 'nothing'"):
        open_rows(options(path, validation_split="nothing"), 0)


def test_the_split_that_is_learned_from_never_chooses(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "a.parquet", FACES, splits=("train", "validation", "other"))
    training, validation = open_rows(options(path, train_split="validation"), 0)
    names = [set(rows.faces.names(np.arange(len(rows)))) for rows in (training, validation)]
    assert [len(own) for own in names] == [len(training), len(validation)]
    assert names[0] & names[1] == set()
    assert sum(map(len, names)) == 21
    assert training.learned_from is not None
    assert training.learned_from.held_out == len(validation)
    several = write_dataset(tmp_path / "b.parquet", FACES, splits=("train", "test", "other"))
    with pytest.raises(UsageError, match="several splits: .*; name one with --validation-split"):
        open_rows(options(several), 0)


def test_without_a_second_split_a_part_is_held_out_and_copies_stay_together(tmp_path: Path) -> None:
    twins = np.concatenate([FACES[:30], FACES[:30]])
    path = write_class_folders(tmp_path / "folder", twins, ("happy", "sad"))
    training, validation = open_rows(options(path, validation_share=0.2), 0)
    assert len(training) + len(validation) == 60
    assert 6 <= len(validation) <= 18
    own = {image.tobytes() for image in training.faces.images(np.arange(len(training)))}
    assert not own & {image.tobytes() for image in validation.faces.images(np.arange(len(validation)))}
    learned = training.learned_from
    assert learned is not None
    assert (learned.source, learned.split, learned.share) == ("folder", "train", 0.2)
    assert (learned.faces, learned.held_out) == (60, len(validation))
    again = open_rows(options(path, validation_share=0.2), 0)[1]
    assert again.faces.names(np.arange(len(again))) == validation.faces.names(np.arange(len(validation)))


def test_folds(tmp_path: Path) -> None:
    plain = Dataset(write_dataset(tmp_path / "a.parquet", FACES, splits=("train",)))
    with pytest.raises(UsageError, match="no column 'fold'"):
        open_rows(options(plain.path, fold=0), 0)
    fold = [i // 7 % 3 for i in range(63)]
    info = plain.info.with_columns("fold")
    plain.write_rows(tmp_path / "b.parquet", np.arange(63), info, replace={"fold": fold})
    training, validation = open_rows(options(tmp_path / "b.parquet", fold=1), 0)
    assert (len(training), len(validation)) == (42, 21)
    assert training.learned_from is not None
    assert (training.learned_from.fold, training.learned_from.share, training.learned_from.held_out) == (1, None, 21)
    np.testing.assert_array_equal(validation.faces.images(np.array([0]))[0], FACES[7])
    with pytest.raises(UsageError, match="no fold 5"):
        open_rows(options(tmp_path / "b.parquet", fold=5), 0)
    folder = write_class_folders(tmp_path / "folder", FACES)
    with pytest.raises(UsageError, match="has no column 'fold'; 'mien data import' makes one"):
        open_rows(options(folder, fold=0), 0)


def test_weights_come_from_the_dataset(tmp_path: Path) -> None:
    plain = Dataset(write_dataset(tmp_path / "a.parquet", FACES, splits=("train", "validation")))
    with pytest.raises(UsageError, match=r"no column 'weight'; 'mien data balance --weights' writes one"):
        open_rows(options(plain.path, sampling="weights"), 0)
    info = plain.info.with_columns("weight")
    weight = np.arange(63) / 10
    plain.write_rows(tmp_path / "b.parquet", np.arange(63), info, replace={"weight": weight.tolist()})
    training, validation = open_rows(options(tmp_path / "b.parquet", sampling="weights", labels="happy,sad"), 0)
    rows = [i for i in range(63) if i % 2 == 0 and FER7[i % 7] in ("happy", "sad")]
    assert training.weight is not None
    np.testing.assert_allclose(training.weight, weight[rows], rtol=1e-6)
    assert validation.weight is None
    assert open_rows(options(tmp_path / "b.parquet"), 0)[0].weight is None
    plain.write_rows(tmp_path / "c.parquet", np.arange(63), info, replace={"weight": (-weight).tolist()})
    with pytest.raises(InputError, match="holds no weights"):
        open_rows(options(tmp_path / "c.parquet", sampling="weights"), 0)


def test_labels_go_by_name_and_the_rest_is_left_out(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "a.parquet", FACES, splits=("train", "validation"))
    training, validation = open_rows(options(path, labels="basic3"), 0)
    assert training.scheme.labels == ("happy", "sad", "neutral")
    names = np.array(FER7)[training.faces.label]
    np.testing.assert_array_equal(np.array(training.scheme.labels)[training.label], names)
    assert sum(training.left_out.values()) + len(training) == 32
    assert "class angry" in training.left_out
    assert len(validation) == 13
    merged, _ = open_rows(options(path, labels="valence3"), 0)
    assert set(np.array(FER7)[merged.faces.label[merged.label == 2]]) == {"angry", "disgust", "fear", "sad"}


def test_fer7_keeps_its_order_whatever_the_dataset_has(tmp_path: Path) -> None:
    other = write_class_folders(tmp_path / "folder", FACES, tuple(reversed(FER7)))
    assert open_rows(options(other), 0)[0].scheme.labels == FER7
    assert head_of(LabelScheme.of(FER7)).output == "fer7"
    assert head_of(LabelScheme.of(("happy", "sad", "neutral"))).output == "basic3"
    assert head_of(LabelScheme.of(("happy", "fear"))).output == "expression"


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    two = write_class_folders(tmp_path / "two", FACES, ("happy", "sad"))
    with pytest.raises(UsageError, match="need the classes angry, disgust, fear, surprise, neutral"):
        open_rows(options(two, labels="fer7"), 0)
    with pytest.raises(UsageError, match="name one with --data"):
        open_rows(DataOptions(), 0)
    seven = write_dataset(tmp_path / "a.parquet", FACES[:14], splits=("train",) * 6 + ("validation",) * 8)
    with pytest.raises(InputError, match=r"has no face of neutral to learn from"):
        open_rows(options(seven, max_faces=None), 0)
    every = write_dataset(tmp_path / "every.parquet", FACES[:21], splits=("train",) * 14 + ("validation",) * 7)
    with pytest.raises(InputError, match=r"to learn from among the 3 that --max-faces draws; draw more faces"):
        open_rows(options(every, max_faces=3), 0)
    train = write_dataset(tmp_path / "b.parquet", FACES[:14], splits=("train",) * 7 + ("validation",) * 7)
    write_class_folders(tmp_path / "happy", FACES[:3], ("contempt",))
    (tmp_path / "happy" / "happy").mkdir()
    happy = tmp_path / "happy"
    with pytest.raises(InputError, match=r"has no face to choose by \(3 left out: class contempt\)"):
        open_rows(options(train, validation_data=happy), 0)


def test_classes_that_are_merged_already_are_taken_as_they_are(tmp_path: Path) -> None:
    merged = write_dataset(tmp_path / "a.parquet", FACES[:12], labels=("negative", "happy", "neutral", "positive"),
                           splits=("train", "train", "train", "train", "validation"))  # fmt: skip
    training, _ = open_rows(options(merged, labels="valence3"), 0)
    assert training.scheme.labels == ("positive", "neutral", "negative")
    assert training.label.tolist() == [2, 1, 0, 1, 0, 2, 1, 0]
    assert training.left_out == {"class happy": 2}
    assert head_of(training.scheme).output == "valence3"


def test_leaked_rows_can_be_left_out_on_either_side(tmp_path: Path) -> None:
    train = write_class_folders(tmp_path / "train", FACES[:20], ("happy", "sad"))
    held = write_class_folders(tmp_path / "held", np.concatenate([FACES[:3], FACES[40:50]]), ("happy", "sad"))
    for leaked, sizes in (("keep", (20, 13)), ("train", (17, 13)), ("validation", (20, 10))):
        training, validation = open_rows(options(train, validation_data=held, leaked=leaked), 0)
        assert (len(training), len(validation)) == sizes
    assert validation.left_out == {"a copy in training": 3}


def test_what_is_leaked_in_another_dataset_says_nothing_here(tmp_path: Path) -> None:
    train = write_dataset(tmp_path / "a.parquet", FACES[:20], splits=("train",))
    held = write_dataset(tmp_path / "b.parquet", FACES[19:], leaked=True)
    _, validation = open_rows(options(train, validation_data=held, leaked="validation"), 0)
    assert validation.left_out == {"a copy in training": 1}
    assert validation.faces.leaked is None


def test_the_column_of_leaked_rows_is_believed(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "a.parquet", FACES, splits=("train", "validation"), leaked=True)
    _, validation = open_rows(options(path, leaked="validation"), 0)
    assert len(validation) == sum(1 for i in range(63) if i % 2 == 1 and i % 3)
    # Where the copies are left out of training, nothing in validation is leaked any more.
    _, validation = open_rows(options(path, leaked="train"), 0)
    assert (len(validation), validation.faces.leaked) == (31, None)


def test_some_faces_are_drawn_by_the_seed(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "a.parquet", smooth_faces(140), splits=("train", "validation"))
    some = [open_rows(options(path, max_faces=50), seed)[0] for seed in (0, 0, 1)]
    names = [rows.faces.names(np.arange(50)) for rows in some]
    assert names[0] == names[1] != names[2]


def test_rows_that_are_no_face_can_be_dropped(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "a.parquet", FACES, splits=("train", "validation"), votes=True)
    dataset = Dataset(path)
    votes = np.array(dataset.votes)
    votes[2] = 0
    votes[2, VOTE_LABELS.index("not_face")] = 6
    votes[2, 0] = 4
    dataset.write_rows(tmp_path / "b.parquet", np.arange(63), dataset.info, replace={"votes": votes.tolist()})
    kept, _ = open_rows(options(tmp_path / "b.parquet"), 0)
    dropped, _ = open_rows(options(tmp_path / "b.parquet", not_faces="drop"), 0)
    assert len(kept) - len(dropped) == 1
    assert dropped.left_out == {"not a face": 1}
    assert vote_head(kept.faces) == FERPLUS_HEAD
    assert (
        vote_head(open_rows(options(write_dataset(tmp_path / "c.parquet", FACES, splits=("train", "x"))), 0)[0].faces)
        is None
    )
