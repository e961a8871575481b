from __future__ import annotations

import dataclasses
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mien.classify import take_views
from mien.classify.class_scaling import calibrated
from mien.errors import MienWarning, ModelError, UsageError
from mien.export.expression import ModelDescription, _warn_of_loss, convert, export_expression_model
from mien.export.measure import LabelledFaces
from mien.export.quantize import choose_calibration_images, quantize_int8
from mien.export.run import run_logits
from mien.train.architectures import ExpressionNetwork
from mien.train.checkpoint import save_checkpoint
from mien.zoo.card import ModelCard, TrainingData
from mien.zoo.store import find_model
from tests.train.networks import plain_network

DESCRIPTION = ModelDescription("tiny", "A test.", "none", (TrainingData("noise", "free"),), "pytest")


@pytest.fixture(scope="module")
def network() -> ExpressionNetwork:
    """A net with batch norm statistics and head weights that are not those of a fresh one."""
    net = plain_network((8, 16), 2, size_px=24)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth pictures: noise of 6 x 6 squares."""
    coarse = np.random.default_rng(0).integers(0, 256, (80, 1, 4, 4)).astype(np.uint8)
    return coarse.repeat(6, axis=2).repeat(6, axis=3)


@pytest.fixture(scope="module")
def faces(images: np.ndarray, network: ExpressionNetwork) -> LabelledFaces:
    """Labels that the network itself gives, so that it is mostly right; the first thirty are in training too."""
    with torch.inference_mode():
        logits = network(network.normalise(torch.from_numpy(images)))[0].numpy()
    logits = (logits - logits.mean(axis=0)) / logits.std(axis=0)
    votes = np.random.default_rng(1).multinomial(10, [0.1] * 10, len(images)).astype(np.uint8)
    copies = np.where(np.arange(len(images)) < 30, 0, -1).astype(np.int8)
    return LabelledFaces(images, logits.argmax(axis=1), votes, copies)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_checkpoint_becomes_a_model_that_mien_finds(
    network: ExpressionNetwork, images: np.ndarray, faces: LabelledFaces, tmp_path: Path, precision: str
) -> None:
    save_checkpoint(network, tmp_path / "tiny.safetensors")
    (tmp_path / "out").mkdir()
    card = export_expression_model(
        tmp_path / "tiny.safetensors",
        tmp_path / "out",
        description=DESCRIPTION,
        calibration_images=images[:30],
        faces=faces,
        precision=precision,  # type: ignore[arg-type]
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["tiny.json", "tiny.onnx"]
    stored = find_model(tmp_path / "out" / "tiny.onnx", "expression")
    assert stored.card == ModelCard.read(tmp_path / "out" / "tiny.json") == card
    logits = run_logits(stored.read_weights(), images)
    assert {name: value.shape for name, value in logits.items()} == {"fer7": (80, 7), "ferplus": (80, 10)}
    fer7 = card.scores["fer7"]
    assert fer7["one_pass"]["images_without_training_copies"] == 80 - 30
    assert np.sum(fer7["one_pass"]["confusion"]) == 80
    answers = calibrated(logits["fer7"], card.heads[0]).argmax(axis=1)
    assert fer7["one_pass"]["accuracy"] == pytest.approx((answers == faces.label).mean())
    assert fer7["float32_agreement"] > 0.85
    views = [run_logits(stored.read_weights(), view)["fer7"] for view in take_views(images)]
    seen = [calibrated(view, card.heads[0]).argmax(axis=1) for view in views]
    assert fer7["same_answer"] == {
        "shifted": pytest.approx(np.mean([seen[view] == seen[0] for view in (2, 4, 6, 8)]), abs=1e-5),
        "mirrored": pytest.approx((seen[1] == seen[0]).mean(), abs=1e-5),
        "in_all_ten_views": pytest.approx((np.stack(seen) == seen[0]).all(axis=0).mean(), abs=1e-5),
    }
    for head in (fer7, card.scores["ferplus"]):
        assert head["calibration"]["nll_after"] <= head["calibration"]["nll_before"]
    assert card.precision == precision


def test_the_graph_gives_what_torch_gives(network: ExpressionNetwork, images: np.ndarray) -> None:
    _, reference = convert(network, images, "float32")
    with torch.inference_mode():
        expected = network(network.normalise(torch.from_numpy(images)))
    for (name, got), wanted in zip(run_logits(reference, images).items(), expected, strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), atol=1e-4, err_msg=name)


def test_each_channel_keeps_its_own_normalisation(images: np.ndarray) -> None:
    spec = {"size_px": 24, "channels": "rgb", "mean": (0.485, 0.456, 0.406), "std": (0.1, 0.2, 0.4)}
    network, colour = plain_network((8, 16), 1, **spec), images.reshape(-1, 24, 24)[:60].reshape(20, 3, 24, 24)
    exported, reference = convert(network, colour)
    with torch.inference_mode():
        expected = network(network.normalise(torch.from_numpy(colour)))[0].numpy()
    np.testing.assert_allclose(run_logits(reference, colour)["fer7"], expected, atol=1e-4)
    assert np.corrcoef(run_logits(exported, colour)["fer7"].ravel(), expected.ravel())[0, 1] > 0.99


def test_the_file_is_small_portable_and_the_same_each_time(network: ExpressionNetwork, images: np.ndarray) -> None:
    exported, reference = convert(network, images)
    assert convert(network, images) == (exported, reference)
    model = onnx.load_from_string(exported)
    assert model.ir_version <= 10  # onnxruntime 1.19
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 17}
    operators = [node.op_type for node in model.graph.node]
    assert "BatchNormalization" not in operators
    assert operators.count("Conv") == 4
    tensors = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    weights = [tensor for tensor in tensors if tensor.ndim == 4 and tensor.dtype == np.int8]
    assert len(weights) == 4
    assert max(np.abs(weight.astype(int)).max() for weight in weights) == 64, "seven bits: safe without VNNI"
    for secret in (tempfile.gettempdir().encode(), b"site-packages", str(Path.cwd()).encode()):
        assert secret not in exported + reference


def test_blur_pools_are_computed_in_int8_too(images: np.ndarray) -> None:
    network = plain_network((8, 16), 1, blur_pools=2, size_px=24)
    exported, reference = convert(network, images)
    with torch.inference_mode():
        expected = network(network.normalise(torch.from_numpy(images)))[0].numpy()
    np.testing.assert_allclose(run_logits(reference, images)["fer7"], expected, atol=1e-4)
    assert np.corrcoef(run_logits(exported, images)["fer7"].ravel(), expected.ravel())[0, 1] > 0.99
    graph = onnx.load_from_string(exported).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    pools = [node for node in graph.node if node.op_type == "AveragePool"]
    assert [made_by[pool.input[0]] for pool in pools] == ["DequantizeLinear"] * 2
    assert not [node for node in graph.node if node.op_type in ("Pad", "Slice")], "kernels of their own for no gain"


def test_the_batch_does_not_change_the_answer(network: ExpressionNetwork, images: np.ndarray) -> None:
    exported, _ = convert(network, images)
    one = run_logits(exported, images[:9], batch=1)
    many = run_logits(exported, images[:9], batch=9)
    for name in one:
        np.testing.assert_allclose(one[name], many[name], atol=1e-5)


def test_nothing_leaks_to_the_user(
    network: ExpressionNetwork, images: np.ndarray, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        convert(network, images)
    assert capfd.readouterr() == ("", "")
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert logging.root.manager.disable == 0


@pytest.mark.parametrize("error", [0.1, float("nan")])
def test_a_wrong_conversion_is_noticed_and_nothing_is_written(
    error: float,
    network: ExpressionNetwork,
    images: np.ndarray,
    faces: LabelledFaces,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_checkpoint(network, tmp_path / "tiny.safetensors")
    right = ExpressionNetwork.normalise
    monkeypatch.setattr(ExpressionNetwork, "normalise", lambda self, pixels: right(self, pixels) + error)
    with pytest.raises(ModelError, match="differs from torch"):
        export_expression_model(
            tmp_path / "tiny.safetensors",
            tmp_path,
            description=DESCRIPTION,
            calibration_images=images,
            faces=faces,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_a_loss_of_accuracy_that_is_no_chance_is_warned_of(recwarn: pytest.WarningsRecorder) -> None:
    def share(right: int, of: int) -> np.ndarray:
        return np.arange(of) < right

    _warn_of_loss("mine", share(140, 200), share(139, 200))  # one of two hundred: chance
    _warn_of_loss("mine", share(720, 1000), share(720, 1000))
    _warn_of_loss("mine", share(710, 1000), share(720, 1000))  # better
    _warn_of_loss("mine", share(72_100, 100_000), share(72_000, 100_000))  # no chance, but little
    assert [str(one.message) for one in recwarn] == []
    with pytest.warns(MienWarning, match=r"'mine': int8 loses 1\.00 points .* \(expected at most 0\.30; p 0\.002\)"):
        _warn_of_loss("mine", share(720, 1000), share(710, 1000))


def test_faces_that_are_all_copies_have_no_accuracy_without_them(
    network: ExpressionNetwork, images: np.ndarray, faces: LabelledFaces, tmp_path: Path
) -> None:
    save_checkpoint(network, tmp_path / "tiny.safetensors")
    export_expression_model(
        tmp_path / "tiny.safetensors",
        tmp_path,
        description=DESCRIPTION,
        calibration_images=images,
        faces=dataclasses.replace(faces, copies=np.zeros(80, np.int8)),
    )
    scores = ModelCard.read(tmp_path / "tiny.json").scores["fer7"]["one_pass"]
    assert scores["images_without_training_copies"] == 0
    assert "accuracy_without_training_copies" not in scores


def test_a_dataset_without_votes_leaves_the_second_head_as_it_is(
    network: ExpressionNetwork, images: np.ndarray, faces: LabelledFaces, tmp_path: Path
) -> None:
    save_checkpoint(network, tmp_path / "tiny.safetensors")
    card = export_expression_model(
        tmp_path / "tiny.safetensors",
        tmp_path,
        description=DESCRIPTION,
        calibration_images=images[:30],
        faces=dataclasses.replace(faces, votes=None),
        precision="float32",
    )
    assert card.head("ferplus").temperature == 1
    assert card.scores["ferplus"] == {"images": 0}


def test_images_of_another_size_are_refused(network: ExpressionNetwork, faces: LabelledFaces, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "tiny.safetensors")
    with pytest.raises(UsageError, match=r"calibration images are uint8\(3, 48, 48\); expected uint8 \(N, 1, 24, 24\)"):
        export_expression_model(
            tmp_path / "tiny.safetensors",
            tmp_path,
            description=DESCRIPTION,
            calibration_images=np.zeros((3, 48, 48), np.uint8),
            faces=faces,
        )


def test_calibration_images_are_chosen_the_same_way_each_time(network: ExpressionNetwork) -> None:
    images = np.arange(1000).astype(np.uint8)[:, None, None]
    chosen = choose_calibration_images(images, 10)
    assert chosen[:, 0, 0].tolist() == [int(i) % 256 for i in np.linspace(0, 999, 10).round()]
    assert len(choose_calibration_images(images[:5], 10)) == 5
    with pytest.raises(UsageError, match="at least one"):
        quantize_int8(onnx.ModelProto(), np.zeros((0, 1, 24, 24), np.uint8))
    with pytest.raises(UsageError, match="precision"):
        convert(network, images, "int4")  # type: ignore[arg-type]
