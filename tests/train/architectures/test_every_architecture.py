"""Every architecture of the registry: builds, learns, is kept, exported and evaluated. On small inputs, to be quick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from mien.evaluate import evaluate_model
from mien.export.checkpoint import export_checkpoint
from mien.train.architectures import FER7_HEAD, FERPLUS_HEAD, build_network, list_architectures, make_spec
from mien.train.checkpoint import load_checkpoint, save_checkpoint
from mien.zoo import find_model
from tests.sets import smooth_faces, write_dataset

CARDS = list_architectures()
NAMES = [*CARDS, "timm:resnet10t"]
SMALL_PX = {"mini_xception": 32, "cnn2": 16, "simple_cnn": 16, "vit_small": 16, "timm:resnet10t": 32}
INT8 = {"cnn2", "cnn4", "mini_xception", "mien-tiny", "mobilenet_v2"}
COLOUR = {"mobilenet_v2", "simple_cnn", "vit_small", "timm:resnet10t"}
FACES = smooth_faces(28)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sets") / "made.parquet"
    return write_dataset(path, FACES, splits=("train", "validation"), votes=True)


@pytest.mark.parametrize("name", NAMES)
def test_it_builds_learns_is_kept_exported_and_evaluated(name: str, dataset: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    card = CARDS.get(name)
    smallest = max(card.min_size_px, 16) if card else 32
    spec = make_spec(
        name,
        (FER7_HEAD, FERPLUS_HEAD),
        size_px=SMALL_PX.get(name, smallest),
        channels="rgb" if name in COLOUR else "gray",
        dropout=0.0,
    )
    network = build_network(spec)
    images = torch.randn(7, spec.in_channels, spec.size_px, spec.size_px)
    wanted = torch.arange(7)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(4):
        fer7, ferplus = network(images)
        loss = cross_entropy(fer7, wanted) + cross_entropy(ferplus, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]

    checkpoint = tmp_path / "net.safetensors"
    save_checkpoint(network.eval(), checkpoint, half=False)
    again = load_checkpoint(checkpoint)
    assert again.spec == spec
    with torch.inference_mode():
        for got, expected in zip(again(images), network(images), strict=True):
            np.testing.assert_array_equal(got.numpy(), expected.numpy())

    precision = "int8" if name in INT8 else "float32"
    out = tmp_path / "net.onnx"
    exported = export_checkpoint(checkpoint, out, dataset, precision=precision, full=False)
    assert exported.scores["torch_to_onnx_max_logit_difference"] < 1e-3
    assert exported.parameters == network.parameter_count
    assert (exported.input.channels, exported.input.size_wh) == (spec.channels, (spec.size_px, spec.size_px))
    assert find_model(out, "expression").card == exported
    found = evaluate_model(out, dataset, ten_views=False, threads=1).to_dict()
    assert found["one_pass"]["accuracy"] == exported.scores["fer7"]["one_pass"]["accuracy"]


@pytest.mark.parametrize("name", CARDS)
def test_the_card_counts_the_parameters(name: str) -> None:
    with torch.device("meta"):  # no memory, no random numbers
        network = build_network(make_spec(name))
    assert network.parameter_count == CARDS[name].parameters
