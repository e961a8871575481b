"""Opening ONNX files: the one place where ONNX Runtime is configured and its errors are wrapped."""

from __future__ import annotations

import onnxruntime

from mien.errors import ModelError
from mien.zoo.store import StoredModel

__all__ = ["open_session"]


def open_session(model: StoredModel, threads: int = 1) -> onnxruntime.InferenceSession:
    """Load a model's weights, after checking them, into a session on the CPU.

    Parameters
    ----------
    model : StoredModel
    threads : int
        Threads that one call uses.

    Raises
    ------
    ModelError
        If the weights are missing, damaged, no ONNX model, or lack an input or output that the card names.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads of one session must not burn the cores that another session or a decoder could use.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if model.card.input.size_wh is None:
        # Inputs of every size: memory patterns would keep memory for each new shape. The arena stays on: it is as
        # large as the largest input needs, while without it the heap grows by fragmentation.
        options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(model.read_weights(), options, providers=["CPUExecutionProvider"])
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise ModelError(f"{model.weights}: ONNX Runtime cannot load it ({error})") from error
    card = model.card
    _require(model, "input", card.input.name, [item.name for item in session.get_inputs()])
    for head in card.heads:
        _require(model, "output", head.output, [item.name for item in session.get_outputs()])
    return session


def _require(model: StoredModel, what: str, name: str, present: list[str]) -> None:
    if name not in present:
        raise ModelError(
            f"{model.weights}: has no {what} '{name}' as its card says; it has {', '.join(present)}. "
            "The card belongs to another file: export the model again"
        )
