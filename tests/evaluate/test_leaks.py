"""Faces that are in the training set too, and what they do to a score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.data.faces import open_faces, open_training
from mien.errors import UsageError
from mien.evaluate import EvaluateOptions
from mien.evaluate import leaks as leaks_module
from mien.evaluate.leaks import leak_scores, mark_leaks
from tests.data.test_copies import picture, recompressed
from tests.sets import write_dataset

IMAGES = np.stack([picture(seed) for seed in range(21)])


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exact copies of rows 0 to 3, a near copy of 4, a mirrored one of 5, and others."""
    images = [*IMAGES[:4], recompressed(IMAGES[4]), recompressed(IMAGES[5][:, ::-1])]
    images += [picture(seed) for seed in range(100, 300)]
    return write_dataset(tmp_path_factory.mktemp("sets") / "train.parquet", np.stack(images), splits=("train",))


def test_all_kinds_of_copies_are_found_and_exact_ones_known(training: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "a.parquet", IMAGES)
    faces = mark_leaks(open_faces(data), data, training)
    assert np.flatnonzero(faces.leaked).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(faces.leaked_exactly).tolist() == [0, 1, 2, 3]
    assert "train.parquet (train)" in faces.leaked_by
    right = np.arange(21) % 2 == 0
    found = leak_scores(faces, {"one_pass": right})
    assert found is not None
    assert {part: found[part]["images"] for part in leaks_module.LEAK_PARTS} == {
        "without_exact_copies": 17,
        "without_leaks": 15,
        "leaked_only": 6,
    }
    assert found["without_leaks"]["one_pass"]["accuracy"] == pytest.approx(right[6:].mean(), abs=1e-5)
    part = faces.take(np.arange(21) >= 3)
    assert (part.leaked.sum(), part.leaked_exactly.sum()) == (3, 1)


def test_a_column_of_leaks_counts_beside_what_is_found(training: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "b.parquet", IMAGES, leaked=True)
    marked = open_faces(data)
    assert marked.leaked.sum() == 7
    assert marked.leaked_exactly is None
    assert "without_exact_copies" not in leak_scores(marked, {"one_pass": marked.leaked})
    both = mark_leaks(marked, data, open_training(training))  # the rest of what these rows were held out of, say
    assert both.leaked.sum() == 11  # rows 0 and 3 were marked already
    assert "and exact, near" in both.leaked_by
    # The column tells of this dataset's own training split, not of another dataset.
    elsewhere = mark_leaks(marked, data, training)
    assert np.flatnonzero(elsewhere.leaked).tolist() == [0, 1, 2, 3, 4, 5]
    assert elsewhere.leaked_by.startswith("exact, near")
    assert mark_leaks(marked, data, data).leaked.all()  # itself: what the column says counts, and what is found


def test_the_training_split_beside_is_searched_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.concatenate([IMAGES[:8], IMAGES[:1]])
    both = write_dataset(tmp_path / "c.parquet", images, splits=("train", "validation"))
    faces = mark_leaks(open_faces(both), both, None)  # rows 1, 3, 5, 7; row 8, the copy of row 0, is for training
    assert faces.leaked.tolist() == [False] * 4
    both = write_dataset(tmp_path / "d.parquet", images[[0, 8, 1, 2]], splits=("train", "validation"))
    assert mark_leaks(open_faces(both), both, None).leaked_exactly.tolist() == [True, False]
    assert mark_leaks(open_faces(both, "train"), both, None).leaked is None  # a split is no leak of itself
    held_out = write_dataset(tmp_path / "e.parquet", images, splits=("test", "validation"))
    assert mark_leaks(open_faces(held_out, "test"), held_out, None).leaked is None
    monkeypatch.setattr(leaks_module, "MOST_SEARCHED", 1)
    assert mark_leaks(open_faces(both), both, None).leaked is None
    assert mark_leaks(open_faces(both), both, open_faces(both, "train")).leaked is None
    assert mark_leaks(open_faces(both), both, both).leaked is not None  # asked for: however many


def test_looking_and_not_looking_at_once_makes_no_sense() -> None:
    with pytest.raises(UsageError, match="leaks is off"):
        EvaluateOptions(training=Path("train.parquet"), leaks=False)


def test_groups_by_nothing_make_no_sense() -> None:
    with pytest.raises(UsageError, match=r"by is ' ,'; expected names of attributes, such as gender,age"):
        EvaluateOptions(by=" ,")


def test_the_794_leaks_of_fer2013(fer2013_dir: Path) -> None:
    faces = mark_leaks(open_faces(fer2013_dir), fer2013_dir, None)
    assert (faces.leaked.sum(), faces.leaked_exactly.sum()) == (794, 280)
