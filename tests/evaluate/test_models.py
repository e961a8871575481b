"""What can be evaluated: exported models, and checkpoints as training leaves them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.classify.calibration import softmax
from mien.errors import ModelError
from mien.evaluate import compare_models, evaluate_model
from mien.evaluate.detection_models import open_measured_detector
from mien.evaluate.models import distinct_names, open_measurable, open_model
from mien.evaluate.page import comparison_page
from mien.train.architectures import HeadSpec
from mien.train.checkpoint import save_checkpoint
from tests.sets import smooth_faces, write_dataset
from tests.train.networks import plain_network

IMAGES = smooth_faces(42, side_px=60)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "best.safetensors"
    save_checkpoint(plain_network(), path, half=False)
    return path


def test_a_checkpoint_says_what_its_network_says(checkpoint: Path, tmp_path: Path) -> None:
    stored, model = open_model(checkpoint, 1)
    gray = np.random.default_rng(0).integers(0, 256, (5, 1, 48, 48)).astype(np.uint8)
    network = plain_network()
    with torch.no_grad():
        wanted = network((torch.from_numpy(gray).float() / 255 - network.spec.mean) / network.spec.std)
    found = model.logits(gray)
    assert list(found) == [head.output for head in network.spec.heads] == [head.output for head in stored.card.heads]
    for logits, one in zip(found.values(), wanted, strict=True):
        np.testing.assert_allclose(logits, one.numpy(), atol=1e-5)
    assert model.logits(gray[:0])["fer7"].shape == (0, 7)
    values = evaluate_model(checkpoint, write_dataset(tmp_path / "a.parquet", IMAGES), threads=1).to_dict()
    assert values["model"]["parameters"] == sum(weight.numel() for weight in network.parameters())
    assert (values["model"]["name"], values["model"]["runs_in"]) == ("best", "torch")
    assert values["calibration"]["temperature_card"] == 1


def test_a_network_of_other_classes_is_measured_on_them(tmp_path: Path) -> None:
    path = tmp_path / "two.safetensors"
    save_checkpoint(plain_network(heads=(HeadSpec("mood", ("awake", "tired")),), channels="rgb"), path)
    faces = write_dataset(tmp_path / "faces.parquet", IMAGES[:8], labels=("awake", "tired"))
    values = evaluate_model(path, faces, threads=1).to_dict()
    assert values["data"]["classes"] == ["awake", "tired"]
    confidence = softmax(open_model(path, 1)[1].logits(np.zeros((1, 3, 48, 48), np.uint8))["mood"]).max()
    assert 0.5 <= confidence <= 1


def test_checkpoints_stand_beside_exported_models(checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    twin = other / "best.safetensors"
    twin.write_bytes(checkpoint.read_bytes())
    data = write_dataset(tmp_path / "a.parquet", IMAGES)
    comparison = compare_models(["small", checkpoint, twin], data, timed_faces=2, threads=2)
    values = comparison.to_dict()
    assert [row["name"] for row in values["models"]] == ["small", checkpoint.parent.name, "other"]
    assert all(row["ms_a_face"]["median"] > 0 for row in values["models"])
    assert values["models"][1]["scores"] == values["models"][2]["scores"]
    assert "checkpoints run in torch" in comparison_page(comparison)


def test_models_of_one_name_are_told_apart() -> None:
    named = {
        "runs/a/best.safetensors": "a", "runs/b/best.safetensors": "b", "best/one.onnx": "one.onnx",
        "x/c/last.safetensors": "x/c/last.safetensors", "y/c/last.safetensors": "y/c/last.safetensors",
        "base.onnx": "base",
    }  # fmt: skip
    files = [Path(name) for name in named]
    assert distinct_names(["best", "best", "best", "last", "last", "base"], files) == list(named.values())


def test_a_shipped_model_is_meant_also_beside_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder around a clone of mien, 'mien' was that folder, and no detector."""
    for name in ("tiny", "mien"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_measurable("tiny", 1).name == "tiny"
    assert open_measured_detector("mien", 1, None).facts["name"] == "mien"
    for model in ("./tiny", Path("tiny").resolve()):
        with pytest.raises(ModelError, match="holds no run; expected a model, or a folder with runs"):
            open_measurable(model, 1)
    with pytest.raises(ModelError, match="is a folder; expected a detector"):
        open_measured_detector("./mien", 1, None)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        open_model(tmp_path / "none.safetensors", 1)
    (tmp_path / "torn.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=r"torn\.safetensors"):
        open_model(tmp_path / "torn.safetensors", 1)
    save_checkpoint(plain_network(), tmp_path / "fine.safetensors")
    content = (tmp_path / "fine.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(content[:-100])
    with pytest.raises(ModelError, match=r"half\.safetensors"):
        open_model(tmp_path / "half.safetensors", 1)


def test_checkpoints_need_the_extra_and_exported_models_do_not(checkpoint: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "a.parquet", IMAGES[:7])
    script = "import sys; sys.modules['torch'] = None; from mien.cli import main; main()"
    for model, code, error in ((checkpoint, 2, "mien[train]"), ("small", 0, "")):
        done = subprocess.run(
            [sys.executable, "-c", script, "evaluate", model, "--data", data, "--no-ten-views"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert error in done.stderr
