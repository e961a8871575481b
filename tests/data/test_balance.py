"""Mapping, mirrored oversampling and weights."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mien.data import Dataset, DatasetInfo, balance_dataset, class_weights, map_labels, oversample
from mien.data.writer import DatasetWriter, Row
from mien.errors import MienWarning, UsageError
from mien.labels import FER7, find_scheme
from tests.data.layouts_on_disk import pattern
from tests.data.made import make_dataset

label_arrays = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(lambda values: np.array(values, np.int64))


@settings(max_examples=150, deadline=None)
@given(label_arrays, st.integers(0, 3))
def test_oversampling_makes_classes_equal_and_loses_no_row(label, seed):
    index, mirror = oversample(label, seed)
    counts = np.bincount(label[index], minlength=5)
    assert set(counts[counts > 0].tolist()) == {np.bincount(label).max()}
    assert np.all(np.diff(index) >= 0)
    assert set(index.tolist()) == set(range(len(label)))
    for row in range(len(label)):
        own = mirror[index == row]
        assert own.tolist() == [i % 2 == 1 for i in range(len(own))], "every second repetition is mirrored"
        repeats = [np.sum(index == other) for other in np.flatnonzero(label == label[row])]
        assert max(repeats) - min(repeats) <= 1
    again, mirrored_again = oversample(label, seed)
    assert np.array_equal(index, again)
    assert np.array_equal(mirror, mirrored_again)


@settings(max_examples=100, deadline=None)
@given(label_arrays)
def test_weights_give_every_class_the_same_share(label):
    weights = class_weights(label, 5)
    sums = [weights[label == value].sum() for value in np.unique(label)]
    assert sums == pytest.approx([len(label) / len(sums)] * len(sums))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=30).map(lambda values: np.array(values, np.int64)))
def test_mapping_goes_by_name(label):
    scheme = find_scheme("valence3")
    for old, new in zip(label, map_labels(label, FER7, scheme), strict=True):
        assert FER7[old] == "surprise" if new < 0 else FER7[old] in scheme.members[scheme.labels[new]]


@pytest.fixture
def dataset(tmp_path):
    label = [0, 1, 3, 3, 3, 6, 5, 3, 4]
    split = ["train"] * 7 + ["validation"] * 2
    box = [[1, 2, 40, 41]] * 9
    points = [[[10, 20], [30, 21], [20, 30], [12, 40], [28, 39]]] * 9
    return make_dataset(
        tmp_path / "a.parquet", [pattern(i) for i in range(9)], label, split, box_xyxy=box, landmarks_xy=points
    )


def test_training_is_oversampled_with_mirrored_rows(dataset, tmp_path):
    told = "has sad in other splits, but not in 'train': nothing is there to repeat"
    with pytest.warns(MienWarning, match=told):
        balanced = balance_dataset(dataset, tmp_path / "b.parquet", oversample=True)
    with pytest.warns(MienWarning, match=told):
        again = balance_dataset(balanced, tmp_path / "c.parquet", oversample=True)
    train = balanced.split == "train"
    counts = np.bincount(balanced.label[train], minlength=7)
    assert set(counts[counts > 0].tolist()) == {3}
    assert balanced.splits["validation"] == 2
    assert not any(m for m, t in zip(balanced.column("mirrored"), train, strict=True) if not t)
    for image, row, mirrored, box, points in zip(
        *(balanced.column(name) for name in ("image", "row", "mirrored", "box_xyxy", "landmarks_xy")), strict=True
    ):
        pixels = cv2.imdecode(np.frombuffer(image["bytes"], np.uint8), cv2.IMREAD_UNCHANGED)
        expected = pattern(row)
        assert np.array_equal(pixels, expected[:, ::-1] if mirrored else expected)
        assert box == ([8, 2, 47, 41] if mirrored else [1, 2, 40, 41])
        assert points[0] == ([18, 21] if mirrored else [10, 20]), "the eye on the image's left stays first"
    assert again.column("mirrored") == balanced.column("mirrored"), "nothing to add, and what is known stays"
    mapped = balance_dataset(dataset, tmp_path / "d.parquet", labels="valence3")
    assert "mirrored" not in mapped.info.columns


def test_mirrored_images_are_those_that_were_stored(tmp_path):
    """Sixteen bits, turned by EXIF, transparent, in colour: each as everything else sees it."""
    deep = np.arange(48 * 60, dtype=np.uint16).reshape(48, 60) * 20
    turned = Image.fromarray(pattern(0)[:30])
    exif = Image.Exif()
    exif[0x0112] = 6
    see_through = np.dstack([pattern(1), pattern(2), pattern(3), np.tile(np.uint8([0, 255]), (48, 24))])
    files = [cv2.imencode(".png", deep)[1].tobytes(), b"", cv2.imencode(".png", see_through)[1].tobytes()]
    with io.BytesIO() as jpeg:
        turned.save(jpeg, "jpeg", exif=exif)
        files[1] = jpeg.getvalue()
    info = DatasetInfo(labels=FER7, columns=("mirrored",))
    with DatasetWriter(tmp_path / "a.parquet", info) as writer:
        for data in files:
            writer.write(Row(data, 3, "train", "a.png", mirrored=False))
    once = Dataset(tmp_path / "a.parquet")
    flipped = once.write_rows(tmp_path / "b.parquet", range(3), info, mirror=np.ones(3, np.bool_))
    for before, after in zip(next(once.image_batches()), next(flipped.image_batches()), strict=True):
        assert np.abs(before[:, ::-1].astype(int) - after).max() <= 1
    assert next(once.image_batches())[2][:, 0].tolist() == [255] * 48, "transparent pixels lie over white"


def test_photos_that_are_repeated_are_stored_a_few_at_a_time(tmp_path):
    info = DatasetInfo(labels=FER7)
    with DatasetWriter(tmp_path / "a.parquet", info) as writer:
        for row in range(3):
            writer.write(Row(bytes([row]) * (3 << 19), row, "train", "a.jpg"))
    repeated = Dataset(tmp_path / "a.parquet").write_rows(tmp_path / "b.parquet", [0, 0, 0, 1, 2, 2], info)
    assert np.bincount(repeated.row_groups()).tolist() == [2, 2, 2], "a group is read as a whole"
    assert [data[0] for _, data in repeated.each_encoded(range(6))] == [0, 0, 0, 1, 2, 2]


def test_a_row_group_of_large_pictures_is_small(tmp_path):
    """Faces in random order come from many groups, each of which is read as a whole."""
    info = DatasetInfo(labels=FER7)
    with DatasetWriter(tmp_path / "a.parquet", info) as writer:
        for row in range(100):
            writer.write(Row(bytes([row]) * 100_000, row % 7, "train", "a.jpg"))
    dataset = Dataset(tmp_path / "a.parquet")
    assert np.bincount(dataset.row_groups()).tolist() == [42, 42, 16]
    order = [99, 3, 42, 41]
    assert {row: data[0] for row, data in dataset.encoded(order).items()} == {row: row for row in order}


def test_few_rows_of_many_are_one_group(tmp_path):
    info = DatasetInfo(labels=FER7)
    with DatasetWriter(tmp_path / "a.parquet", info) as writer:
        for row in range(10_000):
            writer.write(Row(b"x", row % 7, "train", "a.csv", row))
    dataset = Dataset(tmp_path / "a.parquet")
    few = dataset.write_rows(tmp_path / "b.parquet", range(0, 10_000, 100), info)
    assert few.row_groups().tolist() == [0] * 100
    assert few.column("row") == list(range(0, 10_000, 100))
    every = dataset.write_rows(tmp_path / "c.parquet", range(10_000), info)
    assert np.bincount(every.row_groups()).tolist() == np.bincount(dataset.row_groups()).tolist()


def test_oversampling_before_anything_is_split_off_is_warned_of(tmp_path):
    flat = make_dataset(tmp_path / "a.parquet", [pattern(i) for i in range(4)], [0, 3, 3, 3], ["train"] * 4)
    with pytest.warns(MienWarning, match="held out of the repeated ones later are repeated too.*split first"):
        assert balance_dataset(flat, tmp_path / "b.parquet", oversample=True).splits == {"train": 6}


@pytest.mark.parametrize("flag", ["oversample", "weights"])
def test_nothing_is_balanced_where_nothing_is_trained_on(tmp_path, flag):
    """A file came out that was the same as before, and nothing said so."""
    splits = ["validation", "validation", "test", "train"]
    held = make_dataset(tmp_path / "a.parquet", [pattern(i) for i in range(4)], [0, 3, 3, 5], splits)
    dest = tmp_path / "b.parquet"
    message = rf"no row in the split 'train', the only one that --{flag} would change; it has train, validation, test"
    with pytest.raises(UsageError, match=message):
        balance_dataset(held, dest, drop=held.labels[5], **{flag: True})
    assert not dest.exists()
    with pytest.warns(MienWarning, match="has angry, happy in other splits, but not in 'train': nothing is there to"):
        balance_dataset(held, dest, **{flag: True})


def test_classes_are_mapped_and_dropped(dataset, tmp_path):
    balanced = balance_dataset(dataset, tmp_path / "b.parquet", labels="valence3", weights=True)
    assert balanced.labels == ("positive", "neutral", "negative")
    assert [balanced.labels[i] for i in balanced.label] == [
        "negative", "negative", "positive", "positive", "positive", "neutral", "positive", "negative",
    ]  # fmt: skip
    weights = np.array(balanced.column("weight"))
    train = balanced.split == "train"
    assert weights[train][balanced.label[train] == 0].sum() == pytest.approx(2)
    dropped = balance_dataset(dataset.path, tmp_path / "c.parquet", drop="disgust")
    assert "disgust" not in dropped.labels
    assert len(dropped) == 8
    assert dropped.info.history[-1]["step"] == "balance"
    two = balance_dataset(dataset, tmp_path / "d.parquet", labels="happy,sad,neutral", drop="sad")
    assert two.labels == ("happy", "neutral"), "two classes are enough"


def test_usage_is_checked(dataset, tmp_path):
    dest = tmp_path / "b.parquet"
    with pytest.raises(UsageError, match="nothing to do"):
        balance_dataset(dataset, dest)
    with pytest.raises(UsageError, match="--drop names joy; expected some of angry"):
        balance_dataset(dataset, dest, drop="joy")
    with pytest.raises(UsageError, match="leaves"):
        balance_dataset(dataset, dest, labels="happy,sad", drop="sad")
    with pytest.raises(UsageError, match="is the dataset itself, which is never changed"):
        balance_dataset(dataset, dataset.path, weights=True)
    assert not dest.exists()
