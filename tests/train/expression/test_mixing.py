from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.train.expression.mixing import Mix, choose_mix, mix_images, mix_targets

COUNT, SIDE = 2000, 16


def drawn(share: float, mixup: float, cutmix: float) -> Mix:
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(4, COUNT, generator=generator)
    alphas = torch.tensor([mixup or 1.0, cutmix or 1.0])[:, None, None].expand(2, 2, COUNT).contiguous()
    gammas = torch._standard_gamma(alphas, generator)
    return choose_mix(uniform, gammas, SIDE, torch.tensor(share), mixup=bool(mixup), cutmix=bool(cutmix))


def test_mixup_keeps_shares_of_a_beta_distribution() -> None:
    mix = drawn(0.7, 0.4, 0.0)
    kept = mix.keep[mix.keep < 1]
    assert 0.65 < len(kept) / COUNT < 0.75
    assert not bool(mix.boxed.any())
    assert float(kept.min()) >= 0.5
    # Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2a + 1)).
    assert float((kept - 0.5).square().mean()) == pytest.approx(1 / (4 * 1.8), abs=0.01)


def test_boxes_by_hand() -> None:
    """A quarter of the image, about its middle in the upper half; and the same, cut off at the border."""
    uniform = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.5, 0.5], [0.25, 0.125]])
    gammas = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[3.0, 1.0], [1.0, 3.0]]])
    mix = choose_mix(uniform, gammas, SIDE, torch.tensor(1.0), mixup=False, cutmix=True)
    assert mix.box_xyxy.tolist() == [[4, 0, 12, 8], [4, 0, 12, 6]]
    assert mix.keep.tolist() == [1 - 64 / 256, 1 - 48 / 256]


def test_both_ways_share_the_images() -> None:
    mix = drawn(0.8, 0.2, 1.0)
    assert 0.35 < float(mix.boxed.float().mean()) < 0.45
    assert 0.35 < float(((mix.keep < 1) & ~mix.boxed).float().mean()) < 0.45


def test_images_and_targets_are_mixed_by_the_same_share() -> None:
    mix = drawn(1.0, 0.5, 1.0)
    # White and black images in turn: an image's mean tells how much it kept.
    images = (torch.arange(COUNT) % 2).float()[:, None, None, None].expand(-1, 1, SIDE, SIDE)
    targets = torch.stack([images[:, 0, 0, 0], 1 - images[:, 0, 0, 0]], dim=1)
    mixed = mix_images(images, mix)
    np.testing.assert_allclose(mixed.mean(dim=(1, 2, 3)).numpy(), mix_targets(targets, mix)[:, 0].numpy(), atol=1e-5)


def test_nothing_is_mixed_at_share_zero() -> None:
    mix = drawn(0.0, 0.5, 1.0)
    images = torch.rand(COUNT, 1, SIDE, SIDE)
    assert torch.equal(mix_images(images, mix), images)
    assert torch.equal(mix.keep, torch.ones(COUNT))


def test_the_partner_is_the_neighbour() -> None:
    images = torch.arange(3.0)[:, None, None, None].expand(-1, 1, 4, 4)
    mix = Mix(torch.tensor([0.5, 1.0, 0.0]), torch.zeros(3, 4), torch.zeros(3, dtype=torch.bool))
    np.testing.assert_allclose(mix_images(images, mix)[:, 0, 0, 0].numpy(), [1.0, 1.0, 1.0])
    boxed = Mix(torch.full((3,), 0.75), torch.tensor([[0.0, 0.0, 2.0, 2.0]]).repeat(3, 1), torch.ones(3).bool())
    np.testing.assert_allclose(mix_images(images, boxed)[2, 0].numpy()[:2], [[1, 1, 2, 2]] * 2)
    np.testing.assert_allclose(mix_images(images, boxed)[2, 0].numpy()[2:], 2.0)
