"""One image on its way through the stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mien.opencv import as_bgr, as_gray

__all__ = ["Frame"]


@dataclass(frozen=True)
class Frame:
    """One image, and where it came from.

    Attributes
    ----------
    source : str
        The input as it was named.
    image : uint8 array of shape (H, W) or (H, W, 3)
        Gray or BGR pixels, upright.
    index : int or None
        Number of the frame in its video, from 0; None for photos.
    time_s : float or None
        Time from the start of the video in seconds; None for photos.
    note : str or None
        What one should know about how it was read.
    until_s : float or None
        When the next frame that is to be read is due, or the video ends, as far as its file says; None for photos,
        and for live sources, of which nobody knows.
    """

    source: str
    image: npt.NDArray[np.uint8] = field(repr=False)
    index: int | None = None
    time_s: float | None = None
    note: str | None = None
    until_s: float | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]

    @cached_property
    def gray(self) -> npt.NDArray[np.uint8]:
        """The image as gray, shape (H, W); computed once (BT.601 weights, as OpenCV does)."""
        return as_gray(self.image)

    @property
    def bgr(self) -> npt.NDArray[np.uint8]:
        """The image as BGR, shape (H, W, 3)."""
        return as_bgr(self.image)
