"""From five landmarks to the upright crop that the expression models were trained on."""

from mien.align.similarity import align_faces, similarity_transform

__all__ = ["align_faces", "similarity_transform"]
