"""From a checkpoint to a model that mien ships: ONNX, int8, calibration, card. Needs the extra ``train``.

The order of the work is that of the files: `graph` (torch to ONNX), `quantize` (float to int8), `scores` (what the
result is worth), `expression` (all of it for one model), `zoo` (the shipped models: ``python -m mien.export.zoo``).
"""
