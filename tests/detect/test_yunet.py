"""YuNet through the real `cv2.FaceDetectorYN`, with a network of its shape that marks bright spots."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mien.detect import open_detector
from mien.detect.base import ImageArray
from mien.detect.yunet import YUNET_FILE, YuNetDetector, yunet_path
from mien.errors import DownloadError, ModelError, UsageError

onnx = pytest.importorskip("onnx")

# In cells of 8 px, from the corner of the cell that fires: centre and sides of the box, and the five points.
CENTRE_AND_SIDES = (0.5, 0.5, 4.0, 5.0)
POINTS = (-0.5, -0.6, 1.5, -0.4, 0.4, 0.5, -0.3, 1.6, 1.3, 1.7)


def write_spot_network(path: Path) -> None:
    """Write a network with YuNet's inputs and outputs: each white cell of 8 x 8 px is a face."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node("ReduceMean", ["input"], ["gray"], axes=[1], keepdims=1)]
    constants = {
        "bias": np.float32([-230.0]),
        "zero": np.float32([0.0]),
        "box": np.float32([[[*CENTRE_AND_SIDES[:2], *np.log(CENTRE_AND_SIDES[2:])]]]),
        "points": np.float32([[POINTS]]),
    }
    outputs = []
    for stride in (8, 16, 32):
        size = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        nodes += [
            helper.make_node("AveragePool", ["gray"], [f"mean_{stride}"], **size),
            helper.make_node("Reshape", [f"mean_{stride}", "shape"], [f"flat_{stride}"]),
            helper.make_node("Mul", [f"flat_{stride}", "zero"], [f"none_{stride}"]),
            helper.make_node("Add", [f"flat_{stride}", "bias"], [f"bright_{stride}"]),
            helper.make_node("Add", [f"none_{stride}", "box"], [f"bbox_{stride}"]),
            helper.make_node("Add", [f"none_{stride}", "points"], [f"kps_{stride}"]),
        ]
        for name in ("cls", "obj"):
            if stride == 8:
                nodes.append(helper.make_node("Sigmoid", [f"bright_{stride}"], [f"{name}_{stride}"]))
            else:
                nodes.append(helper.make_node("Add", [f"none_{stride}", "zero"], [f"{name}_{stride}"]))
    for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        outputs += [helper.make_tensor_value_info(f"{name}_{s}", kind, [1, None, width]) for s in (8, 16, 32)]
    initializers = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    initializers.append(onnx.numpy_helper.from_array(np.int64([1, -1, 1]), "shape"))
    inputs = [helper.make_tensor_value_info("input", kind, [1, 3, 640, 640])]
    graph = helper.make_graph(nodes, "spots", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    path.write_bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A name that is not ASCII: OpenCV alone could not open it everywhere.
    path = tmp_path_factory.mktemp("yunet") / "spöts.onnx"
    write_spot_network(path)
    return path


def spots(*cells: tuple[int, int]) -> ImageArray:
    """320 x 240 BGR, white in the given cells (column, row) of 8 px."""
    image: ImageArray = np.zeros((240, 320, 3), np.uint8)
    for column, row in cells:
        image[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 255
    return image


def test_boxes_and_landmarks_are_decoded_in_our_order(weights: Path) -> None:
    found = YuNetDetector(weights).detect(spots((20, 10)))
    assert len(found) == 1
    centre = np.float32([20.5, 10.5]) * 8
    half = np.float32([4.0, 5.0]) * 4
    np.testing.assert_allclose(found.box_xyxy[0], [*(centre - half), *(centre + half)], atol=0.01)
    expected = (np.float32(POINTS).reshape(5, 2) + np.float32([20, 10])) * 8
    np.testing.assert_allclose(found.landmarks_xy[0], expected, atol=0.01)
    eye, other_eye, _, mouth, other_mouth = found.landmarks_xy[0, :, 0]
    assert eye < other_eye
    assert mouth < other_mouth
    assert 0.7 <= found.score[0] <= 1


def test_several_faces_and_gray(weights: Path) -> None:
    detector = YuNetDetector(weights)
    image = spots((3, 3), (20, 10), (30, 25))
    assert len(detector.detect(image)) == 3
    np.testing.assert_array_equal(detector.detect(image[..., 0]).box_xyxy, detector.detect(image).box_xyxy)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7, 3), (40, 3000), (900, 1300, 3)])
def test_images_without_a_face(weights: Path, shape: tuple[int, ...]) -> None:
    assert len(YuNetDetector(weights).detect(np.zeros(shape, np.uint8))) == 0


def test_a_large_photo_is_looked_at_smaller(weights: Path) -> None:
    """A white square of 64 px is a patch of small faces in the fine level, and one large face in the coarse one."""
    found = YuNetDetector(weights, min_face_px=20).detect(np.kron(spots((20, 10)), np.ones((8, 8, 1), np.uint8)))
    sizes = (found.box_xyxy[:, 2] - found.box_xyxy[:, 0]).round()
    assert sizes.max() > 100


def test_many_threads_get_what_one_gets(weights: Path) -> None:
    detector = YuNetDetector(weights)
    images = [spots((column, row)) for column in (3, 12, 30) for row in (4, 20)]
    alone = [detector.detect(image).box_xyxy for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = [found.box_xyxy for found in pool.map(detector.detect, images)]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_open_detector_takes_a_path_without_a_card_for_yunet(weights: Path) -> None:
    assert isinstance(open_detector(weights, threads=1, min_face_px=None), YuNetDetector)
    assert isinstance(open_detector(str(weights)), YuNetDetector)


def test_a_gray_spot_is_a_face_where_a_low_score_is_enough(weights: Path) -> None:
    image = (spots((20, 10)) // 255) * np.uint8(229)  # its score lies just below one half
    assert len(open_detector(weights).detect(image)) == 0
    (score,) = open_detector(weights, score_threshold=0.2).detect(image).score
    assert 0.2 <= score < 0.5


@pytest.mark.parametrize("content", [b"", b"no model at all", bytes(range(256)) * 40])
def test_a_file_that_is_no_model_is_refused_quietly(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        YuNetDetector(path)
    assert capfd.readouterr().err == ""


def test_another_model_is_refused(tmp_path: Path) -> None:
    helper = onnx.helper
    shape = [1, 3, 64, 64]
    info = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["output"])], "other", info[:1], info[1:])
    path = tmp_path / "other.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="YuNet"):
        YuNetDetector(path)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file; expected the .onnx file of an exported detector or of YuNet"):
        yunet_path(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        YuNetDetector(tmp_path / "missing.onnx")


@pytest.mark.parametrize("options", [{"min_face_px": -1}, {"score_threshold": 5}, {"score_threshold": 0}])
def test_senseless_options_are_refused(weights: Path, options: dict[str, float]) -> None:
    """A score of more than 1 was taken, and no face ever reached it."""
    with pytest.raises(UsageError, match=next(iter(options))):
        YuNetDetector(weights, **options)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="mien, yunet"):
        open_detector("retinaface")
    with pytest.raises(ModelError, match="unknown detector ''; expected one of mien, yunet"):
        open_detector("")


def test_a_detectors_checkpoint_is_to_be_exported_first(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="is a checkpoint, which must be exported first: .* --data PHOTOS"):
        open_detector(tmp_path / "best.safetensors")


def test_offline_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE_DIR", str(tmp_path))
    nowhere = dataclasses.replace(YUNET_FILE, url="http://127.0.0.1:9/yunet.onnx")
    monkeypatch.setattr("mien.detect.yunet.YUNET_FILE", nowhere)
    with pytest.raises(DownloadError, match="--detector path/to/yunet.onnx"):
        yunet_path("yunet")


def test_what_lies_in_the_cache_is_used_without_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path
) -> None:
    import hashlib

    monkeypatch.setenv("MIEN_CACHE_DIR", str(tmp_path))
    (tmp_path / YUNET_FILE.name).write_bytes(weights.read_bytes())
    known = dataclasses.replace(
        YUNET_FILE, url="http://127.0.0.1:9/", sha256=hashlib.sha256(weights.read_bytes()).hexdigest()
    )
    monkeypatch.setattr("mien.detect.yunet.YUNET_FILE", known)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yunet.json").write_text("{}")  # somebody's: no card of a model of that name
    assert isinstance(open_detector("yunet"), YuNetDetector)
