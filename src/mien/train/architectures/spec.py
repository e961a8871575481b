"""What a network is, as data: enough to build it again, and nothing of its weights. Imports no torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mien.data.ferplus import VOTE_LABELS
from mien.errors import UsageError
from mien.labels import FER7
from mien.zoo.card import InputSpec, PerChannel

__all__ = ["FER7_HEAD", "FERPLUS_HEAD", "INPUT_NAME", "HeadSpec", "NetworkSpec"]

INPUT_NAME = "image"
"""Name of the input of every exported expression model."""

_OUTPUT = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class HeadSpec:
    """One output of a network.

    Attributes
    ----------
    output : str
        Its name, in small letters, digits and underscores: that of the ONNX output.
    labels : tuple of str
        The classes in the order of the logits; at least two, all different.
    """

    output: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if not _OUTPUT.fullmatch(self.output) or self.output == INPUT_NAME:
            raise UsageError(
                f"head '{self.output}': expected a name of small letters, digits and underscores, "
                f"and not '{INPUT_NAME}'"
            )
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels) or not all(self.labels):
            raise UsageError(
                f"head '{self.output}' has the labels {', '.join(self.labels) or 'none'}; "
                "expected at least two, all different"
            )


FER7_HEAD = HeadSpec("fer7", FER7)
"""FER2013's seven classes."""

FERPLUS_HEAD = HeadSpec("ferplus", VOTE_LABELS)
"""The ten classes that FER+'s annotators vote for."""


@dataclass(frozen=True)
class NetworkSpec:
    """An architecture with everything that decides about its weights and about how faces are put into it.

    `mien.train.architectures.make_spec` fills in what the architecture's card says.

    Attributes
    ----------
    architecture : str
        A name of the registry, or ``"timm:NAME"``.
    heads : tuple of HeadSpec
        The outputs in order; the first one is the model's answer.
    size_px : int
        Side of the square input.
    channels : {"gray", "rgb"}
        Whether it reads gray faces or colour.
    mean, std : float or tuple of three float
        Normalisation ``(pixel / 255 - mean) / std``, alike for all channels or one for each of red, green and blue;
        the defaults are those of FER2013's Training split.
    dropout : float
        Probability of dropping a feature before the heads while training, in [0, 1).
    options : mapping of str to value
        The architecture's own, such as ``widths``: strings, numbers, booleans and tuples of them.
    """

    architecture: str
    heads: tuple[HeadSpec, ...] = (FER7_HEAD,)
    size_px: int = 48
    channels: Literal["gray", "rgb"] = "gray"
    mean: PerChannel = 0.5077
    std: PerChannel = 0.255
    dropout: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", tuple(self.heads))
        object.__setattr__(self, "options", {k: _frozen(v) for k, v in self.options.items()})
        object.__setattr__(self, "mean", _frozen(self.mean))
        object.__setattr__(self, "std", _frozen(self.std))
        outputs = [head.output for head in self.heads]
        if not outputs or len(set(outputs)) != len(outputs):
            raise UsageError(
                f"network '{self.architecture}' has the heads {outputs}; expected one or more of different names"
            )
        if self.channels not in ("gray", "rgb"):
            raise UsageError(f"network '{self.architecture}': channels is '{self.channels}'; expected 'gray' or 'rgb'")
        if self.size_px < 1 or not 0 <= self.dropout < 1:
            raise UsageError(
                f"network '{self.architecture}': expected size_px above 0 and dropout in [0, 1); "
                f"got {self.size_px} and {self.dropout}"
            )
        try:
            self.input_spec()
        except (TypeError, ValueError) as error:
            raise UsageError(f"network '{self.architecture}': {error}") from error

    @property
    def in_channels(self) -> int:
        """1 for gray, 3 for colour."""
        return 1 if self.channels == "gray" else 3

    def input_spec(self, framing_xy: Sequence[tuple[float, float]] = ()) -> InputSpec:
        """How `mien.classify.preprocess` brings a face to this network: as uint8, normalised afterwards."""
        return InputSpec(
            name=INPUT_NAME,
            size_wh=(self.size_px, self.size_px),
            channels=self.channels,
            dtype="uint8",
            mean=self.mean,
            std=self.std,
            framing_xy=tuple(framing_xy),
        )

    def to_dict(self) -> dict[str, Any]:
        """The specification as plain Python values, for JSON."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        values["heads"] = [{"output": head.output, "labels": list(head.labels)} for head in self.heads]
        values["options"] = {name: _plain(value) for name, value in self.options.items()}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkSpec:
        """The specification that `to_dict` wrote.

        Raises
        ------
        UsageError
            If a key is unknown or missing, or a value does not fit.
        """
        try:
            given = dict(values)
            given["heads"] = tuple(HeadSpec(**head) for head in given["heads"])
            return cls(**given)
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"no specification of a network: {error}") from error


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
