from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from mien.detect import open_detector
from mien.detect.mien import MienDetector
from mien.errors import ModelError, UsageError
from mien.evaluate.detection import evaluate_detector
from mien.evaluate.detection_options import DetectionOptions
from mien.export.detector import export_detector, export_measured, is_detector_checkpoint
from mien.train.checkpoint import read_checkpoint
from mien.train.detector.network import FaceDetectorNetwork, export_view, load_detector, save_detector
from mien.train.detector.validate import detector_of
from mien.train.weights import weights_of
from mien.zoo.card import ModelCard
from mien.zoo.store import StoredModel, find_model
from tests.photos_on_disk import make_photos

CHECKPOINT = Path(__file__).parents[3] / "weights" / "face-detector.safetensors"


@pytest.fixture(scope="module")
def shipped() -> StoredModel:
    return find_model("mien", "detector")


def test_the_checkpoint_gives_what_the_shipped_file_gives(shipped: StoredModel) -> None:
    session = onnxruntime.InferenceSession(shipped.read_weights(), providers=["CPUExecutionProvider"])
    network = load_detector(CHECKPOINT).eval()
    assert network.parameter_count() == shipped.card.parameters
    for shape in ((1, 1, 96, 160), (1, 1, 320, 256)):
        values = np.random.default_rng(0).normal(size=shape).clip(-2, 2).astype(np.float32)
        with torch.no_grad():
            own = export_view(network)(torch.from_numpy(values)).numpy()
        (given,) = session.run(None, {"input": values})
        assert np.abs(own - given).max() < 1e-4


def test_torch_finds_what_the_shipped_detector_finds(shipped: StoredModel, astronaut_bgr: np.ndarray) -> None:
    photo = np.asarray(cv2.resize(astronaut_bgr, (300, 300), interpolation=cv2.INTER_AREA))
    own = detector_of(load_detector(CHECKPOINT).eval(), torch.device("cpu")).detect(photo)
    given = MienDetector(shipped).detect(photo)
    np.testing.assert_allclose(own.box_xyxy, given.box_xyxy, atol=0.01)
    np.testing.assert_allclose(own.landmarks_xy, given.landmarks_xy, atol=0.01)


def test_export_and_run(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    card = export_detector(CHECKPOINT, tmp_path / "mine.onnx", licence="for tests")
    assert (card.kind, card.precision, card.name) == ("detector", "float32", "mine")
    assert (tmp_path / "mine.onnx").stat().st_size < 1_000_000
    found = open_detector(tmp_path / "mine.onnx").detect(astronaut_bgr)
    expected = open_detector("mien").detect(astronaut_bgr)
    np.testing.assert_allclose(found.box_xyxy, expected.box_xyxy, atol=0.05)
    # The same checkpoint makes the same file.
    again = export_detector(CHECKPOINT, tmp_path / "again.onnx")
    assert again.sha256 == card.sha256


def test_int8_still_finds_the_face(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    gray = cv2.cvtColor(astronaut_bgr, cv2.COLOR_BGR2GRAY)
    card = export_detector(CHECKPOINT, tmp_path / "small.onnx", calibration=[gray, gray[:256], gray[:, ::2]])
    assert card.precision == "int8"
    assert (tmp_path / "small.onnx").stat().st_size < 300_000
    found = open_detector(tmp_path / "small.onnx").detect(astronaut_bgr)
    assert len(found) == 1
    assert abs(float(found.box_xyxy[0, 0]) - 177) < 15


def test_the_card_of_an_int8_file_says_what_that_file_finds(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    make_photos(tmp_path / "photos.parquet", astronaut_bgr)
    card = export_measured(CHECKPOINT, tmp_path / "a.onnx", tmp_path / "photos.parquet", precision="int8")
    assert card == ModelCard.read(tmp_path / "a.json")
    exact, found = (
        evaluate_detector(model, tmp_path / "photos.parquet", options=DetectionOptions(conditions=False)).to_dict()
        for model in (CHECKPOINT, tmp_path / "a.onnx")
    )
    assert card.scores["threshold"] == found["threshold"] != exact["threshold"]
    assert card.scores["landmarks"] == found["landmarks"] != exact["landmarks"]


def test_what_is_no_checkpoint_of_a_detector(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no")
    save_file({"stem.c.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    for name, expected in (("none", "cannot read"), ("text", "cannot read"), ("other", "do not fit the face detector")):
        with pytest.raises(ModelError, match=expected):
            load_detector(tmp_path / f"{name}.safetensors")
        assert not is_detector_checkpoint(tmp_path / f"{name}.safetensors")
    assert is_detector_checkpoint(CHECKPOINT)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = FaceDetectorNetwork().eval()
    with torch.no_grad():
        network.get_parameter("o.0.weight")[5, 0] = float("nan")
    with pytest.raises(UsageError, match=r"'o\.0\.weight' is not finite"):
        save_detector(network, tmp_path / "nan.safetensors")
    save_file(weights_of(network), tmp_path / "nan.safetensors")
    with pytest.raises(ModelError, match=r"NaN or infinity: \['o\.0\.weight'\]"):
        export_detector(tmp_path / "nan.safetensors", tmp_path / "nan.onnx")
    # Nor does an export agree with torch where both give NaN.
    monkeypatch.setattr("mien.export.detector.load_detector", lambda path: network)
    with pytest.raises(ModelError, match="differs from torch by nan"):
        export_detector(tmp_path / "nan.safetensors", tmp_path / "nan.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["nan.safetensors"]


def test_save_and_load(tmp_path: Path) -> None:
    network = FaceDetectorNetwork()
    save_detector(network, tmp_path / "new.safetensors", {"epoch": "3"})
    again = load_detector(tmp_path / "new.safetensors")
    with pytest.raises(ModelError, match="of kind 'detector'; expected 'expression'"):
        read_checkpoint(tmp_path / "new.safetensors")
    for (name, before), after in zip(network.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(before, after), name
    # A new network calls next to nothing a face.
    with torch.no_grad():
        scores = export_view(again)(torch.zeros(1, 1, 64, 64))[:, 0]
    assert scores.max() < 0.1


def test_checkpoints_are_evaluated_as_they_are(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    make_photos(tmp_path / "photos.parquet", astronaut_bgr)
    own = DetectionOptions(conditions=False)
    values = evaluate_detector(CHECKPOINT, tmp_path / "photos.parquet", options=own).to_dict()
    assert values["overall"]["iou_0.5"]["recall"] == 1.0
    assert values["as_shipped"] is None
