"""Maps are large where a model looks, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.classify import OnnxClassifier
from mien.explain.occlusion import GRID, WAYS, _ways, hidden_crops, occlude
from mien.labels import LabelScheme, find_scheme
from mien.zoo import Head, find_model
from tests.explain.models import looking_at
from tests.fakes import FakeClassifier
from tests.sets import smooth_faces

UP = LabelScheme.of(("up", "down"))


def served_by(model: OnnxClassifier | FakeClassifier, scheme: LabelScheme = UP) -> tuple[LabelScheme, Head]:
    return scheme, model.card.head_for(scheme)


def a_crop(seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (1, 48, 48), np.uint8)


def test_a_model_that_looks_at_one_corner_has_its_map_there(tmp_path: Path) -> None:
    model = looking_at(tmp_path, slice(36, 48), slice(0, 12))
    crop = np.full((1, 48, 48), 40, np.uint8)
    crop[:, :12, 36:] = 240
    probability, drop = occlude(model, crop, 48, served_by(model), "up")
    assert probability == pytest.approx(1 / (1 + np.exp(-0.004 * 240)), abs=1e-6)
    assert (drop[:2, 6:] > 0.03).all()
    outside = drop.copy()
    outside[:3, 5:] = 0  # the edges of the squares beside it are soft
    assert np.abs(outside).max() < 0.0005
    assert drop[:2, 6:].sum() > 0.9 * np.abs(drop).sum()


def test_what_speaks_for_one_label_speaks_against_the_other(tmp_path: Path) -> None:
    model = looking_at(tmp_path, slice(0, 24), slice(0, 48))
    up, down = (occlude(model, a_crop(), 48, served_by(model), label) for label in UP.labels)
    assert up[0] + down[0] == pytest.approx(1)
    np.testing.assert_allclose(up[1], -down[1], atol=1e-6)


def test_all_drops_together_are_what_the_whole_crop_is_worth(tmp_path: Path) -> None:
    """Of a model whose answer is nearly the sum of what it sees."""
    model = looking_at(tmp_path, slice(12, 36), slice(24, 48))
    crop = np.full((1, 48, 48), 90, np.uint8)
    crop[:, 24:, 12:36] = 150
    whole, drop = occlude(model, crop, 48, served_by(model), "up")
    nothing, _ = occlude(model, np.full_like(crop, round(crop.mean())), 48, served_by(model), "up")
    assert whole - nothing > 0.02
    assert drop.sum() == pytest.approx(whole - nothing, rel=0.03)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_where_hiding_changes_nothing_the_map_is_empty(value: int) -> None:
    model = OnnxClassifier(find_model("tiny", "expression"))
    crop = np.full((1, 48, 48), value, np.uint8)
    assert all((batch == value).all() for batch in hidden_crops(crop))
    _, drop = occlude(model, crop, 48, served_by(model, find_scheme("fer7")), "happy", rounds=1)
    np.testing.assert_allclose(drop, 0, atol=1e-6)


@settings(max_examples=5)
@given(st.integers(0, 10_000))
def test_a_mirrored_crop_has_the_mirrored_map(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Where the model is symmetric, as two views of it are."""
    model = looking_at(tmp_path_factory.mktemp("model"), slice(0, 20), slice(10, 40))
    crop = a_crop(seed)
    _, drop = occlude(model, crop, 48, served_by(model), "up", views=2)
    _, mirrored = occlude(model, np.ascontiguousarray(crop[..., ::-1]), 48, served_by(model), "up", views=2)
    np.testing.assert_allclose(mirrored, drop[:, ::-1], atol=1e-6)


def test_numbers_and_pixels_give_the_same_map(tmp_path: Path) -> None:
    """For a model that takes normalised numbers, the mean colour is one of numbers."""
    crop = a_crop() // 4
    crop[:, :24, :24] += 150
    maps = []
    for dtype in ("uint8", "float32"):
        model = looking_at(tmp_path, slice(0, 24), slice(0, 24), dtype=dtype)
        given_crop = crop if dtype == "uint8" else ((crop / 255 - 0.5) / 0.25).astype(np.float32)
        assert {batch.dtype for batch in hidden_crops(given_crop)} == {np.dtype(dtype)}
        maps.append(occlude(model, given_crop, 48, served_by(model), "up")[1])
    assert np.abs(maps[0]).max() > 0.002
    np.testing.assert_allclose(maps[1], maps[0], atol=5e-5)


def test_each_square_is_hidden_in_half_of_the_ways_and_as_often_with_each_other() -> None:
    ways = _ways(1)
    assert ways.shape == (WAYS, GRID * GRID)
    signs = 1 - 2 * ways
    np.testing.assert_array_equal(signs.T @ signs, WAYS * np.eye(GRID * GRID))
    # What two squares do together counts for no square.
    pairs = (signs[:, :, None] * signs[:, None, :]).reshape(WAYS, -1)
    assert not (signs.T @ pairs).any()
    mirrored = ways.reshape(-1, GRID, GRID)[:, :, ::-1].reshape(ways.shape)
    assert {row.tobytes() for row in mirrored} == {row.tobytes() for row in ways}
    first, second = np.split(_ways(2), 2)
    assert not (first == second).all()


def test_a_square_is_hidden_where_it_says() -> None:
    crop = np.zeros((3, 48, 48), np.uint8)
    crop[:, :, ::2] = np.array([200, 100, 50])[:, None, None]
    hidden = np.concatenate(list(hidden_crops(crop, 1)))
    assert hidden.shape == (WAYS, 3, 48, 48)
    inner = hidden.reshape(WAYS, 3, GRID, 6, GRID, 6)[:, :, :, 2:4, :, 2:4]
    says_hidden = _ways(1).reshape(WAYS, GRID, GRID)
    for channel, mean in enumerate((100, 50, 25)):
        gray = (inner[:, channel] == mean).all(axis=(2, 4))
        np.testing.assert_array_equal(gray, says_hidden == 1)


def test_calls_are_few_and_batches_small() -> None:
    model = FakeClassifier()
    crop = np.full((1, 8, 8), 35, np.uint8)
    probability, drop = occlude(model, crop, 48, served_by(model, find_scheme("fer7")), "happy")
    assert probability == pytest.approx(1, abs=1e-3)
    assert model.batches == [1] + [32] * 8
    assert drop.shape == (GRID, GRID)
    model.batches.clear()
    occlude(model, crop, 48, served_by(model, find_scheme("fer7")), "happy", views=10, rounds=1)
    assert model.batches == [1] * 10 + [32] * 40


def test_merged_labels_are_explained_as_they_are_read() -> None:
    model = OnnxClassifier(find_model("tiny", "expression"))
    crop = smooth_faces(1)[0][None]
    maps = {}
    for scheme, labels in ((find_scheme("fer7"), ("happy",)), (find_scheme("valence3"), ("positive", "negative"))):
        for label in labels:
            maps[label] = occlude(model, crop, 48, served_by(model, scheme), label, rounds=1)
    assert maps["positive"][0] > maps["happy"][0]  # of what is left without surprise
    assert np.abs(maps["negative"][1]).max() > 0
