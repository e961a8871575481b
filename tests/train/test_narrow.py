from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.train.architectures import FER7_HEAD, FERPLUS_HEAD, build_network, make_spec
from mien.train.narrow import can_narrow, narrowed
from tests.train.networks import plain_network

HEADS = (FER7_HEAD, FERPLUS_HEAD)


@pytest.mark.parametrize("silent", [True, False])
def test_channels_that_say_nothing_go_first(silent: bool) -> None:
    """A network in which two channels of every layer are silent, or not listened to, answers as before without them."""
    wide = plain_network((6, 10), 2, size_px=16, heads=HEADS)
    for module in wide.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            if silent:
                with torch.no_grad():
                    module.weight[[1, 4]] = module.bias[[1, 4]] = 0.0
        elif isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)) and module.weight.shape[1] > 1 and not silent:
            with torch.no_grad():
                module.weight[:, [1, 4]] = 0.0
    narrow = build_network(make_spec("plain", HEADS, options={"widths": (4, 8), "convs_per_stage": 2}, size_px=16))
    assert can_narrow(wide.spec, narrow.spec)
    narrow.load_state_dict(narrowed(wide.state_dict(), narrow.spec))
    images = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for one, other in zip(wide(images), narrow.eval()(images), strict=True):
            np.testing.assert_allclose(other.numpy(), one.numpy(), atol=1e-5)


def test_only_narrower_networks_of_as_many_layers_are_cut_out() -> None:
    wide = plain_network((6, 10), 2, size_px=16).spec
    assert not can_narrow(wide, wide)
    for widths, convs in (((4, 12), 2), ((4, 8, 8), 2), ((4, 8), 1)):
        options = {"widths": widths, "convs_per_stage": convs}
        assert not can_narrow(wide, make_spec("plain", HEADS, options=options, size_px=16))
    assert not can_narrow(wide, make_spec("cnn2", HEADS))
    assert not can_narrow(make_spec("cnn2", HEADS), wide)
