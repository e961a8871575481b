"""Several views of one face: shifted and mirrored crops, whose mean answer is right somewhat more often than one."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["take_views"]

Pixels = TypeVar("Pixels", bound=npt.NDArray[Any])


def take_views(images: Pixels, count: int = 10) -> list[Pixels]:
    """The first of ten views: as it is and shifted to the four sides (the edge is repeated), each also mirrored.

    Shifts are a twenty-fourth of the width: two pixels of 48, as is usual on FER2013.

    Parameters
    ----------
    images : array of shape (..., H, W)
    count : int
        1, 2 or 10: the face as it is; its mirror image too; both, and both shifted to each side.

    Returns
    -------
    list of `count` arrays of shape (..., H, W)
        The first is `images`.
    """
    height, width = images.shape[-2:]
    by = max(1, round(width / 24))
    shifted: list[Any] = [images]
    if count > 2:
        padded = np.pad(images, [(0, 0)] * (images.ndim - 2) + [(by, by), (by, by)], mode="edge")
        shifted += [
            padded[..., by + dy : by + dy + height, by + dx : by + dx + width]
            for dx, dy in ((by, 0), (-by, 0), (0, by), (0, -by))
        ]
    views: list[Any] = [np.ascontiguousarray(view) for image in shifted for view in (image, image[..., ::-1])]
    return views[:count]
