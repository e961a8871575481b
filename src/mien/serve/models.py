"""The models that clients may choose from, each loaded once and shared by all."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from mien.errors import MienError
from mien.labels import SCHEMES
from mien.parallel import count_threads
from mien.recognizer import Recognizer
from mien.serve.options import ServeOptions
from mien.serve.problem import Problem
from mien.sink.palette import color_rgb
from mien.zoo import list_models

__all__ = ["LONGEST_LABELS", "Models"]

_KEPT_RECOGNIZERS = 64
LONGEST_LABELS = 200


class Models:
    """Recognizers by model and label scheme. All share one detector and one session a model.

    Parameters
    ----------
    options : ServeOptions
        Its `model`, `detector` and `labels` are what clients get who ask for nothing.

    Raises
    ------
    ModelError, UsageError
        If the options name a model or labels that do not fit.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self.threads = count_threads(options.threads)
        # One thread a call: the engine reads several images at a time instead.
        self.default = Recognizer(**{**options.recognizer_options(), "threads": 1})
        self.default_name = self.default.card.name
        self._lock = threading.Lock()
        self._by_model: dict[str, Recognizer] = {self.default_name: self.default}
        self._by_choice: OrderedDict[tuple[str, str | None], Recognizer] = OrderedDict()
        shipped = [name for name, model in list_models().items() if model.card.kind == "expression"]
        self.names = list(dict.fromkeys([*shipped, self.default_name]))

    def find(self, model: str | None, labels: str | None) -> Recognizer:
        """The recognizer for a client's choice. May load a model: not for the event loop.

        Parameters
        ----------
        model : str, optional
            A name of `names`; never a path.
        labels : str, optional
            A label scheme, or expressions with commas.

        Raises
        ------
        Problem
            422 if there is no such model, or it does not know the labels.
        """
        name = self.default_name if model is None else model
        if name not in self.names:
            raise Problem(422, "unknown_model", f"unknown model {name[:80]!r}; expected one of {', '.join(self.names)}")
        if labels is None and name == self.default_name:
            return self.default
        if labels is not None and len(labels) > LONGEST_LABELS:  # it is kept
            raise Problem(
                422, "unknown_labels", f"labels has {len(labels):,} characters; expected at most {LONGEST_LABELS}"
            )
        choice = (name, labels)
        with self._lock:
            if choice in self._by_choice:
                self._by_choice.move_to_end(choice)
                return self._by_choice[choice]
            try:
                base = self._model(name)
                found = base if labels is None else base.replace(labels=labels)
            except MienError as error:
                raise Problem(422, "unknown_labels", str(error)[:500]) from error
            self._by_choice[choice] = found
            if len(self._by_choice) > _KEPT_RECOGNIZERS:
                self._by_choice.popitem(last=False)
            return found

    def _model(self, name: str) -> Recognizer:
        if name not in self._by_model:
            self._by_model[name] = self.default.replace(model=name)
        return self._by_model[name]

    def describe(self) -> dict[str, Any]:
        """What clients may choose from and which limits hold, as plain values."""
        cards = {name: self._card(name) for name in self.names}
        options = self._options
        return {
            "default": {"model": self.default_name, "labels": self.default.scheme.name},
            "models": list(cards.values()),
            "colors": _colors(cards),
            "limits": {
                "max_upload_mb": options.max_upload_mb,
                "max_images": options.max_images,
                "max_megapixels": options.max_megapixels,
                "max_faces": options.max_faces,
                "max_explained_faces": options.max_explained_faces,
                "max_frame_mb": options.max_frame_mb,
                "max_frames_per_s": options.max_frames_per_s,
            },
        }

    def _card(self, name: str) -> dict[str, Any]:
        card = self.default.card if name == self.default_name else list_models()[name].card
        known = {label for head in card.heads for label in head.labels}
        schemes = {scheme.name: list(scheme.labels) for scheme in SCHEMES.values() if scheme.classes <= known}
        if name == self.default_name:
            schemes.setdefault(self.default.scheme.name, list(self.default.scheme.labels))
        return {
            "name": card.name,
            "summary": card.summary,
            "licence": card.licence,
            "parameters": card.parameters,
            "schemes": schemes,
        }


def _colors(cards: dict[str, dict[str, Any]]) -> dict[str, str]:
    """A colour for each label of all schemes, as CSS has it."""
    colors: dict[str, str] = {}
    for card in cards.values():
        for labels in card["schemes"].values():
            for label in labels:
                colors.setdefault(label, "#{:02x}{:02x}{:02x}".format(*color_rgb(label, labels)))
    return colors
