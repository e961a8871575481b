"""What `mien evaluate` can be told about a detector, besides what it is told about any model."""

from __future__ import annotations

from dataclasses import dataclass

from mien.options import Options, option

__all__ = ["DetectionOptions"]


@dataclass(frozen=True, kw_only=True)
class DetectionOptions(Options):
    """How a detector is evaluated."""

    min_face_px: float | None = option(
        None,
        "Detectors: the smallest face to look for, in pixels of the photo; by default chosen by the photo's size.",
        flag="--min-face",
        metavar="PX",
        minimum=1.0,
    )
    sources: str | None = option(
        None, "Detectors: measure only on photos of these collections, with commas.", metavar="NAMES"
    )
    conditions: bool = option(
        True,
        "Detectors: also look at the photos in gray, tilted, in low light, and cut to a face that fills the frame.",
    )
