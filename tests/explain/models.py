"""Small networks of which it is known where they look, as real files for ONNX Runtime."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import onnx
import onnx.parser

from mien.classify import OnnxClassifier
from mien.zoo import Head, InputSpec, find_model
from tests.fakes import FRAMING, make_card

SIDE_PX = 48


def looking_at(folder: Path, x: slice, y: slice, *, dtype: str = "uint8", **changes: Any) -> OnnxClassifier:
    """A model that says "up" by the mean brightness, in [0, 255], of a part of its crop: slices of columns and rows."""
    number, scale, bias = (
        ("uint8", 0.004, 0.0) if dtype == "uint8" else ("float", 0.004 * 255 * 0.25, 0.004 * 255 * 0.5)
    )
    network = f"""<ir_version: 8, opset_import: ["" : 17]>
    corner ({number}[n, 1, 48, 48] image) => (float[n, 2] ways) {{
        pixels = Cast <to = 1> (image)
        starts = Constant <value_ints = [{y.start}, {x.start}]> ()
        stops = Constant <value_ints = [{y.stop}, {x.stop}]> ()
        axes = Constant <value_ints = [2, 3]> ()
        part = Slice (pixels, starts, stops, axes)
        mean = ReduceMean <axes = [2, 3], keepdims = 0> (part)
        scale = Constant <value_floats = [{scale}, 0.0]> ()
        bias = Constant <value_floats = [{bias}, 0.0]> ()
        scaled = Mul (mean, scale)
        ways = Add (scaled, bias)
    }}"""
    path = folder / f"{dtype}.onnx"
    onnx.save(onnx.parser.parse_model(network), path)
    card = make_card(
        name=dtype,
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        input=InputSpec("image", (SIDE_PX, SIDE_PX), "gray", dtype, 0.5, 0.25, FRAMING),  # type: ignore[arg-type]
        heads=(Head("ways", ("up", "down")),),
        **changes,
    )
    card.write(path.with_suffix(".json"))
    return OnnxClassifier(find_model(path, "expression"))
