"""From a checkpoint to a model that mien ships: ONNX, int8, calibration, card. Needs the extra ``train``.

The order of the work is that of the files: `graph` (torch to ONNX), `quantize` (float to int8), `run` (its logits),
`expression` (all of it for one model, with the metrics of `mien.evaluate`), `checkpoint` (``mien export``), `detector`
(the same for a detector), `zoo` (the shipped models: ``python -m mien.export.zoo``).
"""
