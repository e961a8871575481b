"""From a face's crop to probabilities: the one preprocessing, the network, the calibration."""

from mien.classify.base import Classifier
from mien.classify.onnx import OnnxClassifier
from mien.classify.preprocess import face_batch, face_corners_xy, face_sides_px, whole_batch, whole_corners_xy
from mien.classify.views import mean_probabilities, take_views

__all__ = [
    "Classifier",
    "OnnxClassifier",
    "face_batch",
    "face_corners_xy",
    "face_sides_px",
    "mean_probabilities",
    "take_views",
    "whole_batch",
    "whole_corners_xy",
]
