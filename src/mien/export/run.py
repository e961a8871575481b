"""Running an exported model, to hold it against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from mien.errors import ModelError
from mien.train.architectures.spec import INPUT_NAME

__all__ = ["run_logits"]

ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.floating[Any]]


def run_logits(model: bytes, images: ByteArray, *, batch: int = 128) -> dict[str, FloatArray]:
    """Run an exported expression model.

    Parameters
    ----------
    model : bytes
        Content of the ONNX file.
    images : uint8 array of shape (N, C, S, S)
        Faces of the model's size, gray or RGB.
    batch : int
        Faces at a time; fewer where they are larger than 64 px.

    Returns
    -------
    dict of float32 arrays of shape (N, classes)
        Logits of each output, by its name.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"onnxruntime cannot load the exported model: {error}") from error
    batch = max(1, min(batch, batch * 64**2 // images[0, 0].size)) if len(images) else batch
    names = [output.name for output in session.get_outputs()]
    parts = [session.run(names, {INPUT_NAME: images[i : i + batch]}) for i in range(0, len(images), batch)]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}
