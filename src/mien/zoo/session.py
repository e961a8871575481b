"""Opening ONNX files: the one place where ONNX Runtime is configured and its errors are wrapped."""

from __future__ import annotations

import onnxruntime

from mien.errors import ModelError
from mien.zoo.store import StoredModel

__all__ = ["open_session"]


def open_session(model: StoredModel, threads: int = 1, gpu: bool = False) -> onnxruntime.InferenceSession:
    """Load a model's weights, after checking them, into a session.

    Parameters
    ----------
    model : StoredModel
    threads : int
        Threads that one call uses.
    gpu : bool
        Run on the first CUDA device that this process sees, instead of the CPU.

    Raises
    ------
    ModelError
        If the weights are missing, damaged, no ONNX model, or lack an input or output that the card names; or if
        a GPU is asked for and ONNX Runtime finds none.
    """
    providers = ["CPUExecutionProvider"]
    if gpu:
        present = onnxruntime.get_available_providers()
        if "CUDAExecutionProvider" not in present:
            raise ModelError(
                f"a GPU was asked for, but this ONNX Runtime only has {', '.join(present)}; install onnxruntime-gpu in "
                "the place of onnxruntime, or ask for no GPU"
            )
        providers.insert(0, "CUDAExecutionProvider")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads of one call wait for each other awake: put to sleep, they wake too late for layers of a few microseconds.
    # Between calls they must not burn the cores that another session or a decoder could use.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if model.card.input.size_wh is None:
        # Inputs of every size: memory patterns would keep memory for each new shape. The arena stays on: it is as
        # large as the largest input needs, while without it the heap grows by fragmentation.
        options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(model.read_weights(), options, providers=providers)
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise ModelError(f"{model.weights}: ONNX Runtime cannot load it ({error})") from error
    if gpu and "CUDAExecutionProvider" not in session.get_providers():
        # ONNX Runtime falls back to the CPU by itself, with nothing but a line in its log.
        raise ModelError("a GPU was asked for, but ONNX Runtime cannot use it: are the driver and CUDA installed?")
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
