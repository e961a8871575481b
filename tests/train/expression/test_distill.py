from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.nn import functional

from mien.classify import OnnxClassifier, take_views
from mien.errors import ModelError
from mien.export.graph import to_onnx
from mien.train.architectures import FER7_HEAD, FERPLUS_HEAD, HeadSpec
from mien.train.checkpoint import load_checkpoint, save_checkpoint
from mien.train.classifier import TorchClassifier
from mien.train.expression.distill import Teachers, distillation_loss, fitted, teacher_file, ten_views
from mien.train.machine import torch_settings
from mien.train.options import RunOptions
from mien.zoo import find_model
from tests.sets import smooth_faces
from tests.train.networks import plain_network

CPU = torch.device("cpu")
BOTH = (FER7_HEAD, FERPLUS_HEAD)


def pictures(side: int = 16, channels: int = 1) -> torch.Tensor:
    planes = smooth_faces(4 * channels, side_px=side).reshape(4, channels, side, side)
    return torch.from_numpy(planes).float() / 255


def saved(path: Path, seed: int = 0, **spec: object) -> Path:
    network = plain_network(**{"size_px": 16, "heads": BOTH, **spec})  # type: ignore[arg-type]
    torch.manual_seed(seed)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    save_checkpoint(network, path, half=False)
    return path


def test_views_are_those_of_the_evaluation() -> None:
    images = pictures()
    for got, wanted in zip(ten_views(images), take_views(images.numpy()), strict=True):
        np.testing.assert_array_equal(got.numpy(), wanted)


def test_the_ensemble_is_the_mean_of_its_members(tmp_path: Path) -> None:
    paths = [saved(tmp_path / "a", 1), saved(tmp_path / "b", 2)]
    first, second = (Teachers([path], BOTH, CPU)(pictures(), 2.0) for path in paths)
    both = Teachers(paths, BOTH, CPU)(pictures(), 2.0)
    for one, two, mean in zip(first, second, both, strict=True):
        assert one is not None
        assert two is not None
        assert mean is not None
        assert not torch.allclose(one, two, atol=0.01)
        np.testing.assert_allclose(mean.numpy(), ((one + two) / 2).numpy(), atol=1e-6)
        np.testing.assert_allclose(mean.sum(dim=1).numpy(), 1.0, atol=1e-5)


def test_many_teachers_are_all_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch gives up on the ninth version of a function, and all teachers' code is the same function."""
    config = torch._dynamo.config
    limit = config.cache_size_limit
    paths = [saved(tmp_path / str(number), widths=(4 + number,)) for number in range(limit + 1)]
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    torch.compiler.reset()
    with torch_settings(RunOptions(compile="network"), CPU):
        got = Teachers(paths, BOTH, CPU, compiled=True)(pictures(), 2.0)[0]
    wanted = Teachers(paths, BOTH, CPU)(pictures(), 2.0)[0]
    assert got is not None
    assert wanted is not None
    np.testing.assert_allclose(got.numpy(), wanted.numpy(), atol=1e-6)
    assert counter.frame_count == len(paths)
    assert config.cache_size_limit == limit


def test_ten_views_are_averaged(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", 1)
    network = load_checkpoint(path)
    views = ten_views(pictures())
    with torch.no_grad():
        answers = [functional.softmax(network((view - 0.5077) / 0.255)[0] / 2, dim=1) for view in views]
    got = Teachers([path], BOTH, CPU, views=True)(pictures(), 2.0)[0]
    assert got is not None
    np.testing.assert_allclose(got.numpy(), torch.stack(answers).mean(dim=0).numpy(), atol=1e-6)


def test_teachers_of_other_size_and_colour_get_their_own_picture(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", 1, size_px=24, channels="rgb")
    (answer, votes) = Teachers([path], BOTH, CPU)(pictures(), 1.0)
    assert answer is not None
    assert votes is not None
    assert answer.shape == (4, 7)
    large = fitted(pictures(), 24, 3)
    assert large.shape == (4, 3, 24, 24)
    for picture, image in zip(large, pictures(), strict=True):
        wanted = cv2.resize(image[0].numpy(), (24, 24), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        np.testing.assert_allclose(picture[1].numpy(), wanted, atol=1e-4)
    color = pictures(16, 3)
    small = fitted(color, 8, 1)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    wanted = functional.avg_pool2d((color * weights).sum(dim=1, keepdim=True), 2)
    np.testing.assert_allclose(small.numpy(), wanted.numpy(), atol=1e-6)
    # A student of 64 px has teachers of 48: no pixel is one of the new ones alone.
    for picture, image in zip(fitted(pictures(64), 48, 1), pictures(64), strict=True):
        wanted_image = cv2.resize(image[0].numpy(), (48, 48), interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(picture[0].numpy(), wanted_image, atol=1e-5)


def test_heads_are_found_by_their_labels(tmp_path: Path) -> None:
    three = HeadSpec("basic3", ("neutral", "sad", "happy"))
    path = saved(tmp_path / "a", 1)
    network = load_checkpoint(path)
    (got,) = Teachers([path], (three,), CPU)(pictures(), 1.0)
    logits = network((pictures() - 0.5077) / 0.255)[0].detach()
    assert got is not None
    np.testing.assert_allclose(got.numpy(), functional.softmax(logits[:, [6, 4, 3]], dim=1).numpy(), atol=1e-6)
    # One head of one teacher is enough for the second; without any it is left to the votes.
    single = saved(tmp_path / "b", 2, heads=(FER7_HEAD,))
    assert Teachers([single], BOTH, CPU)(pictures(), 1.0)[1] is None
    assert Teachers([single, path], BOTH, CPU)(pictures(), 1.0)[1] is not None


def test_teachers_that_cannot_teach_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", heads=(HeadSpec("two", ("happy", "sad")),))
    with pytest.raises(ModelError, match=r"knows two \(happy, sad\); expected an output with all of angry"):
        Teachers([path], BOTH, CPU)
    with pytest.raises(ModelError, match="cannot read"):
        Teachers([tmp_path / "nothing"], BOTH, CPU)


def test_the_loss_is_nothing_where_the_student_agrees() -> None:
    logits = torch.randn(6, 7, generator=torch.Generator().manual_seed(0))
    answers = functional.softmax(logits / 3.0, dim=1)
    assert distillation_loss(logits, answers, 3.0).item() == pytest.approx(0.0, abs=1e-5)
    other = logits.roll(1, 0)
    wanted = functional.kl_div(functional.log_softmax(other / 3.0, 1), answers, reduction="batchmean") * 9
    assert distillation_loss(other, answers, 3.0).item() == pytest.approx(wanted.item(), rel=1e-5)
    hard = functional.one_hot(torch.arange(6), 7).float()
    assert distillation_loss(logits, hard, 1.0).item() == pytest.approx(
        functional.cross_entropy(logits, torch.arange(6)).item(), rel=1e-5
    )


def test_shipped_models_teach_by_their_names() -> None:
    images = torch.from_numpy(smooth_faces(4).reshape(4, 1, 48, 48))
    stored = find_model("tiny", "expression")
    logits = OnnxClassifier(stored).logits(images.numpy())
    assert teacher_file(Path("tiny")) == stored.weights
    for got, head in zip(Teachers([Path("tiny")], BOTH, CPU)(images.float() / 255, 2.0), BOTH, strict=True):
        assert got is not None
        wanted = functional.softmax(torch.from_numpy(logits[head.output]) / 2.0, dim=1)
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), atol=1e-6)


@pytest.mark.parametrize("channels", ["gray", "rgb"])
def test_an_exported_model_teaches_as_its_checkpoint_does(tmp_path: Path, channels: str) -> None:
    checkpoint, exported = saved(tmp_path / "a", 1, size_px=24, channels=channels), tmp_path / "a.onnx"
    exported.write_bytes(to_onnx(load_checkpoint(checkpoint)).SerializeToString())
    sha256 = hashlib.sha256(exported.read_bytes()).hexdigest()
    replace(TorchClassifier(checkpoint).card, file="a.onnx", sha256=sha256).write(tmp_path / "a.json")
    assert teacher_file(exported) == exported
    shown = (pictures(24, 3 if channels == "rgb" else 1) * 255).round() / 255
    both = [Teachers([path], BOTH, CPU)(shown, 1.0) for path in (checkpoint, exported)]
    for one, other in zip(*both, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-4)


def test_teachers_do_not_learn(tmp_path: Path) -> None:
    teachers = Teachers([saved(tmp_path / "a")], BOTH, CPU)
    answers = teachers(pictures().requires_grad_(), 2.0)[0]
    student = torch.zeros(4, 7, requires_grad=True)
    assert answers is not None
    assert not answers.requires_grad
    distillation_loss(student, answers, 2.0).backward()
    assert student.grad is not None
