"""Label schemes and how they map onto each other.

Everything here goes by name, never by index: datasets and models of the field order their classes differently.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from mien.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "EXPRESSIONS",
    "FER7",
    "NOT_FACE",
    "NO_EXPRESSION",
    "PROBABILITY_PREFIX",
    "SCHEMES",
    "UNKNOWN",
    "LabelScheme",
    "canonical_name",
    "find_scheme",
    "scheme_of",
]

FER7 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER2013's seven classes in its order."""

EXPRESSIONS = (*FER7, "contempt")
"""Every expression that mien has a name for."""

NOT_FACE = "not_face"
"""What a model says of a picture that is no face."""

UNKNOWN = "unknown"
"""What a model says of an expression that people could not name."""

NO_EXPRESSION = (NOT_FACE, UNKNOWN)
"""What a model may answer, or an annotator vote, that is no expression: no label scheme has it."""

PROBABILITY_PREFIX = "probability_"
"""How the column of each label begins in tables of faces, as in ``probability_happy``."""

_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "angry": ("anger", "ang"),
    "disgust": ("disgusted", "dis"),
    "fear": ("fearful", "afraid", "scared", "fea"),
    "happy": ("happiness", "joy", "hap", "smile", "smiling"),
    "sad": ("sadness",),
    "surprise": ("surprised", "suprise", "sur"),
    "neutral": ("neutrality", "neu", "natural", "calm"),
    "contempt": ("contemptuous", "scorn", "con"),
}
_CANONICAL = {spelling: name for name, others in _SPELLINGS.items() for spelling in (name, *others)}


def canonical_name(spelling: str) -> str:
    """The project's name of an expression in any of the field's spellings (``"Happiness"`` is ``"happy"``).

    Parameters
    ----------
    spelling : str
        In any case of its letters, and with blanks around it.

    Raises
    ------
    UsageError
        If the spelling is unknown; the message names the expression with the nearest known spelling.
    """
    key = spelling.strip().lower()
    if key in _CANONICAL:
        return _CANONICAL[key]
    near = difflib.get_close_matches(key, _CANONICAL, n=1)
    hint = f"; did you mean '{_CANONICAL[near[0]]}'?" if near else ""
    raise UsageError(f"unknown expression '{spelling}'; expected one of {', '.join(EXPRESSIONS)}{hint}")


@dataclass(frozen=True)
class LabelScheme:
    """A set of labels, each the sum of one or more of a model's classes.

    Attributes
    ----------
    name : str
        The name by which it is chosen.
    members : mapping of str to tuple of str
        Each label, in order, with the classes that count as it. Classes in no label are left out, and what
        remains is renormalised: `project` returns the share that remained as *coverage*.

    Raises
    ------
    UsageError
        If there is no label, a label has no class, or a class counts as two labels.
    """

    name: str
    members: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        given: Mapping[str, object] = self.members  # what callers without a type checker give
        for label, names in given.items():
            if isinstance(names, str) or not names:
                raise UsageError(
                    f"label scheme '{self.name}': '{label}' stands for {names!r}; expected classes in a tuple or list, "
                    "such as ('happy',)"
                )
        classes = Counter(name for names in self.members.values() for name in names)
        if not classes:
            raise UsageError(f"label scheme '{self.name}' has no labels")
        twice, times = classes.most_common(1)[0]
        if times > 1:
            raise UsageError(f"label scheme '{self.name}' names '{twice}' {times} times; expected a class in one label")
        # A copy that nobody changes, so that a scheme can be hashed as an option.
        object.__setattr__(
            self, "members", MappingProxyType({label: tuple(names) for label, names in self.members.items()})
        )

    def __repr__(self) -> str:
        return f"LabelScheme({self.name!r}, {dict(self.members)})"

    def __eq__(self, other: object) -> bool:
        # The order of the labels is a part of it.
        return (
            isinstance(other, LabelScheme)
            and self.name == other.name
            and tuple(self.members.items()) == tuple(other.members.items())
        )

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.members.items())))

    def __reduce__(self) -> tuple[type[LabelScheme], tuple[str, dict[str, tuple[str, ...]]]]:
        return LabelScheme, (self.name, dict(self.members))

    @classmethod
    def of(cls, labels: Sequence[str], name: str | None = None) -> LabelScheme:
        """The scheme in which each label is the class of the same name; it is called `name`, or by its labels."""
        return cls(name or ",".join(labels), {label: (label,) for label in labels})

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order."""
        return tuple(self.members)

    @property
    def classes(self) -> frozenset[str]:
        """The classes that a model must know to serve this scheme."""
        return frozenset(name for names in self.members.values() for name in names)

    def project(
        self, probabilities: npt.NDArray[np.floating], head_labels: Sequence[str]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Turn a model's probabilities into this scheme's.

        Parameters
        ----------
        probabilities : float array of shape (N, K)
            One row per face, each summing to 1.
        head_labels : sequence of K str
            The model's classes in the order of the columns; must include `classes`.

        Returns
        -------
        probabilities : float64 array of shape (N, len(self.labels))
            Renormalised to sum to 1 (uniform if nothing remained).
        coverage : float64 array of shape (N,)
            How much of the model's probability lay on this scheme's classes, in [0, 1]. A low value means that
            the model saw something that the scheme has no label for.
        """
        import numpy as np  # the command line starts without it

        column = {label: index for index, label in enumerate(head_labels)}
        merge = np.zeros((len(head_labels), len(self.members)))
        for index, names in enumerate(self.members.values()):
            merge[[column[name] for name in names], index] = 1.0
        kept = np.asarray(probabilities, np.float64) @ merge
        coverage = kept.sum(axis=1)
        uniform = np.full_like(kept, 1.0 / len(self.members))
        scaled = np.divide(kept, coverage[:, None], out=uniform, where=coverage[:, None] > 1e-12)
        return scaled, np.clip(coverage, 0.0, 1.0)


SCHEMES: Mapping[str, LabelScheme] = MappingProxyType(
    {
        "fer7": LabelScheme.of(FER7, "fer7"),
        "ferplus8": LabelScheme.of(EXPRESSIONS, "ferplus8"),
        # Surprise is left out: it has no valence of its own (one may be pleasantly or unpleasantly surprised).
        "valence3": LabelScheme(
            "valence3",
            {"positive": ("happy",), "neutral": ("neutral",), "negative": ("angry", "disgust", "fear", "sad")},
        ),
        "basic3": LabelScheme.of(("happy", "sad", "neutral"), "basic3"),
    }
)
"""The schemes that can be asked for by name."""


def find_scheme(spec: str | Sequence[str], own: Collection[str] = ()) -> LabelScheme:
    """The label scheme of this name, or one of the named expressions.

    Parameters
    ----------
    spec : str or sequence of str
        A name of `SCHEMES`, or expressions (a sequence, or one comma-separated string) in any spelling.
    own : collection of str
        Classes of a dataset or model, which may be other names than those of expressions.

    Raises
    ------
    UsageError
        If a name is unknown, is given twice, or fewer than two are given.
    """
    if isinstance(spec, str) and spec.strip().lower() in SCHEMES:
        return SCHEMES[spec.strip().lower()]
    names = spec.split(",") if isinstance(spec, str) else list(spec)
    if len(names) < 2:
        raise UsageError(
            f"unknown label scheme '{','.join(names)}'; expected one of {', '.join(SCHEMES)}, "
            "or at least two expressions such as happy,sad,neutral"
        )
    labels = [_class_name(name, own) for name in names]
    if len(set(labels)) != len(labels):
        raise UsageError(f"label scheme '{','.join(names)}' names an expression twice")
    return LabelScheme.of(labels)


def scheme_of(labels: Sequence[str]) -> LabelScheme:
    """The scheme of a dataset's classes: as one of `SCHEMES` that has them all says, else each class for itself."""
    own = {label: (label,) for label in labels}
    members = next((scheme.members for scheme in SCHEMES.values() if set(labels) <= set(scheme.labels)), own)
    return LabelScheme("dataset", {label: members[label] for label in labels})


def _class_name(spelling: str, own: Collection[str]) -> str:
    name = spelling.strip()
    for known in (name, name.lower()):
        if known in own:
            return known
    try:
        return canonical_name(name)
    except UsageError:
        if set(own) <= set(EXPRESSIONS):
            raise
        raise UsageError(f"unknown class '{name}'; expected some of {', '.join(own)}") from None
