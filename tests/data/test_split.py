"""Splits and folds: even classes, and no picture on both sides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data import balance_dataset, dataset_groups, make_folds, split_dataset
from mien.data.split import cut_shares, join_groups
from mien.errors import MienWarning, UsageError
from tests.data.made import make_dataset
from tests.data.test_copies import CHANGES, picture


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=10, max_size=120), st.integers(2, 4))
def test_no_group_is_in_two_folds(rows, folds):
    label = np.array([a for a, _ in rows], np.int64)
    groups = np.array([b for _, b in rows], np.int64)
    try:
        fold = make_folds(label, groups, folds, seed=1)
    except UsageError:
        counts = np.bincount(label)
        assert len(np.unique(groups)) < folds or counts[counts > 0].max() < folds
        return
    assert set(fold.tolist()) <= set(range(folds))
    for group in np.unique(groups):
        assert len(set(fold[groups == group].tolist())) == 1
    assert np.array_equal(fold, make_folds(label, groups, folds, seed=1))


@pytest.mark.parametrize("share", [0.07, 0.1, 0.15, 0.3, 0.4, 0.45])
def test_a_share_is_cut_as_it_was_asked_for(share):
    cut = cut_shares(np.arange(600) % 3, np.arange(600), {"validation": share})
    assert (cut == "validation").mean() == pytest.approx(share, abs=0.01)


def test_something_is_left_to_learn_from():
    label, groups = np.array([0, 0, 1]), np.arange(3)
    assert "train" in cut_shares(label, groups, {"validation": 0.1}).tolist()
    with pytest.raises(UsageError, match="3 rows cannot be split into 3 parts: expected 3 different pictures"):
        cut_shares(label, groups, {"test": 0.1, "validation": 0.1})


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_no_class_is_only_held_out(seed, rare):
    """Of a class with one picture, that was the validation split's as often as not, and nobody learned it."""
    label = np.repeat(np.arange(len(rare) + 1), [60, *rare])
    groups = np.arange(len(label))
    groups[-1] = groups[0]  # a copy, under another label
    split = cut_shares(label, groups, {"validation": 0.1, "test": 0.1}, seed)
    assert set(label[split == "train"]) == set(label)
    assert set(split) == {"train", "validation", "test"}
    assert split[-1] == split[0]


def test_classes_are_spread_evenly():
    rng = np.random.default_rng(0)
    label = rng.choice(4, 2000, p=[0.6, 0.3, 0.08, 0.02])
    groups = np.where(rng.random(2000) < 0.2, np.arange(2000) // 3 * 3, np.arange(2000))
    fold = make_folds(label, groups, 5)
    for value in range(4):
        counts = np.bincount(fold[label == value], minlength=5)
        assert counts.max() - counts.min() <= max(4, 0.1 * counts.mean())
    assert not np.array_equal(fold, make_folds(label, groups, 5, seed=7))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    images = [picture(seed) for seed in range(60)]
    images += [list(CHANGES.values())[seed % 6](images[seed]) for seed in range(30)]
    label = [seed % 3 for seed in range(60)] + [seed % 3 for seed in range(30)]
    split = ["train"] * 80 + ["test"] * 10
    return make_dataset(
        tmp_path_factory.mktemp("s") / "a.parquet", images, label, split, labels=("angry", "happy", "sad")
    )


def test_copies_stay_on_one_side(dataset, tmp_path):
    groups = dataset_groups(dataset)
    assert len(np.unique(groups)) == 60
    new = split_dataset(dataset, tmp_path / "b.parquet", validation=0.2, test=0.2)
    assert new.splits == pytest.approx({"train": 54, "validation": 18, "test": 18}, abs=6)
    for group in np.unique(groups):
        assert len(set(new.split[groups == group].tolist())) == 1
    again = split_dataset(str(dataset.path), tmp_path / "c.parquet", validation=0.2, test=0.2)
    assert np.array_equal(new.split, again.split)
    assert new.info.history[-1]["step"] == "split"


def test_repeated_rows_that_are_held_out_are_warned_of(dataset, tmp_path):
    repeated = balance_dataset(dataset, tmp_path / "b.parquet", oversample=True)
    with pytest.warns(MienWarning, match="held out of them are repeated too.*split first, then oversample"):
        split_dataset(repeated, tmp_path / "c.parquet", validation=0.2)
    split_dataset(repeated, tmp_path / "d.parquet", only="test", folds=2)  # of which none is repeated


def test_pictures_of_one_person_stay_on_one_side(tmp_path):
    person = [f"p{number % 9}" for number in range(60)]
    person[5] = person[40] = ""
    dataset = make_dataset(
        tmp_path / "a.parquet", [picture(seed) for seed in range(60)], [n % 3 for n in range(60)], ["train"] * 60,
        labels=("angry", "happy", "sad"), attributes=[{"person": name} if name else {} for name in person],
    )  # fmt: skip
    new = split_dataset(dataset, tmp_path / "b.parquet", validation=0.3, together="person")
    sides = {name: set(new.split[np.asarray(person) == name].tolist()) for name in set(person)}
    assert all(len(side) == 1 for name, side in sides.items() if name)
    assert {"train", "validation"} == set(new.split.tolist())
    assert new.info.history[-1]["together"] == "person"
    folds = split_dataset(dataset, tmp_path / "c.parquet", folds=3, together="person").column("fold")
    assert all(len({folds[row] for row in range(60) if person[row] == name}) == 1 for name in set(person) - {""})
    # Rows of nobody known are not taken for one person.
    assert len(np.unique(join_groups(np.arange(60), np.asarray(person)))) == 9 + 2
    with pytest.raises(UsageError, match="a.parquet has no attribute 'name'; expected one of person"):
        split_dataset(dataset, tmp_path / "d.parquet", together="name")


def test_persons_with_a_picture_in_common_stay_together():
    person = np.array(["a", "a", "b", "b", "", "", "c"])
    assert join_groups(np.array([0, 1, 1, 3, 4, 4, 6]), person).tolist() == [0, 0, 0, 0, 4, 4, 6]


def test_a_dataset_without_attributes(dataset, tmp_path):
    with pytest.raises(UsageError, match="has no attribute 'person'; expected a dataset that was imported with some"):
        split_dataset(dataset, tmp_path / "d.parquet", together="person")


def test_only_one_split_may_be_cut(dataset, tmp_path):
    new = split_dataset(dataset, tmp_path / "b.parquet", validation=0.25, only="train")
    assert np.all((new.split == "test") == (dataset.split == "test"))
    folds = split_dataset(dataset, tmp_path / "c.parquet", folds=4, only="train")
    assert [value is None for value in folds.column("fold")] == (dataset.split == "test").tolist()
    assert np.array_equal(folds.split, dataset.split)


def test_a_split_that_stays_gets_no_rows(dataset, tmp_path):
    path = tmp_path / "b.parquet"
    both = split_dataset(dataset, tmp_path / "both.parquet", only="train")
    assert set(both.splits) == {"train", "validation", "test"}
    with pytest.raises(UsageError, match=r"split 'validation' would get rows of 'train'.*--validation 0"):
        split_dataset(both, path, only="train")
    with pytest.raises(UsageError, match=r"'test' and the split 'validation' would.*--test 0 --validation 0"):
        split_dataset(both, path, only="train", test=0.2)
    with pytest.raises(UsageError, match="left over would go to 'train'"):
        split_dataset(dataset, path, only="test", validation=0.5)
    assert not path.exists()
    new = split_dataset(dataset, path, only="train", validation=0)
    assert new.splits == dataset.splits
    folds = split_dataset(both, path, only="train", folds=3)
    assert folds.splits == both.splits


def test_usage_is_checked(dataset, tmp_path):
    with pytest.raises(UsageError, match="no split 'valid'; expected one of train, test"):
        split_dataset(dataset, tmp_path / "b.parquet", only="valid")
    with pytest.raises(UsageError, match="leave less than a tenth"):
        split_dataset(dataset, tmp_path / "b.parquet", validation=0.6, test=0.4)
    for share in ({"validation": 0.1}, {"test": 0.0}):
        with pytest.raises(UsageError, match="either folds, or validation and test"):
            split_dataset(dataset, tmp_path / "b.parquet", folds=2, **share)
    with pytest.raises(UsageError, match="as many at least"):
        make_folds(np.array([0, 1, 0]), np.array([0, 0, 1]), 3)
    with pytest.raises(UsageError, match="cannot make 2 folds"):  # one picture of each class
        make_folds(np.arange(4), np.arange(4), 2)


@pytest.mark.parametrize("copies", [60, 90, 300])
def test_a_large_group_of_copies_stays_in_training(copies):
    """Frames of a film, say; by chance they were the split of a tenth."""
    count = max(100, 2 * copies)
    groups = np.maximum(np.arange(count) - copies, 0)
    for seed in range(5):
        label = np.random.default_rng(seed).integers(0, 3, count)
        split = cut_shares(label, groups, {"validation": 0.1, "test": 0.1}, seed)
        assert set(split[groups == 0]) == {"train"}
        assert 0 < (split == "validation").sum() <= 0.15 * count
        assert 0 < (split == "test").sum() <= 0.15 * count


@pytest.mark.parametrize("copies", [20, 30, 42])
def test_a_group_that_would_fill_a_split_stays_in_training(copies):
    """Of these, most seeds had a film as nearly all of the tenth."""
    groups = np.maximum(np.arange(300) - copies, 0)
    for seed in range(4):
        split = cut_shares(np.random.default_rng(seed).integers(0, 3, 300), groups, {"validation": 0.1}, seed)
        assert set(split[groups == 0]) == {"train"}
        assert (split == "validation").mean() == pytest.approx(0.1, abs=0.03)


def test_of_few_persons_one_may_be_a_split():
    split = cut_shares(np.arange(300) % 3, np.arange(300) // 50, {"validation": 0.1})
    assert (split == "validation").sum() == 50


def test_beside_a_large_group_the_others_are_cut_as_was_asked_for():
    groups = np.maximum(np.arange(300) - 60, 0)
    split = cut_shares(np.arange(300) % 3, groups, {"validation": 0.3, "test": 0.2})
    assert set(split[groups == 0]) == {"train"}
    assert (split == "validation").mean() == pytest.approx(0.3, abs=0.05)
    assert (split == "test").mean() == pytest.approx(0.2, abs=0.05)


def test_where_nothing_can_be_written_no_copies_are_looked_for(tmp_path, monkeypatch):
    """In a large dataset that takes minutes."""
    dataset = make_dataset(tmp_path / "a.parquet", [picture(seed) for seed in range(8)], [0, 1] * 4)
    monkeypatch.setattr("mien.data.split.dataset_groups", lambda _: pytest.fail("copies were looked for"))
    for dest, problem in [(dataset.path, "is the dataset itself"), (tmp_path / "no" / "b.parquet", "does not exist")]:
        with pytest.raises(UsageError, match=problem):
            split_dataset(dataset, dest)
