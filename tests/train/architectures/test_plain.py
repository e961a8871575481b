from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from mien.train.architectures.plain import BlurPool
from mien.train.checkpoint import load_checkpoint, save_checkpoint, start_from
from tests.train.networks import plain_network


def test_a_blur_pool_averages_the_overlapping_maxima() -> None:
    maps = torch.tensor([[1.0, 2.0, 0.0, 1.0], [0.0, 5.0, 0.0, 0.0], [0.0, 0.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    # Maxima of two by two at every place, beginning half outside: 1 2 2 1 / 1 5 5 1 / 0 5 5 3 / 0 0 0 3.
    expected = torch.tensor([[9 / 4, 9 / 4], [5 / 4, 11 / 4]])
    torch.testing.assert_close(BlurPool()(maps[None, None]), expected[None, None])


def test_maps_of_odd_sides_lose_nothing() -> None:
    maps = torch.zeros(1, 1, 3, 5)
    maps[..., 2, 4] = 1.0
    pooled = BlurPool()(maps)
    assert pooled.shape == (1, 1, 2, 3)
    assert pooled[0, 0, 1, 2] > 0.0


def test_the_global_average_changes_less_when_a_face_moves_by_a_pixel() -> None:
    torch.manual_seed(0)
    maps = torch.zeros(8, 16, 24, 24)
    maps[..., 4:20, 4:20] = torch.rand(8, 16, 16, 16)

    def change(pool: nn.Module) -> float:
        here, moved = (pool(given).mean(dim=(2, 3)) for given in (maps, maps.roll(1, dims=-1)))
        return float((here - moved).abs().mean())

    assert change(BlurPool()) < 0.3 * change(nn.MaxPool2d(2))


def test_the_last_stages_have_it() -> None:
    pools = [
        type(layer) for layer in plain_network((4, 4, 8), blur_pools=2).backbone.features if "Pool" in str(type(layer))
    ]
    assert pools == [nn.MaxPool2d, BlurPool, BlurPool]


def test_weights_of_one_kind_of_pool_go_into_the_other(tmp_path: Path) -> None:
    before, after = plain_network(size_px=16), plain_network(size_px=16, blur_pools=1)
    save_checkpoint(before, tmp_path / "before.safetensors", half=False)
    with torch.no_grad():
        for weight in after.parameters():
            weight.zero_()
    start_from(after, tmp_path / "before.safetensors")
    for name, weight in before.state_dict().items():
        assert torch.equal(weight, after.state_dict()[name]), name
    save_checkpoint(after, tmp_path / "after.safetensors", half=False)
    again = load_checkpoint(tmp_path / "after.safetensors")
    assert again.spec.options["blur_pools"] == 1
    images = torch.rand(3, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(again(images)[0], after.eval()(images)[0])
        assert not torch.equal(again(images)[0], before(images)[0])
