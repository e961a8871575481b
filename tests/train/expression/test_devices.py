"""What only a GPU would show: tensors left behind on the CPU, and questions that make the host wait.

Torch can run operations on tensors that have a device and a shape but no values. An operation that mixes devices fails
there as it would on a GPU, and so does one that must see a value.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mien.train.architectures import build_network, make_spec
from mien.train.detector.assign import make_cells
from mien.train.detector.loss import Targets, detector_losses
from mien.train.detector.network import FaceDetectorNetwork
from mien.train.expression.augment import Augmenter, Draws, nudged
from mien.train.expression.distill import distillation_loss, fitted, ten_views
from mien.train.expression.losses import consistency_loss, mass_loss
from mien.train.options import AugmentOptions
from mien.train.options.detector import DetectorLoss
from mien.train.steplog import StepLog

EVERYTHING = AugmentOptions(crop=0.2, invert=0.1, blur=0.3, low_resolution=0.3, noise=0.1, cutmix=1.0, color_jitter=0.3)
COUNT, SIDE = 8, 48


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    """A device that is not there."""
    device = torch.device("cuda")
    with FakeTensorMode():
        try:
            torch.empty(1, device=device)
        except (AssertionError, RuntimeError) as error:
            pytest.skip(f"this torch knows no CUDA: {error}")
        with device:
            yield device


def test_no_step_leaves_the_gpu_or_waits_for_it(gpu: torch.device) -> None:
    images = torch.empty(COUNT, 3, SIDE, SIDE, dtype=torch.uint8)
    draws = Draws(torch.empty(30, COUNT), torch.empty(2, 2, COUNT), torch.empty(COUNT, 3, SIDE, SIDE))
    targets = (torch.empty(COUNT, 7), torch.empty(COUNT, 10))
    augmenter = Augmenter(EVERYTHING, SIDE, 3, gpu)
    for clear in (False, True):
        pictures, masses = augmenter.changed(images, targets, draws, torch.full((), 0.5), clear=clear)
    network = build_network(make_spec("mien-tiny", size_px=64, channels="gray"))
    logits = network(fitted(torch.cat([pictures, nudged(pictures, torch.empty(4, COUNT))]), 64, 1))
    first, second = logits[0][:COUNT], logits[0][COUNT:]
    log = StepLog(2, gpu)
    log.add({"loss": first.sum()}, 0.1)
    made = [
        network.normalise(fitted(pictures, 64, 1)),
        log.rows(),
        *(view for view in ten_views(pictures)),
        *masses,
        *logits,
        mass_loss(first, masses[0], 2.0),
        distillation_loss(first, masses[0], 2.0),
        consistency_loss(first, second),
    ]
    assert {tensor.device.type for tensor in made} == {"cuda"}


@pytest.mark.parametrize("most", [0, 8])
def test_no_step_of_a_detector_does_either(gpu: torch.device, most: int) -> None:
    network = FaceDetectorNetwork()
    places = {
        "box_xyxy": (most, 4),
        "landmarks_xy": (most, 5, 2),
        "landmark_weight": (most, 5),
        "ignore_xyxy": (most, 4),
    }
    known = torch.empty(2, most, dtype=torch.bool)
    values = {name: torch.empty(2, *shape) for name, shape in places.items()}
    targets = Targets(torch.empty(2, 1, 64, 64), known=known, **values)
    losses = detector_losses(network(targets.images), make_cells(64, 64, gpu), targets, DetectorLoss())
    assert {tensor.device.type for tensor in losses.values()} == {"cuda"}


def test_what_makes_the_host_wait_is_found(gpu: torch.device) -> None:
    with pytest.raises(Exception, match="_local_scalar_dense"):
        float(torch.empty(3).sum())
    with pytest.raises(Exception, match="device"):
        torch.empty(3) + torch.empty(3, device="cpu")
