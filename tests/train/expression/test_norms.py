from __future__ import annotations

import torch
from torch import nn

from mien.train.expression.norms import renew_norms
from tests.train.networks import plain_network


def test_the_statistics_are_those_of_the_images_and_weights_stay() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.9), nn.Conv2d(3, 2, 1))
    weights = {name: weight.clone() for name, weight in network.named_parameters()}
    torch.manual_seed(0)
    images = torch.rand(40, 1, 5, 5)
    network.train()(images + 3)  # statistics of something else
    renew_norms(network, images.split(10))
    maps = network[0](images).transpose(0, 1).flatten(1)
    norm = network[1]
    torch.testing.assert_close(norm.running_mean, maps.mean(dim=1))
    torch.testing.assert_close(norm.running_var, maps.var(dim=1), rtol=0.02, atol=1e-4)  # means over four batches
    assert all(torch.equal(weight, weights[name]) for name, weight in network.named_parameters())
    assert (norm.momentum, norm.training, network[2].training) == (0.1, False, False)


def test_it_gives_the_same_again_also_for_a_network_that_is_being_trained() -> None:
    network = plain_network(size_px=16).train()
    batches = torch.rand(3, 8, 1, 16, 16)
    renew_norms(network, batches)
    first = {name: value.clone() for name, value in network.state_dict().items()}
    assert not network.training
    renew_norms(network, batches)
    assert all(torch.equal(value, first[name]) for name, value in network.state_dict().items())


def test_a_network_without_norms_stays_as_it_is() -> None:
    network = nn.Linear(2, 2)
    renew_norms(network, [torch.rand(3, 2)])
    assert not network.training
