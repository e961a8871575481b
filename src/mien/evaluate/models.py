"""What can be evaluated: models of the zoo, exported files, and checkpoints as training left them."""

from __future__ import annotations

import os
from pathlib import Path

from mien.classify import Classifier, OnnxClassifier
from mien.errors import MissingExtraError, ModelError
from mien.zoo import StoredModel, find_model

__all__ = ["CHECKPOINT", "open_model"]

CHECKPOINT = ".safetensors"
"""How files end that hold a checkpoint."""


def open_model(
    spec: str | os.PathLike[str], threads: int, *, gpu: bool | None = None
) -> tuple[StoredModel, Classifier]:
    """Open an expression model.

    Parameters
    ----------
    spec : str or path
        A shipped model's name, an ``.onnx`` file with its card beside it, or a checkpoint (``.safetensors``).
    threads : int
        Of one call on the CPU.
    gpu : bool, optional
        Where a checkpoint runs; by default on a GPU if there is one. Other models run on the CPU.

    Raises
    ------
    ModelError
        If there is no such model, it is of another kind, or its file is damaged.
    MissingExtraError
        If a checkpoint is to be opened and torch is not installed.
    """
    path = Path(spec)
    if path.suffix.lower() != CHECKPOINT:
        stored = find_model(str(spec), "expression")
        return stored, OnnxClassifier(stored, threads)
    if not path.is_file():
        raise ModelError(f"{path}: no such file; expected a checkpoint that 'mien train' wrote")
    try:
        import safetensors  # noqa: F401
        import torch
    except ImportError as error:
        raise MissingExtraError("Evaluating checkpoints", str(error.name), "train") from error

    from mien.train.classifier import TorchClassifier

    classifier = TorchClassifier(path, threads, gpu=torch.cuda.is_available() if gpu is None else gpu)
    return classifier.stored, classifier
