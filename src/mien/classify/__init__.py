"""From a face's crop to probabilities: the one preprocessing, the network, the calibration."""

from mien.classify.base import Classifier
from mien.classify.onnx import OnnxClassifier
from mien.classify.preprocess import face_batch, face_sides_px, whole_batch

__all__ = ["Classifier", "OnnxClassifier", "face_batch", "face_sides_px", "whole_batch"]
