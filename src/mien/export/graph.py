"""torch to ONNX: float32 graphs; that of an expression model has uint8 pixels in and named logits out."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from mien.errors import ModelError
from mien.train.architectures import ExpressionNetwork
from mien.train.architectures.spec import INPUT_NAME

__all__ = ["canonical_bytes", "head_name", "to_onnx", "trace"]

# Both are old enough for onnxruntime 1.19 and hold everything that quantisation per channel needs.
OPSET, IR_VERSION = 17, 8


class _FromPixels(nn.Module):
    """A network with its normalisation in front: uint8 pixels in."""

    def __init__(self, network: ExpressionNetwork) -> None:
        super().__init__()
        self.network = network
        mean, std = network.spec.input_spec().mean_and_std
        self.shift, self.scale = _constant(255 * mean), _constant(1 / (255 * std))

    def forward(self, image: torch.Tensor) -> object:
        return self.network((image.float() - self.shift) * self.scale)


def _constant(values: npt.NDArray[np.float64]) -> float | torch.Tensor:
    return float(values.item()) if values.size == 1 else torch.from_numpy(values).float()


def to_onnx(network: ExpressionNetwork) -> onnx.ModelProto:
    """Convert a network to a float32 ONNX graph, with batch norm folded into the convolutions.

    Parameters
    ----------
    network : ExpressionNetwork
        It is switched to evaluation mode. Its normalisation becomes part of the graph.

    Returns
    -------
    onnx.ModelProto
        Input `image`, uint8 of shape (N, channels, size_px, size_px), N free; outputs of shape (N, classes), by the
        names of the heads. The same network gives the same bytes.

    Raises
    ------
    ModelError
        If torch cannot convert the network.
    """
    spec = network.spec
    outputs = [head.output for head in spec.heads]
    example = torch.zeros(2, spec.in_channels, spec.size_px, spec.size_px, dtype=torch.uint8)
    axes = {name: {0: "N"} for name in (INPUT_NAME, *outputs)}
    model = trace(_FromPixels(network).eval(), example, axes, spec.architecture)
    _rename(model, outputs)
    return model


def trace(
    network: nn.Module, example: torch.Tensor, axes: Mapping[str, Mapping[int, str]], name: str
) -> onnx.ModelProto:
    """Convert a network to a graph by following an example through it.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, with one input.
    example : tensor
        Of the input.
    axes : mapping of str to mapping of int to str
        What to call the input and the outputs, in this order; of each the axes that may have any length, with a name.
    name : str
        Of the network, for the error.

    Raises
    ------
    ModelError
        If torch cannot convert the network.
    """
    buffer = io.BytesIO()
    try:
        # The exporter that traces: the newer one (dynamo=True) needs one more package, takes ten seconds instead of
        # one, prints, and writes paths of this machine into the file. Its warnings are about itself.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (example,),
                buffer,  # type: ignore[arg-type, unused-ignore]
                dynamo=False,
                opset_version=OPSET,
                input_names=list(axes)[:1],
                output_names=list(axes)[1:],
                dynamic_axes=axes,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise ModelError(f"torch cannot convert {name} to ONNX: {error}") from error
    return onnx.load_from_string(buffer.getvalue())


def head_name(output: str) -> str:
    """What the part of a graph that gives this output is called: its nodes are named ``/network/<this>/...``.

    ``fer_head``, and not ``fer7_head``, is what the first shipped models have: they can be made again byte for byte.
    """
    return "fer_head" if output == "fer7" else f"{output}_head"


def _rename(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    """Name the parts of an `ExpressionNetwork` by what they are: layers without their backbone, heads by output."""
    renamed = {"network/backbone/": "network/", "network.backbone.": "network."}
    for number, output in enumerate(outputs):
        renamed |= {f"network{dot}heads.{number}{dot}": f"network{dot}{head_name(output)}{dot}" for dot in "/."}

    def new(name: str) -> str:
        for before, after in renamed.items():
            if name.removeprefix("/").startswith(before):
                return name.replace(before, after, 1)
        return name

    for node in model.graph.node:
        node.name = new(node.name)
        for names in (node.input, node.output):
            names[:] = [new(name) for name in names]
    for tensor in (*model.graph.initializer, *model.graph.value_info):
        tensor.name = new(tensor.name)


def canonical_bytes(model: onnx.ModelProto) -> bytes:
    """Serialise a model without traces of the machine that made it; equal models give equal bytes."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.producer_name, model.producer_version = "mien", ""
    model.doc_string = model.graph.doc_string = ""
    model.graph.name = "mien"
    model.ir_version = IR_VERSION
    del model.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        if hasattr(node, "metadata_props"):
            del node.metadata_props[:]
    used = {node.domain for node in model.graph.node}
    opsets = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(sorted(opsets, key=lambda entry: str(entry.domain)))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
