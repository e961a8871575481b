"""Finding faces."""

from mien.detect.base import Detections, Detector
from mien.detect.open import open_detector

__all__ = ["Detections", "Detector", "open_detector"]
