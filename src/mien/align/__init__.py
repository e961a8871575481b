"""From five landmarks to the upright crop that the expression models were trained on."""

from mien.align.framing import FER2013_FRAMING_XY
from mien.align.similarity import align_faces, crop_corners_xy, crop_sides_px, similarity_transform

__all__ = ["FER2013_FRAMING_XY", "align_faces", "crop_corners_xy", "crop_sides_px", "similarity_transform"]
