"""What the camera did between two frames: nothing, a movement of the whole picture, or a cut to another scene.

A camera that turns or shakes moves all faces at once, further than any of them would by itself; in a crowd each is then
where another one was. Phase correlation of two small pictures (Kuglin and Hines, 1975) tells that movement, and whether
there is one: its peak is high where most of one picture is found in the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mien.opencv import as_bgr

__all__ = ["Camera", "Motion", "portrait"]

FloatArray = npt.NDArray[np.float32]

_WIDTH_PX = 128
_SAMPLES_PX = 256
_PORTRAIT_PX = 16
_SCENE_PX = 64
# Of 1,285 photographs: parts moved by three tenths of the width have a peak of 0.28 and more in 99 of 100 pairs, and
# correlate by 0.95 laid over each other; of pairs of different photographs 2 in 1,000 reach both of these.
_SAME_SCENE_PEAK = 0.2
_SAME_SCENE_OVERLAID = 0.5
# Or the pictures are alike as they are: people move, the camera zooms or turns. One of the 1,284 pairs is so alike.
_SAME_SCENE_ALIKE = 0.6


@dataclass(frozen=True)
class Motion:
    """From one frame to the next.

    Attributes
    ----------
    shift_xy : float32 array of shape (2,)
        How far the picture as a whole moved, in pixels; 0 where that cannot be told.
    cut : bool
        The frame shows another scene.
    """

    shift_xy: FloatArray
    cut: bool


class Camera:
    """Compares each frame with the one before."""

    def __init__(self) -> None:
        self._last: tuple[FloatArray, FloatArray] | None = None

    def update(self, image: npt.NDArray[np.uint8]) -> Motion:
        """What happened since the last frame.

        Parameters
        ----------
        image : uint8 array of shape (H, W) or (H, W, 3)
            The frame.
        """
        gray, looks = _gray(image), portrait(_sampled(image, _SCENE_PX))
        last, self._last = self._last, (gray, looks)
        nothing = np.zeros(2, np.float32)
        if last is None:
            return Motion(nothing, cut=False)
        before, looks_before = last
        alike = float(np.dot(looks_before, looks)) >= _SAME_SCENE_ALIKE
        if before.shape != gray.shape:
            return Motion(nothing, cut=not alike)
        shift, peak = _shift(before, gray)
        if not peak >= _SAME_SCENE_PEAK or _overlaid(before, gray, shift) < _SAME_SCENE_OVERLAID:
            return Motion(nothing, cut=not alike)
        height, width = image.shape[:2]
        return Motion(shift * np.array((width / gray.shape[1], height / gray.shape[0]), np.float32), cut=False)


def portrait(image: npt.NDArray[np.uint8]) -> FloatArray:
    """A picture made very small, without its brightness and contrast.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3)

    Returns
    -------
    float32 array of shape (768,)
        Of length 1: the product of two is their correlation.
    """
    colored = as_bgr(image)  # a program's own frames may be gray and coloured in turn
    small = cv2.resize(colored, (_PORTRAIT_PX, _PORTRAIT_PX), interpolation=cv2.INTER_AREA)
    values = np.asarray(small, np.float32).ravel()
    values -= values.mean()
    length = float(np.linalg.norm(values))
    return values / np.float32(length) if length > 1e-3 else np.full_like(values, values.size**-0.5)


# Single pixels of a large frame: to average all of them would take longer than all the rest.
def _sampled(image: npt.NDArray[np.uint8], side_px: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_NEAREST), np.uint8)


def _gray(image: npt.NDArray[np.uint8]) -> FloatArray:
    """The green channel, as it is nearly the brightness."""
    height, width = image.shape[:2]
    step = max(1, width // _SAMPLES_PX)
    green = np.ascontiguousarray(image[::step, ::step] if image.ndim == 2 else image[::step, ::step, 1])
    rows = min(max(8, round(_WIDTH_PX * height / width)), 4 * _WIDTH_PX)
    gray = cv2.resize(green, (_WIDTH_PX, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(gray - gray.mean(), np.float32)


def _shift(before: FloatArray, gray: FloatArray) -> tuple[FloatArray, float]:
    """By how many pixels a picture moved, and the peak of the phase correlation: NaN if one is of one colour."""
    window = cv2.createHanningWindow(gray.shape[::-1], cv2.CV_32F)
    # The window is applied here: given one, phaseCorrelate would multiply its input arrays in place.
    shift, peak = cv2.phaseCorrelate(before * window, gray * window)
    return np.asarray(shift, np.float32), peak


def _overlaid(before: FloatArray, gray: FloatArray, shift_xy: FloatArray) -> float:
    """How well two pictures correlate where they overlap once the shift is undone, in [-1, 1]."""
    x, y = (int(value) for value in np.rint(shift_xy))
    height, width = gray.shape
    first = before[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    second = gray[max(0, y) : height - max(0, -y), max(0, x) : width - max(0, -x)]
    if first.size < gray.size // 4:
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    lengths = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    return float(np.vdot(first, second)) / max(lengths, 1e-6)
