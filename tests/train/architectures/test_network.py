from __future__ import annotations

import copy

import pytest
import torch

from mien.train.architectures import HeadSpec, build_network, make_spec
from tests.train.networks import plain_network


def test_each_head_gives_its_classes() -> None:
    heads = (HeadSpec("a", ("x", "y", "z")), HeadSpec("b", ("x", "y")), HeadSpec("c", ("p", "q")))
    logits = plain_network(heads=heads)(torch.zeros(5, 1, 48, 48))
    assert [tuple(values.shape) for values in logits] == [(5, 3), (5, 2), (5, 2)]


def test_normalising_is_that_of_the_card() -> None:
    network = plain_network(mean=0.25, std=0.5)
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    assert network.normalise(pixels).flatten().tolist() == [-0.5, 1.5]
    assert network.normalise(pixels / 255).flatten().tolist() == [-0.5, 1.5]  # what training augments
    rgb = plain_network(channels="rgb", mean=(0.0, 0.25, 0.5), std=(1.0, 0.5, 0.25))
    white = torch.full((2, 3, 1, 1), 255, dtype=torch.uint8)
    assert rgb.normalise(white)[0].flatten().tolist() == [1.0, 1.5, 2.0]
    assert not [name for name in rgb.state_dict() if name.startswith("_")]  # checkpoints stay as they were


def test_a_frozen_backbone_stays_as_it_is_while_the_heads_learn() -> None:
    network = plain_network(dropout=0.5)
    network.freeze_backbone()
    network.train()
    assert network.dropout.training
    assert not any(module.training for module in network.backbone.modules())
    before = copy.deepcopy(network.state_dict())
    assert {name.split(".")[0] for name, weight in network.named_parameters() if weight.requires_grad} == {"heads"}
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        sum(logits.square().mean() for logits in network(torch.randn(6, 1, 48, 48))).backward()
        optimizer.step()
    changed = {
        name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"heads"}

    network.freeze_backbone(False)
    assert all(module.training for module in network.backbone.modules())
    assert all(weight.requires_grad for weight in network.parameters())


def test_dropout_is_that_of_the_specification() -> None:
    network = plain_network(dropout=0.9).train()
    network.backbone.eval()
    images = torch.randn(4, 1, 48, 48)
    assert not torch.equal(network(images)[0], network(images)[0])
    network.eval()
    torch.testing.assert_close(network(images)[0], network(images)[0])


def test_a_network_can_be_copied_for_a_moving_average() -> None:
    network = plain_network()
    twin = copy.deepcopy(network)
    assert twin.spec == network.spec
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), network.parameters(), strict=True))


@pytest.mark.parametrize("name", ["mini_xception", "mien-tiny"])
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    def build() -> torch.Tensor:
        torch.manual_seed(3)
        return torch.cat([weight.flatten() for weight in build_network(make_spec(name)).parameters()])

    assert torch.equal(build(), build())
