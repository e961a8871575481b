"""Where models are found: in the package by name, or at a path."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from mien.errors import ModelError
from mien.shell import shell_words
from mien.zoo.card import ModelCard

__all__ = ["StoredModel", "find_model", "list_models", "model_files"]

_CARDS = Path(__file__).parent / "cards"
_WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class StoredModel:
    """A model card together with the place of its weights.

    Attributes
    ----------
    card : ModelCard
        What is known of the model, its preprocessing and what its outputs mean.
    weights : Path
        The ONNX file.
    """

    card: ModelCard
    weights: Path

    def read_weights(self) -> bytes:
        """The bytes of the weight file, after its sha256 was checked.

        Raises
        ------
        ModelError
            If the file is missing, unreadable, or not the one that the card describes.
        """
        try:
            data = self.weights.read_bytes()
        except OSError as error:
            raise ModelError(f"{self.weights}: cannot read the model's weights ({error.strerror})") from error
        found = hashlib.sha256(data).hexdigest()
        if found != self.card.sha256:
            raise ModelError(
                f"{self.weights}: sha256 is {found}; the card of '{self.card.name}' expects {self.card.sha256}. "
                "The file is damaged or of another model: install mien again, or export the model again"
            )
        return data


def list_models() -> dict[str, StoredModel]:
    """The shipped models by name, sorted by kind and size; each has its `card`.

    Raises
    ------
    ModelError
        If two cards have the same name.
    """
    return dict(_shipped_models())  # a new one: callers may do with it as they like


@cache
def _shipped_models() -> dict[str, StoredModel]:
    models: dict[str, StoredModel] = {}
    for path in sorted(_CARDS.glob("*.json")):
        card = ModelCard.read(path)
        if card.name in models:
            raise ModelError(f"{path}: a second card named '{card.name}'; names must be unique")
        models[card.name] = StoredModel(card, _WEIGHTS / card.file)
    order = {"expression": 0, "detector": 1}
    return dict(sorted(models.items(), key=lambda item: (order[item[1].card.kind], item[1].card.parameters)))


def find_model(spec: str | Path, kind: Literal["expression", "detector"] | None = None) -> StoredModel:
    """The shipped model of that name, or the one at that path.

    Parameters
    ----------
    spec : str or Path
        A name of `list_models`, or the path of an ``.onnx`` file with its card (``.json``) beside it.
    kind : {"expression", "detector"}, optional
        What the model must be for.

    Raises
    ------
    ModelError
        If there is no such model, or it is of another kind.
    """
    known = {name: model for name, model in list_models().items() if kind in (None, model.card.kind)}
    if isinstance(spec, str) and spec in known:
        return known[spec]
    path = Path(spec)
    if path.suffix.lower() == ".safetensors" and path.is_file():
        data = "PHOTOS" if kind == "detector" else "FACES"
        raise ModelError(
            f"{path}: is a checkpoint, which must be exported first: 'mien export {shell_words(str(path))} --data "
            f"{data}', with what it was trained on, writes the .onnx file to give here"
        )
    if path.suffix.lower() != ".onnx":
        raise ModelError(
            f"unknown {kind + ' ' if kind else ''}model '{spec}'; expected one of {', '.join(known)}, "
            "or the path of an .onnx file with its card (.json) beside it"
        )
    if not path.is_file():
        raise ModelError(f"{path}: no such file; expected an .onnx file with its card (.json) beside it")
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        raise ModelError(
            f"{path}: its model card {card_path.name} is missing. The card says how faces are put into the model "
            "and what its outputs mean. 'mien export' writes both; for a model of another project write one "
            "(mien.zoo.ModelCard)"
        )
    card = ModelCard.read(card_path)
    if kind not in (None, card.kind):
        raise ModelError(f"{path}: this is a model of kind '{card.kind}'; expected '{kind}'")
    return StoredModel(card, path)


def model_files(spec: object) -> tuple[Path, ...]:
    """The files of a model that is given by its path, by which it is known again: the weights, and a card beside them.

    Parameters
    ----------
    spec : object
        As for `find_model` and `mien.detect.open_detector`. Names of shipped models, and what is no path, have none.

    Returns
    -------
    tuple of Path
        Absolute; only files that are there.
    """
    if not isinstance(spec, (str, Path)) or Path(spec).suffix.lower() != ".onnx":
        return ()
    path = Path(spec).absolute()
    return tuple(file for file in (path, path.with_suffix(".json")) if file.is_file())
