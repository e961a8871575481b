from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from mien.errors import ModelError, UsageError
from mien.train.architectures import PlainConfig, PlainNet
from mien.train.checkpoint import load_checkpoint, save_checkpoint

TINY = PlainConfig(widths=(4, 8), convs_per_stage=1, size_px=16, mean=0.4, std=0.3)


@pytest.fixture
def network() -> PlainNet:
    torch.manual_seed(0)
    return PlainNet(TINY).eval()


def test_a_network_comes_back_as_it_was(network: PlainNet, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(network, path, half=False)
    again = load_checkpoint(path)
    assert again.config == TINY
    assert not again.training
    images = torch.rand(3, 1, 16, 16)
    with torch.inference_mode():
        for got, wanted in zip(again(images), network(images), strict=True):
            np.testing.assert_array_equal(got.numpy(), wanted.numpy())


def test_half_precision_is_half_the_file_and_nearly_the_same(network: PlainNet, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "half")
    save_checkpoint(network, tmp_path / "full", half=False)
    again = load_checkpoint(tmp_path / "half")
    assert all(value.dtype == torch.float32 for value in again.parameters())
    for got, wanted in zip(again.parameters(), network.parameters(), strict=True):
        np.testing.assert_allclose(got.detach(), wanted.detach(), atol=1e-3)
    assert (tmp_path / "half").stat().st_size < (tmp_path / "full").stat().st_size


def test_the_same_network_gives_the_same_bytes(network: PlainNet, tmp_path: Path) -> None:
    contents = set()
    for _ in range(8):
        save_checkpoint(network, tmp_path / "a")
        contents.add((tmp_path / "a").read_bytes())
    assert len(contents) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_weights_that_half_precision_cannot_hold_are_not_written(network: PlainNet, tmp_path: Path) -> None:
    with torch.no_grad():
        network.fer_head.bias[0] = 1e6
    with pytest.raises(UsageError, match=r"fer_head\.bias"):
        save_checkpoint(network, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_what_is_no_checkpoint_is_refused(network: PlainNet, tmp_path: Path) -> None:
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
    network: PlainNet, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    metadata = {
        "widths": "4,8",
        "convs_per_stage": "1",
        "input": "1x16x16 gray in [0,1], then (x-0.4)/0.3",
    }
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    safetensors.torch.save_file(weights, tmp_path / "a", metadata | change)
    with pytest.raises(ModelError, match=message):
        load_checkpoint(tmp_path / "a")


def test_nan_weights_are_refused(network: PlainNet, tmp_path: Path) -> None:
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    weights["fer_head.bias"] = torch.full((7,), torch.nan)
    metadata = {"widths": "4,8", "convs_per_stage": "1", "input": "1x16x16 gray in [0,1], then (x-0.4)/0.3"}
    safetensors.torch.save_file(weights, tmp_path / "a", metadata)
    with pytest.raises(ModelError, match="NaN"):
        load_checkpoint(tmp_path / "a")


@pytest.mark.parametrize(
    "change",
    [{"widths": ()}, {"widths": (0,)}, {"convs_per_stage": 0}, {"size_px": 3}, {"std": 0}, {"dropout": 1.0}],
)
def test_a_shape_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="plain network"):
        PlainConfig(**({"widths": (4, 8)} | change))  # type: ignore[arg-type]
