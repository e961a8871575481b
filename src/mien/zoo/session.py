"""Opening ONNX files: the one place where ONNX Runtime is configured and its errors are wrapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnxruntime

from mien.errors import ModelError
from mien.zoo.store import StoredModel

__all__ = ["open_session"]

onnxruntime.disable_telemetry_events()  # where it was imported before mien, which switches more off

_AGAIN = "The card belongs to another file: export the model again, or mend a card that you wrote"


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
    _check_fits(model, session)
    return session


def _check_fits(model: StoredModel, session: onnxruntime.InferenceSession) -> None:
    """Hold the network's inputs and outputs against the card, so that a misfit is not found at the first photo."""
    spec = model.card.input
    width, height = spec.size_wh or (None, None)
    taken = _require(
        model, "input", spec.name, session.get_inputs(), (None, 1 if spec.channels == "gray" else 3, height, width)
    )
    if taken.type != {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[spec.dtype]:
        raise ModelError(f"{model.weights}: its input is a {taken.type}; its card says {spec.dtype}. {_AGAIN}")
    for head in model.card.heads:
        _require(model, "output", head.output, session.get_outputs(), (None, len(head.labels)))


def _require(
    model: StoredModel, what: str, name: str, present: Sequence[Any], shape: tuple[int | None, ...]
) -> onnxruntime.NodeArg:
    """The input or output of that name, which must have that shape; None is any size."""
    found = next((item for item in present if item.name == name), None)
    if found is None:
        raise ModelError(
            f"{model.weights}: has no {what} '{name}' as its card says; it has "
            f"{', '.join(item.name for item in present)}. {_AGAIN}"
        )
    # Sizes that are not fixed are given as names.
    if len(found.shape) != len(shape) or any(
        isinstance(have, int) and want not in (None, have) for have, want in zip(found.shape, shape, strict=True)
    ):
        wanted = ["any" if size is None else size for size in shape]
        if shape[1:] == (*found.shape[3:], *found.shape[1:3]):
            raise ModelError(
                f"{model.weights}: its {what} '{name}' has the shape {found.shape}, with the channels last; mien gives "
                f"{wanted}, with the channels first: put a Transpose in front of it"
            )
        raise ModelError(
            f"{model.weights}: its {what} '{name}' has the shape {found.shape}; its card says {wanted}. {_AGAIN}"
        )
    return found
