"""What is said of where an answer comes from: one `Explanation` for each face."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.result import Face

__all__ = ["Explanation"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """How the probability of an expression changes when parts of a face are hidden. Validated when it is created.

    Attributes
    ----------
    face : Face
        The face, as it was read.
    expression : str
        The label that is explained.
    probability : float
        Its probability where nothing is hidden, in [0, 1]. That of the face itself, unless the face was read by other
        options or, as in a video, averaged over time.
    drop : float64 array of shape (R, C)
        For each square of the crop, which is divided into R rows and C columns, how much less probable the expression
        is where the square is hidden, in [-1, 1]: on average over many ways in which half of the other squares are
        hidden, too. Negative where it is more probable then: what is there speaks against it. Read-only.
    corners_xy : tuple of four (float, float)
        Top left, top right, bottom right and bottom left of the crop, in pixels of the photo, where (0, 0) is the outer
        corner of the first pixel. The crop is turned as the face is, and may reach past the border.
    """

    face: Face = field(repr=False)
    expression: str
    probability: float
    drop: npt.NDArray[np.float64] = field(repr=False)
    corners_xy: tuple[tuple[float, float], ...] = field(repr=False)

    def __post_init__(self) -> None:
        drop = np.array(self.drop, np.float64)
        if drop.ndim != 2 or drop.size == 0:
            raise ValueError(f"Explanation.drop has the shape {drop.shape}; expected (R, C), a value for each square")
        if not (np.abs(drop) <= 1 + 1e-6).all():
            raise ValueError("Explanation.drop holds NaN, or a number outside of [-1, 1]; expected probabilities lost")
        drop.setflags(write=False)
        object.__setattr__(self, "drop", drop)
        if self.expression not in self.face.probabilities:
            known = ", ".join(self.face.probabilities)
            raise ValueError(f"Explanation.expression is {self.expression!r}; expected one of the face's: {known}")
        if not -1e-6 <= self.probability <= 1 + 1e-6:
            raise ValueError(f"Explanation.probability is {self.probability}; expected a number in [0, 1]")
        if len(self.corners_xy) != 4 or not all(len(xy) == 2 and all(map(math.isfinite, xy)) for xy in self.corners_xy):
            raise ValueError(f"Explanation.corners_xy is {self.corners_xy}; expected four points (x, y)")

    def to_dict(self) -> dict[str, Any]:
        """The explanation as plain Python values, ready for JSON; the face is not repeated."""
        return {
            "explained": self.expression,
            "probability": round(self.probability, 4),
            "corners_xy": [[round(x, 2), round(y, 2)] for x, y in self.corners_xy],
            "drop": np.round(self.drop, 4).tolist(),
        }
