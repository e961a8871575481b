"""Float ONNX to int8 ONNX: static, with quantise/dequantise pairs (QDQ), one scale a channel.

What was chosen, and why (tried with `small` and `base` on a machine with AVX-512 VNNI, on PublicTest):

- Activations uint8, weights int8. After a ReLU no negative number is left, so that uint8 uses all 256 steps, and the
  x86 instructions multiply uint8 by int8. int8 activations took the same time and gave the same numbers;
  uint8 weights took three times as long.
- Weights in seven bits (``reduce_range``). Processors without VNNI (before Ice Lake and Zen 4) add two products into
  16 bits and clip the sum: 2 x 255 x 127 does not fit, 2 x 255 x 64 does. With eight bits a model would be right on
  one machine and wrong on the next; seven cost neither time nor top-1.
- Ranges by minimum and maximum. Percentiles (99.99) moved the logits twice as far from the float ones.
- The heads stay in float32: two small matrices, no time, and exact logits for the calibration. So do products of two
  activations (attention), whose ranges a few hundred images do not tell.
- The quantiser's pre-processing (constant folding, shape inference) runs first; its symbolic half is not needed for
  these graphs.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from mien.errors import ModelError, UsageError
from mien.export.graph import head_name
from mien.train.architectures.spec import INPUT_NAME

__all__ = ["choose_calibration_images", "choose_calibration_rows", "quantize_int8"]

_BATCH = 64
_QUANTIZED_OPERATORS = ["Conv", "Relu", "Clip", "MaxPool", "AveragePool", "Gemm", "MatMul"]


class _Batches(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
    """Calibration images in the form that the quantiser asks for."""

    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        step = max(1, min(_BATCH, _BATCH * 64**2 // images[0, 0].size))
        self._batches = (images[i : i + step] for i in range(0, len(images), step))

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:  # type: ignore[override, unused-ignore]
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}


def choose_calibration_rows(total: int, count: int = 512) -> npt.NDArray[np.intp]:
    """Pick `count` of `total` rows at equal distances; the same number gives the same choice."""
    if total <= count:
        return np.arange(total, dtype=np.intp)
    return np.linspace(0, total - 1, count).round().astype(np.intp)


def choose_calibration_images(images: npt.NDArray[np.uint8], count: int = 512) -> npt.NDArray[np.uint8]:
    """Pick `count` images at equal distances over the whole set; the same set gives the same choice."""
    return np.take(images, choose_calibration_rows(len(images), count), axis=0)


def quantize_int8(model: onnx.ModelProto, calibration_images: npt.NDArray[np.uint8]) -> onnx.ModelProto:
    """Quantise the convolutions and dense layers of a float32 graph to int8, but not the heads.

    Parameters
    ----------
    model : onnx.ModelProto
        As made by `mien.export.graph.to_onnx`.
    calibration_images : uint8 array of shape (N, C, S, S)
        Images like those that the model will see; a few hundred. Every one of them is used.

    Returns
    -------
    onnx.ModelProto
        The same inputs and outputs.

    Raises
    ------
    UsageError
        If there is no calibration image.
    ModelError
        If onnxruntime cannot quantise the graph.
    """
    if calibration_images.ndim != 4 or not len(calibration_images) or calibration_images.dtype != np.uint8:
        raise UsageError(
            f"calibration images are {calibration_images.dtype}{calibration_images.shape}; "
            "expected uint8 (N, C, S, S) with at least one image"
        )
    with tempfile.TemporaryDirectory(prefix="mien-export-") as folder, _quiet_logging():
        raw, prepared, quantized = (Path(folder) / name for name in ("float.onnx", "ready.onnx", "int8.onnx"))
        onnx.save(model, raw)
        try:
            quant_pre_process(str(raw), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(quantized),
                _Batches(calibration_images),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_QUANTIZED_OPERATORS,
                nodes_to_exclude=_kept_in_float(onnx.load(prepared)),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
        except Exception as error:
            raise ModelError(f"onnxruntime cannot quantise the graph: {error}") from error
        return onnx.load(quantized)


def _kept_in_float(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that are part of a head, or that multiply activations with activations."""
    graph = model.graph
    constant = {tensor.name for tensor in graph.initializer}
    constant |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    heads = tuple(f"/network/{head_name(output.name)}/" for output in graph.output)
    kept = [node.name for node in graph.node if node.name.startswith(heads)]
    return kept + [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] not in constant]


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Keep the quantiser's advice, which it gives on the root logger, from our user."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
