"""YuNet, the face detector of OpenCV's model zoo, as a choice."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien.detect.base import Detections, ImageArray
from mien.detect.image import check_image, check_options
from mien.detect.pyramid import PyramidSettings, detect_in_levels, face_size_px, plan_levels
from mien.errors import MienError, ModelError
from mien.opencv import as_bgr, quiet_opencv
from mien.zoo.fetch import RemoteFile, fetch

__all__ = ["YUNET_FILE", "YUNET_SETTINGS", "YuNetDetector", "yunet_path"]

YUNET_FILE = RemoteFile(
    url=(
        "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/"
        "face_detection_yunet/face_detection_yunet_2023mar.onnx"
    ),
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    name="face_detection_yunet_2023mar.onnx",
    max_bytes=2_000_000,
    without_network=(
        "Without a network, download it elsewhere and pass the file: --detector path/to/yunet.onnx; "
        "or use the detector that comes with mien: --detector mien"
    ),
)

# YuNet is trained for faces of 10 to 300 px. A picture of the same size takes it longer than the shipped detector, so
# the working sizes are smaller (docs/detector.md tells the times).
YUNET_SETTINGS = PyramidSettings(
    smallest_face_px=16.0,
    largest_face_px=256.0,
    best_face_min_px=32.0,
    best_face_max_px=200.0,
    auto_photo_area_px=450.0 * 450.0,
    auto_max_area_px=1280.0 * 960.0,
)
SCORE_THRESHOLD = 0.7
# See `mien.detect.base.UprightDetector`. The second is reached by 86 % of photos as they stand, by 2 % of those on
# their heads, by none of those on their sides (benchmarks/turned_photos.py).
SURE_SCORE, UPRIGHT_SCORE = 0.85, 0.9
DEFAULT_MIN_FACE_PX = 20.0
MAX_CANDIDATES = 5000


def yunet_path(spec: str | Path) -> Path:
    """Where the weights of YuNet are.

    Parameters
    ----------
    spec : str or Path
        ``"yunet"`` for the file of OpenCV's model zoo, fetched once into `mien.zoo.fetch.cache_dir`; else the path of
        an ``.onnx`` file.

    Raises
    ------
    DownloadError
        If it has to be fetched and cannot be.
    ModelError
        If the path is no file.
    """
    if spec == "yunet":
        return fetch(YUNET_FILE)
    path = Path(spec)
    if not path.is_file():
        raise ModelError(
            f"{path}: no such file; expected the .onnx file of an exported detector or of YuNet, or 'yunet' to fetch "
            "that once"
        )
    return path


class YuNetDetector:
    """Find faces with YuNet, on colour, through `cv2.FaceDetectorYN`.

    The photo is looked at in the working sizes of `mien.detect.pyramid`, since YuNet alone is weak on faces of more
    than 300 px. Safe to call from several threads: each has an instance of its own. How many cores one call uses is
    OpenCV's own setting (`cv2.setNumThreads`).

    Parameters
    ----------
    weights : Path
        YuNet's ``.onnx`` file; see `yunet_path`.
    min_face_px : float, optional
        The smallest face to be found, in pixels of the photo; by default chosen by the photo's size.
    score_threshold : float, optional
        Faces below are not reported; by default `SCORE_THRESHOLD`.

    Raises
    ------
    UsageError
        If `min_face_px` or `score_threshold` makes no sense.
    ModelError
        If the file cannot be read, or is not YuNet.
    """

    wants_gray = False
    sure_score, upright_score = SURE_SCORE, UPRIGHT_SCORE

    def __init__(
        self,
        weights: Path,
        *,
        min_face_px: float | None = None,
        score_threshold: float | None = None,
    ) -> None:
        check_options(min_face_px, score_threshold)
        self._min_face_px = min_face_px
        self._score_threshold = SCORE_THRESHOLD if score_threshold is None else score_threshold
        self._path = weights
        try:
            self._weights = np.frombuffer(weights.read_bytes(), np.uint8)
        except OSError as error:
            raise ModelError(f"{weights}: cannot read YuNet's weights ({error.strerror})") from error
        self._own = threading.local()
        # A wrong file shows itself here and not at the first photo.
        with quiet_opencv():
            self._find(np.zeros((64, 64, 3), np.uint8))

    def detect(self, image: ImageArray) -> Detections:
        """Find the faces of one image, best first.

        Parameters
        ----------
        image : uint8 array of shape (H, W) or (H, W, 3)
            Gray, or colour in OpenCV's order (BGR), of any size.

        Raises
        ------
        UsageError
            If the array is no such image.
        """
        check_image(image)
        return self._search(image, self._min_face_px)

    def glance(self, image: ImageArray) -> bool:
        """Whether a face shows in a small version of a photo: see `mien.detect.base.UprightDetector`."""
        check_image(image)
        return len(self._search(image, None)) > 0

    def _search(self, image: ImageArray, min_face_px: float | None) -> Detections:
        bgr = as_bgr(image)
        levels = plan_levels((bgr.shape[1], bgr.shape[0]), min_face_px, YUNET_SETTINGS)
        found, _ = detect_in_levels(bgr, levels, self._find, YUNET_SETTINGS)
        smallest_px = (min_face_px or DEFAULT_MIN_FACE_PX) * 0.7
        found = found.select(face_size_px(found.box_xyxy) >= smallest_px)
        return found.select(np.argsort(-found.score, kind="stable"))

    def _find(self, bgr: ImageArray) -> Detections:
        height, width = bgr.shape[:2]
        try:
            network = self._network()
            network.setInputSize((width, height))
            _, faces = network.detect(bgr)
        except cv2.error as error:
            raise self._no_yunet(error) from error
        if faces is None:
            return Detections.empty()
        rows = faces[np.isfinite(faces).all(axis=1)].astype(np.float32, copy=False)
        box_xyxy = np.concatenate((rows[:, :2], rows[:, :2] + rows[:, 2:4]), axis=1)
        # YuNet gives the person's right eye and right mouth corner first: on the image's left, as we have them.
        return Detections(box_xyxy, np.clip(rows[:, 14], 0, 1), rows[:, 4:14].reshape(-1, 5, 2).copy())

    def _network(self) -> Any:
        network = getattr(self._own, "network", None)
        if network is None:
            network = cv2.FaceDetectorYN.create(
                "onnx",
                self._weights,
                np.zeros(0, np.uint8),
                (64, 64),
                self._score_threshold,
                YUNET_SETTINGS.iou_threshold,
                MAX_CANDIDATES,
            )
            self._own.network = network
        return network

    def _no_yunet(self, error: Exception) -> MienError:
        reason = " ".join(str(error).split())[:300]
        return ModelError(
            f"{self._path}: OpenCV cannot run it as YuNet ({reason}). Expected {YUNET_FILE.name} of OpenCV's model zoo"
        )
