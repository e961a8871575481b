"""What can be evaluated: models of the zoo, exported files, and checkpoints as training left them."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mien.classify import Classifier, OnnxClassifier
from mien.data.held_out import Measured, open_measured
from mien.errors import ModelError, UsageError, import_extra
from mien.zoo import StoredModel, find_model, list_models
from mien.zoo.card import LearnedFrom, ModelCard

__all__ = [
    "CHECKPOINT",
    "Measurable",
    "distinct_names",
    "is_folder",
    "open_faces_for",
    "open_measurable",
    "open_model",
    "require_torch",
]

CHECKPOINT = ".safetensors"
"""How files end that hold a checkpoint."""


@dataclass(frozen=True)
class Measurable:
    """What is measured as one thing: a model, the runs of one recipe with several seeds, or those of its folds.

    Attributes
    ----------
    name : str
    place : Path
        The model's file, or the folder of the runs.
    seeds : tuple of int
        Of the runs with several seeds; else empty.
    stored : tuple of StoredModel
    classifiers : tuple of Classifier
        One, or one a seed. Of folds, of which each face is read by one, the first.
    spec : str or path
        By which `open_model` opens it, or the first run, again.
    folds : dict of int to (StoredModel, Classifier)
        Of a cross-validation the model of each fold, which did not learn from it; else empty.
    """

    name: str
    place: Path
    seeds: tuple[int, ...]
    stored: tuple[StoredModel, ...]
    classifiers: tuple[Classifier, ...]
    spec: str | os.PathLike[str]
    folds: dict[int, tuple[StoredModel, Classifier]] = field(default_factory=dict)

    @property
    def cards(self) -> list[ModelCard]:
        """The cards of the model or of the runs."""
        return [model.card for model in self.stored]

    @property
    def learned_from(self) -> list[LearnedFrom | None]:
        """What each learned from that is measured on what it did not; nothing of folds, which share all faces out."""
        return [] if self.folds else [card.learned_from for card in self.cards]


def open_measurable(spec: str | os.PathLike[str], threads: int) -> Measurable:
    """Open an expression model, or a folder with runs of several seeds (their best checkpoints) or folds (their last).

    Raises
    ------
    ModelError, MissingExtraError
        As `open_model`, `mien.train.seeds.find_runs` and `mien.train.cross_validation.find_fold_runs`.
    """
    place = Path(spec)
    if not is_folder(spec):
        stored, classifier = open_model(spec, threads)
        return Measurable(stored.card.name, stored.weights, (), (stored,), (classifier,), spec)
    require_torch()
    from mien.train.cross_validation import find_fold_runs, holds_folds
    from mien.train.seeds import find_runs

    name = place.name or place.resolve().name
    if holds_folds(place):
        # The last weights: the best epoch was chosen by the fold that was held out, and scores too high on it.
        paths = {fold: run.last for fold, run in find_fold_runs(place).items()}
        folds = {fold: open_model(path, threads) for fold, path in paths.items()}
        stored, classifier = next(iter(folds.values()))
        return Measurable(name, place, (), (stored,), (classifier,), next(iter(paths.values())), folds)
    runs = find_runs(place)
    opened = [open_model(run.best, threads) for run in runs.values()]
    return Measurable(
        name,
        place,
        tuple(runs),
        tuple(model for model, _ in opened),
        tuple(one for _, one in opened),
        next(iter(runs.values())).best,
    )


def open_faces_for(
    opened: Sequence[Measurable],
    data: str | os.PathLike[str],
    split: str | None,
    attributes: Sequence[str] = (),
    *,
    learned: bool = False,
) -> Measured:
    """Open the faces to measure models on, those that none of them learned from; as `mien.data.held_out.open_measured`.

    Raises
    ------
    InputError, UsageError
        As `open_measured`; also if faces that were learned from are asked for, of which a cross-validation has none.
    """
    folds = next((one.folds for one in opened if one.folds), {})
    if folds and learned:
        raise UsageError("each fold is read by the model that did not learn from it; --learned is for one model")
    known = [one for measurable in opened for one in measurable.learned_from]
    measured = open_measured(data, split, known, attributes, learned=learned)
    if not folds or measured.faces.part:
        return measured
    name = Path(measured.faces.source).name
    part = f"the {len(folds)} folds of {name}, each read by the model that did not learn from it"
    return dataclasses.replace(measured, faces=dataclasses.replace(measured.faces, part=part))


def is_folder(spec: str | os.PathLike[str]) -> bool:
    """Whether a folder is meant: a shipped model's name is one in a place with a folder of that name, too (./NAME)."""
    return spec not in list_models() and Path(spec).is_dir()


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
    require_torch()
    import torch

    from mien.train.classifier import TorchClassifier

    classifier = TorchClassifier(path, threads, gpu=torch.cuda.is_available() if gpu is None else gpu)
    return classifier.stored, classifier


def require_torch() -> None:
    """Refuse a checkpoint where the libraries are missing that it needs (MissingExtraError)."""
    import mien.train  # noqa: F401 - before torch, whose threads it tells how to wait

    for library in ("safetensors", "torch"):
        import_extra("Evaluating checkpoints", library, "train")


def distinct_names(names: Sequence[str], files: Sequence[Path]) -> list[str]:
    """What to call several models in one report: their own names, where these are all different.

    Where they are not, it is the file's name, its folder's (the checkpoints of all runs are called alike), or its path.
    """
    names = list(names)
    for pick in (lambda file: file.name, lambda file: file.resolve().parent.name, str):
        double = {name for name, count in Counter(names).items() if count > 1}
        names = [pick(file) if name in double else name for name, file in zip(names, files, strict=True)]
    return names
