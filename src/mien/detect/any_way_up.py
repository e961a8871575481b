"""Photos that lie on their side or stand on their head, as scans do, and photos that lost their EXIF data.

A face that stands on its head is often found, with a lower score, and is then read wrongly. So where no face of a photo
is clearly upright, it is searched turned by 90, 180 and 270 degrees, too. In a large photo with an upright face others
may lie on their sides, as a person on a sofa does: for these it is looked at turned in small.
"""

from __future__ import annotations

from mien.detect.base import Detections, Detector, ImageArray, LyingDetector, UprightDetector
from mien.detect.image import resize
from mien.opencv import turned

__all__ = ["detect_any_way_up"]

TURNS_DEG = (90, 180, 270)
# A turn is searched only if a glance at a small version shows a face: otherwise photos without one would take four
# times as long. It has half the photo's longer side, but no less and no more than this.
_GLANCE_PX = (320, 640)
_LYING_FROM_PIXELS = 2_000_000
"""In smaller photos the look for faces that lie among upright ones would take too large a part of the time."""
_SURER = 0.2
"""How much a turned face must take away of what one that is sure as it is lacks to a score of 1. Faces on their heads
are outdone by more, round things that look alike from all sides by less."""


def detect_any_way_up(detector: Detector, image: ImageArray) -> tuple[Detections, int]:
    """Find the faces of a photo that may lie on its side or stand on its head.

    Parameters
    ----------
    detector : Detector
        One that is no `mien.detect.base.UprightDetector` only sees the photo as it is.
    image : uint8 array of shape (H, W) or (H, W, 3)
        The photo: gray, or colour in OpenCV's order (BGR).

    Returns
    -------
    Detections
        In pixels of `image`. Turned ones have their landmarks in the order of an upright face.
    int
        By how many degrees `image` must be turned clockwise to stand upright: 0, unless no face as it is reaches the
        detector's `upright_score`, and one that is turned is sure, and surer than all as they are.
    """
    found, upright_deg = detector.detect(image), 0
    best = _best(found)
    if not isinstance(detector, UprightDetector):
        return found, upright_deg
    if best >= detector.upright_score:
        if image.shape[0] * image.shape[1] >= _LYING_FROM_PIXELS and isinstance(detector, LyingDetector):
            found = detector.with_lying(image, found)
        return found, upright_deg
    needed = detector.sure_score if best < detector.sure_score else best + _SURER * (1.0 - best)
    small = _small(image)
    for clockwise_deg in TURNS_DEG:
        if not detector.glance(turned(small, clockwise_deg)):
            continue
        other = detector.detect(turned(image, clockwise_deg))
        if _best(other) >= needed:
            needed = _best(other)
            found, upright_deg = other.turned_back(clockwise_deg, image.shape[1::-1]), clockwise_deg
    return found, upright_deg


def _small(image: ImageArray) -> ImageArray:
    height, width = image.shape[:2]
    longer_px = max(height, width)
    least_px, most_px = _GLANCE_PX
    factor = min(1.0, min(max(longer_px / 2, least_px), most_px) / longer_px)
    return resize(image, (max(1, round(factor * width)), max(1, round(factor * height))))


def _best(found: Detections) -> float:
    return float(found.score.max(initial=0.0))
