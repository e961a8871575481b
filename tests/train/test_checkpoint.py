from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from mien.errors import ModelError, OutputError, UsageError
from mien.train.architectures import (
    FER7_HEAD,
    FERPLUS_HEAD,
    ExpressionNetwork,
    HeadSpec,
    build_network,
    make_spec,
)
from mien.train.checkpoint import (
    SPEC_KEY,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    start_from,
)
from mien.train.weights import KIND_KEY
from tests.train.networks import plain_network


@pytest.fixture
def network() -> ExpressionNetwork:
    return plain_network((4, 8), 1, size_px=16, mean=0.4, std=0.3)


def test_a_network_comes_back_as_it_was(network: ExpressionNetwork, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(network, path, half=False)
    again = load_checkpoint(str(path))
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


def test_the_metadata_say_what_it_is_and_what_the_writer_adds(network: ExpressionNetwork, tmp_path: Path) -> None:
    path = tmp_path / "a"
    save_checkpoint(network, path, extra={"mien.epoch": "7"})
    with safe_open(path, "pt") as file:
        assert file.metadata()[KIND_KEY] == "expression"
    found = read_checkpoint(path)
    assert (found.spec, found.extra) == (network.spec, {"mien.epoch": "7"})


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    safetensors.torch.save_file({"stem": torch.zeros(2)}, path, {KIND_KEY: "detector"})
    with pytest.raises(ModelError, match="of kind 'detector'; expected 'expression'"):
        load_checkpoint(path)
    for metadata in ({}, {SPEC_KEY: "{"}, {SPEC_KEY: "[]"}, {SPEC_KEY: '{"architecture": "cnn2"}'}):
        safetensors.torch.save_file({"stem": torch.zeros(2)}, path, metadata)
        with pytest.raises(ModelError, match="no checkpoint of an expression network"):
            load_checkpoint(path)
    spec = json.dumps(make_spec("cnn2").to_dict() | {"architecture": "nothing"})
    safetensors.torch.save_file({"stem": torch.zeros(2)}, path, {SPEC_KEY: spec})
    with pytest.raises(ModelError, match="unknown architecture 'nothing'"):
        load_checkpoint(path)
    spec = json.dumps(make_spec("cnn2").to_dict())
    safetensors.torch.save_file({"stem": torch.zeros(2)}, path, {SPEC_KEY: spec})
    with pytest.raises(ModelError, match=r"missing .*unexpected \['stem'\]"):
        load_checkpoint(path)


def test_large_statistics_survive_half_precision(network: ExpressionNetwork, tmp_path: Path) -> None:
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.fill_(1e6)  # type: ignore[union-attr, operator]
    save_checkpoint(network, tmp_path / "a")
    weights = load_checkpoint(tmp_path / "a").state_dict()
    assert all(value.unique().tolist() == [1e6] for name, value in weights.items() if name.endswith("running_var"))


def test_a_full_disk_leaves_the_old_file(
    network: ExpressionNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    save_checkpoint(network, path)
    before = path.read_bytes()

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(network, path, half=False)
    assert [item.name for item in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == before


def test_another_network_starts_from_a_checkpoint(network: ExpressionNetwork, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "a", half=False)
    mood = HeadSpec("mood", ("good", "bad"))
    other = plain_network((4, 8), 1, size_px=24, heads=(mood, FERPLUS_HEAD))
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(1)
    fresh = other.heads[0].weight.clone()
    assert start_from(other, tmp_path / "a").labels == {"mood": (), "ferplus": FERPLUS_HEAD.labels}
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(other.backbone.state_dict()[name], value)
    assert torch.equal(other.heads[1].weight, network.heads[1].weight)
    assert torch.equal(other.heads[0].weight, fresh)
    for wrong in (plain_network((4, 16), 1), plain_network((4, 8), 1, channels="rgb"), plain_network((4, 8), 2)):
        with pytest.raises(ModelError, match="start from a checkpoint of the same architecture"):
            start_from(wrong, tmp_path / "a")


@pytest.mark.parametrize("architecture", ["plain", "mini_xception"])
def test_labels_of_the_same_name_keep_their_rows(architecture: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = build_network(make_spec(architecture, (FER7_HEAD,), size_px=16))
    save_checkpoint(before, tmp_path / "a", half=False)
    mixed = (HeadSpec("mood", ("sad", "engaged", "happy")), HeadSpec("basic3", ("happy", "sad", "neutral")))
    after = build_network(make_spec(architecture, mixed, size_px=16))
    fresh = [value.clone() for value in after.heads[0].state_dict().values()]
    assert start_from(after, tmp_path / "a").labels == {"mood": ("sad", "happy"), "basic3": ("happy", "sad", "neutral")}
    of = [FER7_HEAD.labels.index(label) for label in ("sad", "happy")]
    for old, new, was in zip(before.heads[0].parameters(), after.heads[0].parameters(), fresh, strict=True):
        assert torch.equal(new[[0, 2]], old[of])
        assert torch.equal(new[1], was[1])
    images = torch.rand(3, 1, 16, 16)
    seven, three = before.eval()(images)[0], after.eval()(images)[1]
    torch.testing.assert_close(three, seven[:, [FER7_HEAD.labels.index(label) for label in mixed[1].labels]])


def test_a_head_on_other_features_starts_anew(tmp_path: Path) -> None:
    """cnn2 has no global average: at another size its heads read more numbers."""
    save_checkpoint(build_network(make_spec("cnn2", size_px=16)), tmp_path / "a", half=False)
    assert start_from(build_network(make_spec("cnn2", size_px=24)), tmp_path / "a").labels == {"fer7": ()}


def test_a_narrower_network_starts_from_the_best_part(network: ExpressionNetwork, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "a", half=False)
    narrow, first = plain_network((3, 5), 1), "backbone.features.0.weight"
    assert len(start_from(narrow, tmp_path / "a").labels) == len(narrow.heads)
    kernels = [kernel.flatten().tolist() for kernel in network.state_dict()[first]]
    assert all(kernel.flatten().tolist() in kernels for kernel in narrow.state_dict()[first])


def _old_names(network: ExpressionNetwork) -> dict[str, torch.Tensor]:
    """The weights by the names of the project's first checkpoints."""
    names = {"backbone.": "", "heads.0.": "fer_head.", "heads.1.": "ferplus_head."}
    weights = {}
    for name, value in network.state_dict().items():
        start = next(prefix for prefix in names if name.startswith(prefix))
        weights[names[start] + name.removeprefix(start)] = value.contiguous()
    return weights
