"""From five landmarks to the upright crop that the expression models were trained on."""

from mien.align.similarity import align_faces, crop_corners_xy, crop_sides_px, similarity_transform

__all__ = ["align_faces", "crop_corners_xy", "crop_sides_px", "similarity_transform"]
