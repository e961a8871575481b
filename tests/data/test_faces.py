from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.data.faces import find_training, open_faces, open_training
from mien.errors import InputError, UsageError
from mien.labels import FER7
from tests.sets import smooth_faces, write_class_folders, write_dataset, write_huggingface

IMAGES = smooth_faces(21)


@pytest.mark.parametrize("form", ["mien", "huggingface", "folders"])
def test_every_form_gives_the_same_faces(form: str, tmp_path: Path) -> None:
    if form == "mien":
        path = write_dataset(tmp_path / "a.parquet", IMAGES)
    elif form == "huggingface":
        path = write_huggingface(tmp_path / "a.parquet", IMAGES)
    else:
        path = write_class_folders(tmp_path / "a", IMAGES)
    faces = open_faces(path)
    assert (len(faces), set(faces.labels)) == (21, set(FER7))
    found = {
        faces.labels[label] + image.tobytes().hex()
        for label, image in zip(faces.label, faces.images(np.arange(21)), strict=True)
    }
    assert found == {FER7[i % 7] + image.tobytes().hex() for i, image in enumerate(IMAGES)}
    assert faces.leaked is None
    assert faces.images(np.array([0]), color=True)[0].shape == (48, 48, 3)
    kept = faces.take(np.arange(21) % 2 == 1)
    np.testing.assert_array_equal(kept.images(np.array([3]))[0], faces.images(np.array([7]))[0])
    assert kept.names(np.array([3])) == faces.names(np.array([7]))


def test_a_split_is_chosen_or_asked_for(tmp_path: Path) -> None:
    three = write_dataset(tmp_path / "three.parquet", IMAGES, splits=("train", "validation", "test"))
    with pytest.raises(UsageError, match=r"several splits: train \(7 rows\), validation \(7 rows\), test.*--split"):
        open_faces(three)
    assert open_faces(three, "PublicTest").split == "validation"
    with pytest.raises(UsageError, match=r"no split 'holdout'; it has train \(7 rows\)"):
        open_faces(three, "holdout")
    assert open_training(three).split == "train"
    two = write_dataset(tmp_path / "two.parquet", IMAGES, splits=("train", "test"))
    assert (open_faces(two).split, len(open_faces(two))) == ("test", 10)
    other = write_dataset(tmp_path / "other.parquet", IMAGES, splits=("validation", "test"))
    with pytest.raises(UsageError, match="no split 'train'"):
        open_training(other)


def test_training_faces_are_those_that_are_named_or_the_split_beside(tmp_path: Path) -> None:
    two = write_dataset(tmp_path / "two.parquet", IMAGES, splits=("train", "test"))
    other = write_dataset(tmp_path / "other.parquet", IMAGES, splits=("validation", "test"))
    beside, named, given = (
        find_training(None, two, "test"),
        find_training(two, other, "test"),
        open_faces(other, "test"),
    )
    assert beside is not None
    assert named is not None
    assert (beside.split, named.source) == ("train", str(two))
    assert find_training(given, two, "test") is given
    assert find_training(None, two, "train") is None, "it is what is measured"
    assert find_training(None, other, "test") is None
    with pytest.raises(UsageError, match="no split 'train'"):
        find_training(other, two, "test")


def test_an_empty_dataset_is_refused(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "none.parquet", IMAGES[:0])
    with pytest.raises(InputError, match="has no rows"):
        open_faces(path)


@pytest.mark.parametrize("keep", [4, 200, 2000, -1])
def test_a_damaged_file_is_an_error_of_ours(keep: int, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "a.parquet", IMAGES)
    whole = path.read_bytes()
    if keep < 0:  # the pages of images are overwritten, the footer is whole
        path.write_bytes(whole[:8] + bytes(4000) + whole[4008:])
    else:
        path.write_bytes(whole[:keep])
    with pytest.raises(InputError, match=r"a\.parquet"):
        open_faces(path).images(np.arange(21))


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    path = write_class_folders(tmp_path / "a", IMAGES)
    (path / "happy" / "003.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"003\.png"):
        open_faces(path).images(np.arange(21))


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_faces(tmp_path / "nothing.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(InputError, match="not recognised"):
        open_faces(tmp_path / "text.parquet")
