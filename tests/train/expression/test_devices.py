"""What only a GPU would show: tensors left behind on the CPU, and questions that make the host wait.

Torch can run operations on tensors that have a device and a shape but no values. An operation that mixes devices fails
there as it would on a GPU, and so does one that must see a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mien.train.detector.assign import make_cells
from mien.train.detector.loss import Targets, detector_losses
from mien.train.detector.network import FaceDetectorNetwork
from mien.train.expression import distill
from mien.train.expression import task as expression
from mien.train.options.detector import DetectorLoss
from mien.train.recipe import change_recipe
from mien.train.steplog import StepLog
from mien.train.task import Place
from tests.sets import smooth_faces, write_dataset
from tests.train.expression.test_task import recipe, step
from tests.train.networks import plain_network

EVERYTHING = {
    "crop": 0.2, "invert": 0.1, "blur": 0.3, "low_resolution": 0.3, "noise": 0.1, "cutmix": 1.0, "color_jitter": 0.3,
}  # fmt: skip


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    """A device that is not there. Whoever means it must say so: what is made elsewhere is on the CPU."""
    device = torch.device("cuda", 0)
    with FakeTensorMode():
        try:
            torch.empty(1, device=device)
        except (AssertionError, RuntimeError) as error:
            pytest.skip(f"this torch knows no CUDA: {error}")
        yield device


class NoCopies(TorchDispatchMode):
    """Nothing goes from one device to another: each time, the host and the GPU would wait for each other."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        # Single numbers travel as arguments of a kernel.
        many = [value for value in tree_leaves((args, kwargs, out)) if isinstance(value, torch.Tensor) and value.ndim]
        devices = {value.device.type for value in many}
        if len(devices) > 1:
            raise AssertionError(f"{func} copies from {devices}")
        return out


def on(device: torch.device, make: Callable[..., Any]) -> Callable[..., Any]:
    def made(*args: Any, **kwargs: Any) -> Any:
        with device:
            return make(*args, **kwargs)

    return made


class DrawsNothing:
    """In place of `torch.Generator`, which there is none of without a GPU."""

    def __init__(self, device: torch.device) -> None:
        assert device.type == "cuda"

    def manual_seed(self, seed: int) -> None:
        """Without a generator draws the device's own."""


@pytest.mark.parametrize("see", ["same", "clear"])
def test_no_step_leaves_the_gpu_or_waits_for_it(
    gpu: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, see: str
) -> None:
    data = write_dataset(
        tmp_path / "a.parquet", smooth_faces(120), splits=("train", "train", "validation"), votes=True, leaked=True
    )
    teachers = {"small.safetensors": (12, "rgb"), "large.safetensors": (20, "gray")}
    for name in teachers:
        (tmp_path / name).write_bytes(b"")
    wanted = recipe(
        data,
        model={"channels": "rgb", "dropout": 0.2},
        augment=EVERYTHING,
        loss={"consistency": 0.5, "class_weights": "balanced", "relabel": 0.5, "vote_weighting": 0.5},
        distill={
            "teachers": tuple(tmp_path / name for name in teachers),
            "teacher_ten_views": True,
            "teachers_see": see,
        },
    )
    # Weights cannot be read or moved where tensors have no values: networks are made on the device, and nothing is
    # seen of pixels.
    monkeypatch.setattr(nn.Module, "to", lambda self, *_args, **_kwargs: self)
    monkeypatch.setattr(expression, "build_network", on(gpu, expression.build_network))
    monkeypatch.setattr(expression, "_checksum", lambda masses, images: "")
    monkeypatch.setattr(torch, "Generator", DrawsNothing)

    def teacher(path: Path) -> nn.Module:
        size_px, channels = teachers[path.name]
        return plain_network(size_px=size_px, channels=channels)

    monkeypatch.setattr(distill, "load_checkpoint", on(gpu, teacher))
    task = expression.ExpressionTask(change_recipe(wanted, {"precision": "32"}))
    network = task.setup(Place(gpu))
    log = StepLog(2, gpu)
    task.batch(step(0))  # the first one brings the epoch's order
    with NoCopies():
        losses = task.losses(network, task.batch(step(1)))
        log.add(losses, 0.1)
    assert set(losses) == {"loss", "accuracy", "label_loss", "votes_loss", "teachers_loss", "consistency_loss"}
    assert {value.device.type for value in (log.rows(), *losses.values())} == {"cuda"}


@pytest.mark.parametrize("most", [0, 8])
def test_no_step_of_a_detector_does_either(gpu: torch.device, most: int) -> None:
    network = on(gpu, FaceDetectorNetwork)()
    places = {
        "box_xyxy": (most, 4),
        "landmarks_xy": (most, 5, 2),
        "landmark_weight": (most, 5),
        "ignore_xyxy": (most, 4),
    }
    known = torch.empty(2, most, dtype=torch.bool, device=gpu)
    values = {name: torch.empty(2, *shape, device=gpu) for name, shape in places.items()}
    targets = Targets(torch.empty(2, 1, 64, 64, device=gpu), known=known, **values)
    cells = make_cells(64, 64, gpu)
    with NoCopies():
        losses = detector_losses(network(targets.images), cells, targets, DetectorLoss())
    assert {tensor.device.type for tensor in losses.values()} == {"cuda"}


def test_what_makes_the_host_wait_is_found(gpu: torch.device) -> None:
    with pytest.raises(Exception, match="_local_scalar_dense"):
        float(torch.empty(3, device=gpu).sum())
    with pytest.raises(Exception, match="device"):
        torch.empty(3, device=gpu) + torch.empty(3)
    with NoCopies(), pytest.raises(AssertionError, match="copies from"):
        torch.tensor([0.3, 0.6, 0.1], device=gpu)
