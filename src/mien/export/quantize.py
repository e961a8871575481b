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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

from mien.data.split import evenly
from mien.errors import ModelError, UsageError
from mien.export.graph import head_name

__all__ = ["CALIBRATION_IMAGES", "choose_calibration_images", "quantize", "quantize_int8"]

CALIBRATION_IMAGES = 512
"""How many images the ranges of int8 numbers are learned from."""

_BATCH = 64
_QUANTIZED_OPERATORS = ["Conv", "Relu", "Clip", "MaxPool", "AveragePool", "Gemm", "MatMul"]


class _Reader(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
    """Inputs of a graph in the form that the quantiser asks for."""

    def __init__(self, name: str, inputs: Iterable[npt.NDArray[Any]]) -> None:
        self._feeds = ({name: values} for values in inputs)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:  # type: ignore[override, unused-ignore]
        return next(self._feeds, None)


def choose_calibration_images(images: npt.NDArray[np.uint8], count: int = CALIBRATION_IMAGES) -> npt.NDArray[np.uint8]:
    """Pick `count` images at equal distances over the whole set; the same set gives the same choice."""
    return np.take(images, evenly(len(images), count), axis=0)


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
    step = max(1, min(_BATCH, _BATCH * 64**2 // calibration_images[0, 0].size))
    batches = (calibration_images[i : i + step] for i in range(0, len(calibration_images), step))
    return quantize(model, batches, _QUANTIZED_OPERATORS, _kept_in_float)


def quantize(
    model: onnx.ModelProto,
    inputs: Iterable[npt.NDArray[Any]],
    operators: list[str],
    kept: Callable[[onnx.ModelProto], list[str]],
) -> onnx.ModelProto:
    """Quantise a float32 graph with one input to int8, in the way that is told above.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs : iterable of arrays
        What sets the ranges: inputs of the graph, at least one.
    operators : list of str
        The kinds of nodes that are quantised.
    kept : callable
        Names the nodes that are not, of the graph that is ready to be quantised.

    Raises
    ------
    ModelError
        If onnxruntime cannot quantise the graph.
    """
    with tempfile.TemporaryDirectory(prefix="mien-export-") as folder, _quiet_logging():
        raw, prepared, quantized = (Path(folder) / name for name in ("float.onnx", "ready.onnx", "int8.onnx"))
        try:
            onnx.save(model, raw)
            quant_pre_process(str(raw), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(quantized),
                _Reader(model.graph.input[0].name, inputs),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=operators,
                nodes_to_exclude=kept(onnx.load(prepared)),
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
