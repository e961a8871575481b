"""timm's networks: any name, any size, gray or colour, pretrained weights from a file, and clear errors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from mien.errors import DownloadError, ModelError, UsageError
from mien.train.architectures import (
    ArchitectureCard,
    build_network,
    find_architecture,
    list_architectures,
    make_spec,
)
from mien.train.checkpoint import save_checkpoint
from tests.train.networks import plain_network

# The smallest networks that timm has: made for its own tests.
TINY, TINY_VIT = "timm:test_resnet", "timm:test_vit"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as timm's authors publish them: for colour, with a classifier of a thousand classes."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("timm") / "test_resnet.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


def test_the_card_is_made_of_what_timm_tells() -> None:
    card = find_architecture("timm:resnet18").card
    assert (card.size_px, card.channels, card.timm) == (48, "gray", "resnet18")
    assert card.mean == (0.485, 0.456, 0.406)
    assert make_spec("timm:resnet18").mean == pytest.approx(0.449)  # gray
    assert make_spec("timm:resnet18", channels="rgb").std == (0.229, 0.224, 0.225)
    assert find_architecture("timm:vit_tiny_patch16_224").card.mean == 0.5
    assert "apache" in card.licence.lower()
    assert "resnet18." in card.pretrained
    assert find_architecture("timm:vit_tiny_patch16_224").card.size_px == 224


@pytest.mark.parametrize("card", [card for card in list_architectures().values() if card.timm], ids=lambda c: c.name)
def test_our_cards_say_what_timm_says(card: ArchitectureCard) -> None:
    settings: Any = timm.get_pretrained_cfg(card.timm)
    assert settings.has_weights
    assert f"weights: {settings.license}" in card.licence.lower()
    for ours, theirs in ((card.mean, settings.mean), (card.std, settings.std)):
        assert (ours if isinstance(ours, tuple) else (ours,) * 3) == tuple(theirs)


@pytest.mark.parametrize("channels", ["gray", "rgb"])
@pytest.mark.parametrize(("name", "size_px"), [(TINY, 48), (TINY, 33), (TINY_VIT, 48)])
def test_any_size_gray_or_colour(name: str, size_px: int, channels: str) -> None:
    spec = make_spec(name, size_px=size_px, channels=channels, options={"drop_path": 0.1})  # type: ignore[arg-type]
    network = build_network(spec).eval()
    assert network.spec.options == {"drop_path": 0.1}
    (logits,) = network(torch.zeros(2, spec.in_channels, size_px, size_px))
    assert logits.shape == (2, 7)


@pytest.mark.parametrize("channels", ["gray", "rgb"])
def test_pretrained_weights_come_from_a_file(weights: Path, channels: str) -> None:
    spec = make_spec(TINY, size_px=64, channels=channels)  # type: ignore[arg-type]
    network = build_network(spec, pretrained=weights)
    published = safetensors.torch.load_file(weights)
    learned = network.backbone.state_dict()
    first = next(name for name in published if published[name].ndim == 4)
    for name, value in published.items():
        if name == first and channels == "gray":
            torch.testing.assert_close(learned[f"model.{name}"], value.sum(dim=1, keepdim=True))
        elif not name.startswith("fc."):
            torch.testing.assert_close(learned[f"model.{name}"], value)


def test_a_file_of_another_network_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no weights of timm's 'test_vit'"):
        build_network(make_spec(TINY_VIT), pretrained=weights)
    with pytest.raises(ModelError, match="no such file"):
        build_network(make_spec(TINY), pretrained=tmp_path / "none.safetensors")
    more = {**safetensors.torch.load_file(weights), "layer9.0.conv1.weight": torch.zeros(2)}
    safetensors.torch.save_file(more, tmp_path / "deeper.safetensors")
    with pytest.raises(ModelError, match=r"another network than timm's 'test_resnet': it also has layer9\.0"):
        build_network(make_spec(TINY), pretrained=tmp_path / "deeper.safetensors")
    torch.save({"a": torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match="is no safetensors file"):
        build_network(make_spec(TINY), pretrained=tmp_path / "weights.pth")
    save_checkpoint(plain_network(), tmp_path / "best.safetensors")
    with pytest.raises(ModelError, match="is a checkpoint of mien.*--start-from"):
        build_network(make_spec(TINY), pretrained=tmp_path / "best.safetensors")


def test_a_file_serves_where_timm_fetches_another_format(tmp_path: Path) -> None:
    """vit_small's own weights are numpy's; a file of them as safetensors must not go to that reader."""
    name, path = "vit_small_patch16_224", tmp_path / "vit.safetensors"
    assert timm.get_pretrained_cfg(name).custom_load
    published = timm.create_model(name, depth=1)
    safetensors.torch.save_file(published.state_dict(), path)
    with pytest.raises(ModelError, match="or not all: it lacks blocks.1"):
        build_network(make_spec("vit_small"), pretrained=path)


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    told = (
        r"cannot be fetched \([^()]*offline mode is enabled[^()]*\)\. .*give a file of them .*, or train from scratch"
    )
    with pytest.raises(DownloadError, match=told):
        build_network(make_spec("timm:test_resnet.r160_in1k"), pretrained=True)


def test_nobody_waits_a_minute_for_a_network_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(DownloadError, match=r"cannot be fetched \(.*refused\)"):
        build_network(make_spec("timm:test_resnet.r160_in1k"), pretrained=True)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_spec("timm:resnet19x"), "has no network 'resnet19x'; near ones are timm:resnet"),
        (lambda: make_spec("timm:resnet18.nothing"), r"no pretrained weights 'resnet18.nothing'; it has resnet18\."),
        (lambda: make_spec(TINY, options={"drop_pat": 1}), "did you mean 'drop_path'"),
        (lambda: build_network(make_spec("timm:vgg11", size_px=16)), "cannot take faces of 16 px.*larger size_px"),
        (lambda: build_network(make_spec("timm:vgg11", options={"drop_path": 0.1})), "leave the options out"),
        (lambda: build_network(make_spec("timm:test_vit", size_px=0)), "size_px above 0"),
    ],
)
def test_what_cannot_be_is_refused(make, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=message):
        make()


def test_vgg_takes_small_faces_without_its_dense_layers() -> None:
    network = build_network(make_spec("timm:vgg11", size_px=32))
    assert network.parameter_count < 10e6
    assert network.backbone.out_features == 512
