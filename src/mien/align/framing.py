"""How faces are framed in the dataset from which the models learned."""

from __future__ import annotations

__all__ = ["FER2013_FRAMING_XY"]

FER2013_FRAMING_XY = ((0.327, 0.380), (0.673, 0.380), (0.500, 0.586), (0.350, 0.743), (0.650, 0.743))
"""Mean places where the detector saw the landmarks in FER2013's faces with its first weights: fractions of width and
height. With today's they lie within half a pixel, and reading faces cut out by them is as right
(benchmarks/framing.py)."""
