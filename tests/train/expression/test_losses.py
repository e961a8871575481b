from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mien.train.expression.losses import (
    chance_loss,
    class_balanced_weights,
    consistency_loss,
    mass_loss,
    one_hot,
    relabelled,
    smoothed,
    vote_agreement,
)

LABEL = np.array([0, 2, 1, 2, 2])


def logits(seed: int = 0) -> torch.Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.9))
def test_on_labels_it_is_torchs_cross_entropy(seed: int, smoothing: float) -> None:
    mass = smoothed(one_hot(LABEL, 3), smoothing)
    wanted = functional.cross_entropy(logits(seed), torch.from_numpy(LABEL), label_smoothing=smoothing)
    np.testing.assert_allclose(mass_loss(logits(seed), tensor(mass)).item(), wanted.item(), atol=1e-5)


def test_weights_count_as_torchs_do() -> None:
    weights = np.array([1.0, 3.0, 0.5])
    mass = one_hot(LABEL, 3) * weights[LABEL][:, None]
    wanted = functional.cross_entropy(logits(), torch.from_numpy(LABEL), weight=tensor(weights))
    np.testing.assert_allclose(mass_loss(logits(), tensor(mass)).item(), wanted.item(), atol=1e-5)


def test_rows_without_mass_do_not_count() -> None:
    mass = one_hot(LABEL, 3)
    mass[1] = 0
    kept = [0, 2, 3, 4]
    np.testing.assert_allclose(
        mass_loss(logits(), tensor(mass)).item(),
        functional.cross_entropy(logits()[kept], torch.from_numpy(LABEL[kept])).item(),
        atol=1e-6,
    )
    assert mass_loss(logits(), torch.zeros(5, 3)).item() == 0.0


def test_focal_loss_forgets_what_is_known() -> None:
    mass = tensor(one_hot(LABEL, 3))
    chosen = functional.softmax(logits(), dim=1)[torch.arange(5), torch.from_numpy(LABEL)]
    wanted = -((1 - chosen) ** 2 * chosen.log()).mean()
    np.testing.assert_allclose(mass_loss(logits(), mass, 2.0).item(), wanted.item(), atol=1e-5)
    sure = 20.0 * mass
    value = mass_loss(sure.requires_grad_(), mass, 2.0)
    value.backward()
    assert bool(torch.isfinite(sure.grad).all())


@pytest.mark.parametrize("focal", [0.0, 2.0])
def test_who_guesses_has_the_loss_of_a_guess(focal: float) -> None:
    mass = tensor(smoothed(one_hot(LABEL, 3), 0.2) * np.arange(1, 6)[:, None])
    assert mass_loss(torch.zeros(5, 3), mass, focal).item() == pytest.approx(chance_loss(3, focal))


def test_effective_numbers_lie_between_none_and_balance() -> None:
    label = np.repeat([0, 1], [1000, 10])
    assert class_balanced_weights(label, 2, 0.0).tolist() == [1.0] * 1010
    some, more = (class_balanced_weights(label, 2, beta) for beta in (0.99, 0.9999))
    assert some.mean() == pytest.approx(1.0)
    assert 1 < some[-1] / some[0] < more[-1] / more[0] < 100
    assert some[-1] / some[0] == pytest.approx((1 - 0.99**1000) / (1 - 0.99**10))


def test_labels_give_way_to_votes_only_where_there_are_some() -> None:
    hard = one_hot(np.array([0, 1]), 2)
    shares, known = np.array([[0.2, 0.8], [0.0, 0.0]]), np.array([True, False])
    np.testing.assert_allclose(relabelled(hard, shares, known, 0.0), hard)
    np.testing.assert_allclose(relabelled(hard, shares, known, 1.0), [[0.2, 0.8], [0, 1]])
    np.testing.assert_allclose(relabelled(hard, shares, known, 0.5), [[0.6, 0.4], [0, 1]])
    np.testing.assert_allclose(vote_agreement(np.array([0, 1]), shares, known), [0.2, 1.0])


def test_equal_answers_are_consistent() -> None:
    assert consistency_loss(logits(), logits() + 3.0).item() == pytest.approx(0.0, abs=1e-6)
    first, second = (functional.log_softmax(logits(seed), dim=1) for seed in (0, 1))
    both = [
        functional.kl_div(a, b, reduction="batchmean", log_target=True) for a, b in ((first, second), (second, first))
    ]
    assert consistency_loss(logits(), logits(1)).item() == pytest.approx(sum(both).item() / 2)
    assert consistency_loss(logits(), logits(1)).item() == pytest.approx(consistency_loss(logits(1), logits()).item())
