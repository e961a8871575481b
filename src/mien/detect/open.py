"""From a name or a path to a detector."""

from __future__ import annotations

from pathlib import Path

from mien.detect.base import Detector
from mien.detect.mien import MienDetector
from mien.detect.yunet import YuNetDetector, yunet_path
from mien.errors import ModelError
from mien.zoo.store import find_model, list_models

__all__ = ["open_detector"]


def open_detector(
    spec: str | Path, threads: int = 1, min_face_px: float | None = None, score_threshold: float | None = None
) -> Detector:
    """Open a detector.

    Parameters
    ----------
    spec : str or Path
        The name of a shipped detector (``"mien"``); ``"yunet"``, which is fetched once; or the path of an ``.onnx``
        file: with a model card (``.json``) beside it a detector of mien's own kind, else YuNet.
    threads : int
        Threads for one run of the network, from 1 on; YuNet has those of OpenCV (`cv2.setNumThreads`).
    min_face_px : float, optional
        The smallest face to be found, in pixels of the photo, from 1 on; by default 20, and more on large photos.
    score_threshold : float, optional
        Finds below are not reported, between 0 and 1; by default the detector's own, 0.5 for ``"mien"`` and 0.7 for
        ``"yunet"``.

    Raises
    ------
    ModelError
        If there is no such detector or it cannot be loaded.
    DownloadError
        If YuNet has to be fetched and cannot be.
    UsageError
        If `threads`, `min_face_px` or `score_threshold` make no sense.
    """
    shipped = [name for name, model in list_models().items() if model.card.kind == "detector"]
    path = Path(spec)
    is_onnx = path.suffix.lower() == ".onnx"
    # Of a checkpoint it is told there that it is to be exported first.
    is_checkpoint = path.suffix.lower() == ".safetensors" and path.is_file()
    if spec in shipped or is_checkpoint or (is_onnx and path.with_suffix(".json").is_file()):
        return MienDetector(
            find_model(spec, "detector"), threads=threads, min_face_px=min_face_px, score_threshold=score_threshold
        )
    if spec == "yunet" or is_onnx:
        return YuNetDetector(yunet_path(spec), min_face_px=min_face_px, score_threshold=score_threshold)
    names = ", ".join([*shipped, "yunet"])
    raise ModelError(
        f"unknown detector '{spec}'; expected one of {names}, or the path of an .onnx file; "
        "for images that are cropped to the face already, recognition takes 'none'"
    )
