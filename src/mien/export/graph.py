"""torch to ONNX: one float32 graph with uint8 pixels in and named logits out."""

from __future__ import annotations

import io
import warnings

import onnx
import torch
from torch import nn

from mien.errors import ModelError

__all__ = ["INPUT_NAME", "canonical_bytes", "to_onnx"]

INPUT_NAME = "image"
# Both are old enough for onnxruntime 1.19 and hold everything that quantisation per channel needs.
OPSET, IR_VERSION = 17, 8


class _FromPixels(nn.Module):
    """A network with its normalisation in front: uint8 pixels in."""

    def __init__(self, network: nn.Module, mean: float, std: float) -> None:
        super().__init__()
        self.network = network
        self.shift = 255 * mean
        self.scale = 1 / (255 * std)

    def forward(self, image: torch.Tensor) -> object:
        return self.network((image.float() - self.shift) * self.scale)


def to_onnx(
    network: nn.Module, *, size_px: int, mean: float, std: float, outputs: tuple[str, ...], channels: int = 1
) -> onnx.ModelProto:
    """Convert a network to a float32 ONNX graph, with batch norm folded into the convolutions.

    Parameters
    ----------
    network : torch module
        Takes normalised float images (N, channels, size_px, size_px) and returns one tensor for each of `outputs`.
        It is switched to evaluation mode.
    size_px : int
        Side of the square input.
    mean, std : float
        Normalisation ``(pixel / 255 - mean) / std``, which becomes part of the graph.
    outputs : tuple of str
        Names of the outputs, in the order of the network.
    channels : int
        1 for gray, 3 for colour.

    Returns
    -------
    onnx.ModelProto
        Input `image`, uint8 of shape (N, channels, size_px, size_px), N free; outputs of shape (N, classes).
        The same network gives the same bytes.

    Raises
    ------
    ModelError
        If torch cannot convert the network.
    """
    wrapped = _FromPixels(network, mean, std).eval()
    example = torch.zeros(2, channels, size_px, size_px, dtype=torch.uint8)
    buffer = io.BytesIO()
    try:
        # The exporter that traces: the newer one (dynamo=True) needs one more package, takes ten seconds instead of
        # one, prints, and writes paths of this machine into the file. Its warnings are about itself.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                wrapped,
                (example,),
                buffer,  # type: ignore[arg-type, unused-ignore]
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=list(outputs),
                dynamic_axes={name: {0: "N"} for name in (INPUT_NAME, *outputs)},
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise ModelError(f"torch cannot convert {type(network).__name__} to ONNX: {error}") from error
    model = onnx.load_from_string(buffer.getvalue())
    _rename(model, outputs)
    return model


def _rename(model: onnx.ModelProto, outputs: tuple[str, ...]) -> None:
    """Name the parts of an `ExpressionNetwork` by what they are: the backbone's layers directly, heads by their output.

    ``fer_head``, and not ``fer7_head``, is what the first shipped models have: they can be made again byte for byte.
    """
    renamed = {"network/backbone/": "network/", "network.backbone.": "network."}
    for number, output in enumerate(outputs):
        head = "fer_head" if output == "fer7" else f"{output}_head"
        renamed |= {f"network{dot}heads.{number}{dot}": f"network{dot}{head}{dot}" for dot in "/."}

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
    """Serialise a model without what tells of the machine that made it; equal models give equal bytes."""
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
