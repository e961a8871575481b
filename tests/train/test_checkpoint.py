from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from mien.errors import ModelError, UsageError
from mien.train.architectures import ExpressionNetwork
from mien.train.checkpoint import load_checkpoint, save_checkpoint
from tests.train.networks import plain_network


@pytest.fixture
def network() -> ExpressionNetwork:
    return plain_network((4, 8), 1, size_px=16, mean=0.4, std=0.3)


def test_a_network_comes_back_as_it_was(network: ExpressionNetwork, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(network, path, half=False)
    again = load_checkpoint(path)
    assert again.spec == network.spec
    assert not again.training
    images = torch.rand(3, 1, 16, 16)
    with torch.inference_mode():
        for got, wanted in zip(again(images), network(images), strict=True):
            np.testing.assert_array_equal(got.numpy(), wanted.numpy())


def test_half_precision_is_half_the_file_and_nearly_the_same(network: ExpressionNetwork, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "half")
    save_checkpoint(network, tmp_path / "full", half=False)
    again = load_checkpoint(tmp_path / "half")
    assert all(value.dtype == torch.float32 for value in again.parameters())
    for got, wanted in zip(again.parameters(), network.parameters(), strict=True):
        np.testing.assert_allclose(got.detach(), wanted.detach(), atol=1e-3)
    assert (tmp_path / "half").stat().st_size < (tmp_path / "full").stat().st_size


def test_the_same_network_gives_the_same_bytes(network: ExpressionNetwork, tmp_path: Path) -> None:
    contents = set()
    for _ in range(8):
        save_checkpoint(network, tmp_path / "a")
        contents.add((tmp_path / "a").read_bytes())
    assert len(contents) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_weights_that_half_precision_cannot_hold_are_not_written(network: ExpressionNetwork, tmp_path: Path) -> None:
    with torch.no_grad():
        network.heads[0].bias[0] = 1e6
    with pytest.raises(UsageError, match=r"heads\.0\.bias"):
        save_checkpoint(network, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_what_is_no_checkpoint_is_refused(network: ExpressionNetwork, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    with pytest.raises(ModelError, match="cannot read"):
        load_checkpoint(path)
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(ModelError, match="safetensors"):
        load_checkpoint(path)
    save_checkpoint(network, path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError, match="safetensors"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": "4,x"}, "widths"),
        ({"widths": "4,4"}, "do not fit"),
        ({"convs_per_stage": "2"}, "do not fit"),
        ({"input": "3x16x16 colour"}, "input"),
        ({"input": "1x2x2 gray in [0,1], then (x-0.4)/0.3"}, "2 px"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(
    network: ExpressionNetwork, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    metadata = {
        "widths": "4,8",
        "convs_per_stage": "1",
        "input": "1x16x16 gray in [0,1], then (x-0.4)/0.3",
    }
    weights = _old_names(network)
    safetensors.torch.save_file(weights, tmp_path / "a", metadata | change)
    with pytest.raises(ModelError, match=message):
        load_checkpoint(tmp_path / "a")


def test_an_old_file_gives_the_network_that_was_kept(network: ExpressionNetwork, tmp_path: Path) -> None:
    weights = {name: value for name, value in _old_names(network).items() if not name.endswith("_tracked")}
    metadata = {"widths": "4,8", "convs_per_stage": "1", "input": "1x16x16 gray in [0,1], then (x-0.4)/0.3"}
    safetensors.torch.save_file(weights, tmp_path / "a", metadata)
    again = load_checkpoint(tmp_path / "a")
    assert again.spec == network.spec
    images = torch.rand(3, 1, 16, 16)
    with torch.inference_mode():
        for got, wanted in zip(again(images), network(images), strict=True):
            np.testing.assert_array_equal(got.numpy(), wanted.numpy())


def test_nan_weights_are_refused(network: ExpressionNetwork, tmp_path: Path) -> None:
    weights = _old_names(network)
    weights["fer_head.bias"] = torch.full((7,), torch.nan)
    metadata = {"widths": "4,8", "convs_per_stage": "1", "input": "1x16x16 gray in [0,1], then (x-0.4)/0.3"}
    safetensors.torch.save_file(weights, tmp_path / "a", metadata)
    with pytest.raises(ModelError, match="NaN"):
        load_checkpoint(tmp_path / "a")


def _old_names(network: ExpressionNetwork) -> dict[str, torch.Tensor]:
    """The weights by the names of the project's first checkpoints."""
    names = {"backbone.": "", "heads.0.": "fer_head.", "heads.1.": "ferplus_head."}
    weights = {}
    for name, value in network.state_dict().items():
        start = next(prefix for prefix in names if name.startswith(prefix))
        weights[names[start] + name.removeprefix(start)] = value.contiguous()
    return weights
