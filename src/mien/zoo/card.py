"""Model cards: everything about a model that is not a weight, as data.

A card is a JSON file beside its ``.onnx`` file. Preprocessing, labels and calibration are read from it and never
guessed from a name. Reading a card validates it; unknown keys are refused.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mien.errors import ModelError
from mien.files import parse_json, write_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mien.labels import LabelScheme

__all__ = ["Head", "InputSpec", "LearnedFrom", "ModelCard", "PerChannel", "TrainingData"]

SCHEMA_VERSION = 1

PerChannel = float | tuple[float, float, float]
"""One number for all channels, or one for each of red, green and blue."""


@dataclass(frozen=True)
class InputSpec:
    """What the network takes, and how a face is put into it.

    Attributes
    ----------
    name : str
        Name of the ONNX input.
    size_wh : (int, int) or None
        Width and height in pixels; None for a network that takes any size.
    channels : {"gray", "rgb"}
        Order of the channels, in an array of shape (N, C, H, W).
    dtype : {"uint8", "float32"}
        uint8 networks normalise inside the graph; for float32, `mean` and `std` are applied before.
    mean, std : float or tuple of three float
        Normalisation ``(pixel / 255 - mean) / std``, alike for all channels or one for each of red, green and blue;
        inside the graph for uint8 inputs.
    framing_xy : tuple of five (float, float)
        Where the five landmarks lie in the crop, as fractions of its width and height, in the order of
        `mien.detect.Detections.landmarks_xy`. Empty for a detector, and for a model that only reads cropped faces.
    multiple_of_px : int
        Width and height must be multiples of this (only for networks that take any size).
    """

    name: str
    size_wh: tuple[int, int] | None
    channels: Literal["gray", "rgb"]
    dtype: Literal["uint8", "float32"]
    mean: PerChannel
    std: PerChannel
    framing_xy: tuple[tuple[float, float], ...] = ()
    multiple_of_px: int = 1

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if isinstance(values, tuple) and self.channels != "rgb":
                raise ValueError(f"{name} is {values}; expected one number for {self.channels} input")
        if not all(value > 0 for value in (self.std if isinstance(self.std, tuple) else (self.std,))):
            raise ValueError(f"std is {self.std}; expected more than 0")
        if self.size_wh is not None and min(self.size_wh) < 1:
            raise ValueError(f"size_wh is {self.size_wh}; expected a width and a height in pixels")
        points = self.framing_xy
        if len(points) not in (0, 5) or not all(math.isfinite(x) and math.isfinite(y) for x, y in points):
            raise ValueError(f"framing_xy is {points}; expected five points, or none")
        if self.multiple_of_px < 1:
            raise ValueError(f"multiple_of_px is {self.multiple_of_px}; expected at least 1")

    @property
    def mean_and_std(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The normalisation, float64 of shape (1, 1, 1) or (3, 1, 1): against channels, rows and columns."""
        import numpy as np  # the command line starts without it

        mean, std = (np.reshape(np.asarray(values, np.float64), (-1, 1, 1)) for values in (self.mean, self.std))
        return mean, std


@dataclass(frozen=True)
class Head:
    """One output of an expression model.

    Attributes
    ----------
    output : str
        Name of the ONNX output: logits of shape (N, number of labels).
    labels : tuple of str
        The classes, in the order of the output. ``not_face`` and ``unknown`` are no expressions: they are
        reported beside them.
    temperature : float
        Logits are divided by it before the softmax, so that the probabilities are calibrated.
    class_scale, class_bias : tuple of float
        One number for each label, or none at all: before the temperature, each logit (less the mean of its row) is
        multiplied by the scale of its class, and the bias is added, since a network can be too sure of one class and
        not sure enough of another (`mien.classify.class_scaling`).
    temperature_by_px : tuple of (float, float)
        For faces that are smaller in the photo than the model's input: pairs of the crop's side in pixels of the
        photo, and the temperature there; ascending, the last one at the model's own size. Such faces are blurred,
        and a model that was trained on sharp ones is surer of them than it should be.
    """

    output: str
    labels: tuple[str, ...]
    temperature: float = 1.0
    temperature_by_px: tuple[tuple[float, float], ...] = ()
    class_scale: tuple[float, ...] = ()
    class_bias: tuple[float, ...] = ()

    def temperature_at(self, sides_px: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """The temperature for crops that span so many pixels of the photo, float64 of the same shape."""
        import numpy as np

        if not self.temperature_by_px:
            return np.full(np.shape(sides_px), self.temperature)
        known_px, temperatures = np.array(self.temperature_by_px).T
        return np.asarray(np.interp(sides_px, known_px, temperatures), np.float64)


@dataclass(frozen=True)
class TrainingData:
    """One collection that the model was trained on.

    Attributes
    ----------
    name : str
        What it is called.
    terms : str
        Its licence, or what its makers allow.
    """

    name: str
    terms: str


@dataclass(frozen=True)
class LearnedFrom:
    """The split that a model was trained on, and which of its faces were held out.

    `mien.data.held_out` makes it, and by it finds the held-out faces again.

    Attributes
    ----------
    source : str
        Name of the dataset's file or folder.
    split : str
    faces : int
        Of the whole split, with those that were held out.
    held_out : int
        How many of them were held out to choose the best epoch; 0 where other faces were used for that.
    checksum : str
        Of the faces, and of which were held out.
    share : float or None
        They are this share of the faces, drawn with `seed`; None otherwise.
    seed : int
    fold : int or None
        They are this fold of the dataset's column ``fold``; None otherwise.
    earlier : LearnedFrom or None
        The same of the weights that training started from; None where it is not known.
    """

    source: str
    split: str
    faces: int
    held_out: int
    checksum: str
    share: float | None = None
    seed: int = 0
    fold: int | None = None
    earlier: LearnedFrom | None = None

    def to_json(self) -> str:
        """As text, for the metadata of a file."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str, where: str) -> LearnedFrom:
        """What `to_json` wrote (ModelError, naming `where`, if it is something else)."""
        try:
            found: LearnedFrom = _build(cls, parse_json(text), "learned_from")
        except (TypeError, ValueError) as error:
            raise ModelError(f"{where}: what it was trained on cannot be read ({error})") from error
        return found


@dataclass(frozen=True)
class ModelCard:
    """A model of the zoo.

    Attributes
    ----------
    name : str
        How the model is asked for.
    kind : {"expression", "detector"}
        What it does.
    summary : str
        One sentence for the list of models.
    file : str
        Name of the weight file, in the folder of the card.
    sha256 : str
        Checksum of that file in hexadecimal digits; checked whenever it is loaded.
    licence : str
        Licence of the weights, and what a user should know about it.
    training_data : tuple of TrainingData
        What it was trained on, with the terms of each collection.
    input : InputSpec
        The preprocessing.
    heads : tuple of Head
        The outputs; empty for a detector.
    parameters : int
        Number of trained weights.
    precision : str
        ``"int8"`` or ``"float32"``.
    made_by : str
        The command or recipe that makes the file again.
    scores : dict
        What was measured, in plain numbers, each with its conditions in its key or in `notes`.
    settings : dict
        Numbers that the code around the network needs (thresholds, sizes), by name.
    notes : tuple of str
        Limits and remarks, a sentence each.
    learned_from : LearnedFrom or None
        The split that it was trained on, where training kept it in the checkpoint.
    """

    name: str
    kind: Literal["expression", "detector"]
    summary: str
    file: str
    sha256: str
    licence: str
    training_data: tuple[TrainingData, ...]
    input: InputSpec
    heads: tuple[Head, ...]
    parameters: int
    precision: str
    made_by: str
    scores: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    learned_from: LearnedFrom | None = None

    def __post_init__(self) -> None:
        if self.kind == "expression" and (not self.heads or self.input.size_wh is None):
            raise ModelError(f"card '{self.name}': an expression model needs a head and an input size")
        for head in self.heads:
            if len(set(head.labels)) != len(head.labels):
                raise ModelError(f"card '{self.name}': head '{head.output}' names a label twice")
            if not 0 < head.temperature < math.inf:
                raise ModelError(
                    f"card '{self.name}': head '{head.output}' has temperature {head.temperature}; "
                    "expected a positive number"
                )
            sides_px = [side_px for side_px, _ in head.temperature_by_px]
            if sides_px != sorted(set(sides_px)) or not all(0 < t < math.inf for _, t in head.temperature_by_px):
                raise ModelError(
                    f"card '{self.name}': head '{head.output}' has temperature_by_px {head.temperature_by_px}; "
                    "expected ascending sides in pixels, each with a positive temperature"
                )
            scales, biases, labels = len(head.class_scale), len(head.class_bias), len(head.labels)
            usable = all(0 < s < math.inf for s in head.class_scale) and all(map(math.isfinite, head.class_bias))
            if (scales, biases) not in ((0, 0), (labels, labels)) or not usable:
                raise ModelError(
                    f"card '{self.name}': head '{head.output}' has class_scale {head.class_scale} and class_bias "
                    f"{head.class_bias}; expected {labels} finite numbers in each, the scales positive, or none"
                )

    def __repr__(self) -> str:
        # The whole card fills several screens: see `to_dict`, or `mien models NAME`.
        return f"ModelCard({self.name!r}, {self.kind}: {self.summary!r})"

    def head(self, output: str) -> Head:
        """The head of that output name, or a ModelError that lists what there is."""
        for head in self.heads:
            if head.output == output:
                return head
        raise ModelError(
            f"model '{self.name}' has no head '{output}'; it has: {', '.join(h.output for h in self.heads)}"
        )

    def head_for(self, scheme: LabelScheme) -> Head:
        """The first head that knows all classes of a label scheme, or a ModelError that lists what there is."""
        for head in self.heads:
            if scheme.classes <= set(head.labels):
                return head
        missing = ", ".join(sorted(scheme.classes - set(self.heads[0].labels)))
        known = "; ".join(", ".join(head.labels) for head in self.heads)
        raise ModelError(
            f"labels '{scheme.name}' need the classes {missing}, which model '{self.name}' does not have; "
            f"it knows {known}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The card as plain Python values, as it is written to JSON."""
        values = dataclasses.asdict(self)
        if self.learned_from is None:
            del values["learned_from"]
        return {"schema": SCHEMA_VERSION, **values}

    def write(self, path: Path) -> None:
        """Write the card as JSON, whole or not at all (OutputError)."""
        write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read and validate a card.

        Raises
        ------
        ModelError
            If the file is missing, is no JSON, or does not follow the schema.
        """
        try:
            raw = parse_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelError(f"{path}: cannot read the model card ({error.strerror})") from error
        except ValueError as error:
            raise ModelError(f"{path}: the model card is no valid JSON ({error})") from error
        if not isinstance(raw, dict) or raw.pop("schema", None) != SCHEMA_VERSION:
            raise ModelError(f'{path}: expected a model card with "schema": {SCHEMA_VERSION}')
        try:
            card: ModelCard = _build(cls, raw, "card")
        except (TypeError, ValueError) as error:
            raise ModelError(f"{path}: {error}") from error
        return card


def _build(kind: Any, value: Any, where: str) -> Any:
    """Turn plain JSON values into the type `kind`, refusing what does not fit."""
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin is Literal:
        if value not in typing.get_args(kind):
            raise ValueError(f"{where} is {value!r}; expected one of {typing.get_args(kind)}")
        return value
    if origin is types.UnionType:
        if value is None and type(None) in typing.get_args(kind):
            return None
        allowed = [one for one in typing.get_args(kind) if one is not type(None)]
        fitting = [one for one in allowed if (typing.get_origin(one) is tuple) == isinstance(value, list)]
        return _build((fitting or allowed)[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{where} is {type(value).__name__}; expected a list")
        arguments = typing.get_args(kind)
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise ValueError(f"{where} has {len(value)} items; expected {len(kinds)}")
        return tuple(_build(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = dict if origin is dict else kind
    if expected is not Any and (not isinstance(value, expected) or isinstance(value, bool)):
        raise TypeError(f"{where} is {value!r}; expected {getattr(expected, '__name__', expected)}")
    if origin is dict:
        return {name: _build(typing.get_args(kind)[1], item, f"{where}.{name}") for name, item in value.items()}
    return value


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{where} is {type(value).__name__}; expected an object")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise ValueError(f"{where} has unknown keys {unknown}; known are {sorted(hints)}")
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.name not in value and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where} lacks {missing}")
    return kind(**{name: _build(hints[name], item, f"{where}.{name}") for name, item in value.items()})
