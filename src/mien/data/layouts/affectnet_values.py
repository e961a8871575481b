"""What AffectNet says of a face, however it is stored."""

from __future__ import annotations

from mien.data.layouts.names import class_index
from mien.errors import InputError

__all__ = ["CLASSES", "NO_EXPRESSION", "expression", "number", "points"]

CLASSES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
NO_EXPRESSION = ("none", "uncertain", "no face")
_NO_VALUE = -2.0


def expression(text: str, where: str, excluded: dict[str, int]) -> int | None:
    """The index of a class; None for one that is no expression, which is counted in `excluded` (InputError)."""
    label = class_index(text, len(CLASSES) + len(NO_EXPRESSION), where)
    if label < len(CLASSES):
        return label
    excluded[NO_EXPRESSION[label - len(CLASSES)]] += 1
    return None


def number(text: str, name: str, where: str, bounds: tuple[float, float] | None = None) -> float | None:
    """A number; None where there is none, or the value within `bounds` that stands for none (InputError)."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        raise InputError(where, f"{name} '{text}'; expected a number") from None
    if bounds is not None and value == _NO_VALUE:
        return None
    if bounds is not None and not bounds[0] <= value <= bounds[1]:
        raise InputError(where, f"{name} {value:g}; expected {bounds[0]:g} to {bounds[1]:g}, or {_NO_VALUE:g} for none")
    return value


def points(text: str, where: str) -> list[list[float]] | None:
    """Landmarks from numbers between semicolons, x and y by turns; None where there are none (InputError)."""
    if not text.strip():
        return None
    try:
        values = [float(word) for word in text.split(";")]
    except ValueError:
        values = [0.0]
    if len(values) % 2:
        raise InputError(where, f"facial_landmarks '{text[:40]}'; expected pairs of numbers between semicolons")
    return [values[i : i + 2] for i in range(0, len(values), 2)]
