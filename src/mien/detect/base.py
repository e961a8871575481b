"""What a face detector takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = ["MIRRORED_LANDMARKS", "Detections", "Detector", "LyingDetector", "UprightDetector"]

MIRRORED_LANDMARKS = [1, 0, 2, 4, 3]
"""The order of the five landmarks of a mirrored face: left and right change places."""

FloatArray = npt.NDArray[np.float32]
ImageArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Detections:
    """The faces found in one image, best first. Building it validates it.

    Attributes
    ----------
    box_xyxy : float32 array of shape (N, 4)
        Left, top, right, bottom in pixels of the image that was given; may reach past its border.
    score : float32 array of shape (N,)
        The detector's confidence that this is a face, in [0, 1].
    landmarks_xy : float32 array of shape (N, 5, 2)
        Eye, eye, nose tip, mouth corner, mouth corner, in pixels, from the image's left to its right
        within each pair, for an upright face: the person's right eye comes first. It does so in a photo that stands on
        its head, too.
    """

    box_xyxy: FloatArray
    score: FloatArray
    landmarks_xy: FloatArray

    def __post_init__(self) -> None:
        count = len(self.score)
        expected = {"box_xyxy": (count, 4), "score": (count,), "landmarks_xy": (count, 5, 2)}
        for name, shape in expected.items():
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.shape != shape:
                came = f"{getattr(array, 'dtype', type(array).__name__)}{getattr(array, 'shape', '')}"
                raise ValueError(f"Detections.{name} is {came}; expected float32{shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"Detections.{name} holds NaN or infinity; expected finite numbers")

    def __len__(self) -> int:
        return len(self.score)

    @classmethod
    def empty(cls) -> Detections:
        """What is found in an image without a face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))

    def turned_back(self, clockwise_deg: int, size_wh: tuple[int, int]) -> Detections:
        """The faces found in an image that was turned, as they lie in the image before it was turned.

        Parameters
        ----------
        clockwise_deg : int
            How far it was turned: 90, 180 or 270 degrees.
        size_wh : (int, int)
            Width and height of the image before, in pixels.
        """
        corners = _points_back(self.box_xyxy.reshape(-1, 2, 2), clockwise_deg, size_wh)
        box_xyxy = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
        return Detections(box_xyxy, self.score, _points_back(self.landmarks_xy, clockwise_deg, size_wh))

    def select(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Detections:
        """Keep the faces that a boolean mask or an index array names, in its order."""
        return Detections(self.box_xyxy[index], self.score[index], self.landmarks_xy[index])


def _points_back(points_xy: FloatArray, clockwise_deg: int, size_wh: tuple[int, int]) -> FloatArray:
    width, height = np.float32(size_wh[0]), np.float32(size_wh[1])
    x, y = points_xy[..., 0], points_xy[..., 1]
    back = {90: (y, height - x), 180: (width - x, height - y), 270: (width - y, x)}[clockwise_deg]
    return np.stack(back, axis=-1)


@runtime_checkable
class Detector(Protocol):
    """A stage that finds faces. Implementations must be safe to call from several threads.

    Attributes
    ----------
    wants_gray : bool
        True where colour is of no use: photos are then handed over in gray, which is made once for all stages.
    """

    @property
    def wants_gray(self) -> bool:  # noqa: D102 - described above
        ...

    def detect(self, image: ImageArray) -> Detections:
        """Find the faces of one image.

        Parameters
        ----------
        image : uint8 array of shape (H, W) or (H, W, 3)
            Gray, or colour in OpenCV's order (BGR).
        """
        ...


@runtime_checkable
class UprightDetector(Detector, Protocol):
    """A detector whose scores tell upright photos; others are shown to it turned, too (`mien.detect.any_way_up`).

    Attributes
    ----------
    sure_score : float
        What a face must reach for its photo to be turned.
    upright_score : float
        A photo with such a face stands upright.
    """

    @property
    def sure_score(self) -> float:  # noqa: D102 - described above
        ...

    @property
    def upright_score(self) -> float:  # noqa: D102 - described above
        ...

    def glance(self, image: ImageArray) -> bool:
        """Whether a face shows in a small version of a photo, whatever the smallest face that is looked for there.

        Parameters
        ----------
        image : uint8 array of shape (H, W) or (H, W, 3)
        """
        ...


@runtime_checkable
class LyingDetector(UprightDetector, Protocol):
    """One that also finds faces that lie on their sides among upright ones."""

    def with_lying(self, image: ImageArray, found: Detections) -> Detections:
        """The faces of an upright photo, and those that lie there on their sides.

        Parameters
        ----------
        image : uint8 array of shape (H, W) or (H, W, 3)
        found : Detections
            What `detect` gave.
        """
        ...
