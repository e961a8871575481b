from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.errors import UsageError
from mien.labels import FER7
from mien.train.architectures import FER7_HEAD, FERPLUS_HEAD
from mien.train.expression.rows import Rows, open_rows
from mien.train.expression.targets import target_masses
from mien.train.options import DataOptions, LossOptions
from tests.sets import smooth_faces, write_dataset


def made_rows(folder: Path, *, votes: bool) -> Rows:
    path = write_dataset(folder / "a.parquet", smooth_faces(42), splits=("train", "validation"), votes=votes)
    return open_rows(DataOptions(dataset=path), 0)[0]


def test_labels_are_smoothed_and_votes_are_shares(tmp_path: Path) -> None:
    rows = made_rows(tmp_path, votes=True)
    first, second = target_masses(rows, (FER7_HEAD, FERPLUS_HEAD), LossOptions(label_smoothing=0.14))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first.argmax(axis=1), rows.label)
    np.testing.assert_allclose(first.max(axis=1), 0.88, atol=1e-6)
    np.testing.assert_allclose(first.sum(axis=1), 1.0, atol=1e-6)
    assert rows.faces.votes is not None
    np.testing.assert_allclose(second, rows.faces.votes / 10, atol=1e-6)


def test_classes_can_weigh_the_same(tmp_path: Path) -> None:
    rows = made_rows(tmp_path, votes=False)
    kept = np.ones(len(rows), np.bool_)
    kept[np.flatnonzero(rows.label == 0)[1:]] = False
    rows = rows.take(kept, "")
    (balanced,) = target_masses(rows, (FER7_HEAD,), LossOptions(class_weights="balanced"))
    by_class = [balanced[rows.label == index].sum() for index in range(7)]
    np.testing.assert_allclose(by_class, by_class[0], rtol=1e-5)
    (effective,) = target_masses(rows, (FER7_HEAD,), LossOptions(class_weights="effective", effective_beta=0.5))
    row = {name: effective[rows.label == index].sum(axis=1)[0] for index, name in enumerate(FER7)}
    assert 1.0 < row["angry"] / row["happy"] < 3.0


@pytest.mark.parametrize(("relabel", "weighting"), [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_votes_correct_and_weigh_labels(relabel: float, weighting: float, tmp_path: Path) -> None:
    rows = made_rows(tmp_path, votes=True)
    options = LossOptions(label_smoothing=0.0, relabel=relabel, vote_weighting=weighting)
    (mass,) = target_masses(rows, (FER7_HEAD,), options)
    assert rows.faces.votes is not None
    names = [rows.faces.vote_labels.index(name) for name in FER7]
    shares = rows.faces.votes[:, names] / rows.faces.votes[:, names].sum(axis=1, keepdims=True)
    agreement = shares[np.arange(len(rows)), rows.label]
    targets = shares if relabel else np.eye(7)[rows.label]
    np.testing.assert_allclose(mass, targets * (agreement if weighting else np.ones(len(rows)))[:, None], atol=1e-6)


def test_options_that_need_votes_say_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="need annotators' votes"):
        target_masses(made_rows(tmp_path, votes=False), (FER7_HEAD,), LossOptions(relabel=0.5))
