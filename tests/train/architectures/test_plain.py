from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mien.errors import ModelError, UsageError
from mien.export.expression import convert
from mien.export.run import run_logits
from mien.train.architectures import ExpressionNetwork, build_network, make_spec
from mien.train.architectures.plain import BlurPool, RepVGGConv
from mien.train.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint, start_from
from mien.train.classifier import TorchClassifier
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


def branched(widths: tuple[int, ...] = (4, 8), convs_per_stage: int = 2, channels: str = "gray") -> ExpressionNetwork:
    """A network with branches whose norms are as after a training: none is like another."""
    network = plain_network(widths, convs_per_stage, size_px=16, repvgg=True, channels=channels)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.3, 2.0)
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values)
    return network


def answers(network: ExpressionNetwork, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network.eval()(images)[0]


@settings(max_examples=20, deadline=None)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    convs=st.integers(1, 3),
    channels=st.sampled_from(["gray", "rgb"]),
)
def test_branches_become_one_convolution_that_answers_alike(widths: tuple[int, ...], convs: int, channels: str) -> None:
    network = branched(widths, convs, channels)
    images = torch.rand(3, network.spec.in_channels, 16, 16, generator=torch.Generator().manual_seed(0))
    before = answers(network, images)
    network.fold()
    plain = plain_network(widths, convs, size_px=16, channels=channels)
    assert network.spec == plain.spec
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }
    torch.testing.assert_close(answers(network, images), before, rtol=1e-4, atol=1e-4)


def test_independent_branches_fold_into_a_norm_that_is_right_while_training_too() -> None:
    """Where the branches see noise and have kernels apart, the one norm has the statistics of their sum."""
    torch.manual_seed(0)
    layer = RepVGGConv(2, 2)
    three, one, same = layer.branches
    with torch.no_grad():
        three.conv.weight[:, :, 1, 1] = 0.0  # nothing that the others read
        one.conv.weight.copy_(torch.tensor([[0.0, 2.0], [-1.0, 0.0]])[..., None, None])
        for branch, scale in zip((three, one, same), (0.5, 1.0, 2.0), strict=True):
            nn.init.constant_(branch.norm.weight, scale)
            nn.init.constant_(branch.norm.bias, scale)
            branch.norm.momentum = None
    noise = 3.0 + torch.randn(16, 2, 64, 64)
    with torch.no_grad():
        expected = layer.train()(noise)
        conv, norm = layer.folded()
        found = norm.train()(conv(noise))
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # at the rim there are zeros
    torch.testing.assert_close(found[inner], expected[inner], rtol=0, atol=0.2)


def test_what_was_trained_with_branches_is_used_without_them(tmp_path: Path) -> None:
    network, plain = branched(), plain_network(size_px=16)
    path = tmp_path / "branched.safetensors"
    save_checkpoint(network, path, half=False)
    assert read_checkpoint(path).spec.options["repvgg"] is True
    loaded = load_checkpoint(path)
    assert loaded.spec == plain.spec
    pixels = torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8)
    expected = answers(network, network.normalise(pixels))
    torch.testing.assert_close(answers(loaded, network.normalise(pixels)), expected, rtol=1e-4, atol=1e-4)
    classifier = TorchClassifier(path)
    assert classifier.card.parameters == plain.parameter_count < network.parameter_count
    np.testing.assert_allclose(classifier.logits(pixels.numpy())["fer7"], expected, rtol=1e-4, atol=1e-4)
    exported, _ = convert(loaded, np.zeros((0, 1, 16, 16), np.uint8), "float32")
    np.testing.assert_allclose(run_logits(exported, pixels.numpy())["fer7"], expected, rtol=1e-3, atol=1e-3)


def test_branches_are_started_from_as_they_are_or_folded_also_into_fewer_channels(tmp_path: Path) -> None:
    network, path = branched(), tmp_path / "branched.safetensors"
    save_checkpoint(network, path, half=False)
    images = torch.rand(3, 1, 16, 16)
    expected = answers(network, images)
    again = build_network(network.spec)
    start_from(again, path)
    assert torch.equal(answers(again, images), expected)
    plain = build_network(plain_network(size_px=16).spec)
    start_from(plain, path)
    torch.testing.assert_close(answers(plain, images), expected, rtol=1e-4, atol=1e-4)
    folded, narrow, of_folded = (
        load_checkpoint(path),
        plain_network((3, 5), size_px=16),
        plain_network((3, 5), size_px=16),
    )
    save_checkpoint(folded, tmp_path / "folded.safetensors", half=False)
    start_from(narrow, path)
    start_from(of_folded, tmp_path / "folded.safetensors")
    assert torch.equal(answers(narrow, images), answers(of_folded, images))


@pytest.mark.parametrize("start", [plain_network(size_px=16), plain_network((6, 10), size_px=16, repvgg=True)])
def test_branches_do_not_start_from_what_has_none_or_others(tmp_path: Path, start: ExpressionNetwork) -> None:
    save_checkpoint(start, tmp_path / "start.safetensors")
    with pytest.raises(
        ModelError, match="that was trained with repvgg, too, or leave the branches out with repvgg=false"
    ):
        start_from(branched(), tmp_path / "start.safetensors")


def test_branches_are_wanted_or_not() -> None:
    with pytest.raises(UsageError, match="expected repvgg to be true or false; got 1"):
        build_network(make_spec("plain", options={"repvgg": 1}))
