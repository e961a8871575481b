"""Finding faces."""

from mien.detect.any_way_up import detect_any_way_up
from mien.detect.base import Detections, Detector
from mien.detect.open import open_detector

__all__ = ["Detections", "Detector", "detect_any_way_up", "open_detector"]
