"""From a checkpoint to a model that mien ships: ONNX, int8, calibration, card. Needs the extra ``train``.

The order of the work is that of the files: `graph` (torch to ONNX), `quantize` (float to int8), `run` (its logits),
`expression` (all of it for one model, with the metrics of `mien.evaluate`), `checkpoint` (``mien export``), `detector`
(the same for a detector), `zoo` (the shipped models: ``python -m mien.export.zoo``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.lazy import lazy_names

if TYPE_CHECKING:
    from mien.export.checkpoint import export_checkpoint

__all__ = ["export_checkpoint"]

if not TYPE_CHECKING:
    # `python -m mien.export.zoo --help` and the command line start without torch.
    __getattr__, __dir__ = lazy_names(__name__, {"checkpoint": ["export_checkpoint"]})
