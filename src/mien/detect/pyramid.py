"""Working sizes: which scales of a photo a detector looks at, and how the finds become one list.

A detector knows faces of a certain range of sizes in its input. A photo is therefore looked at in several sizes: the
finest makes the smallest face that was asked for large enough, the coarsest makes a face that fills the frame small
enough, and steps of at most a factor of about four lie between. A large working size is cut into tiles that overlap,
so that memory stays bounded whatever the photo.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mien.detect.base import Detections, FloatArray, ImageArray
from mien.detect.image import resize
from mien.detect.suppression import suppress

__all__ = ["Level", "PyramidSettings", "concatenate", "detect_in_levels", "face_size_px", "plan_levels"]

Find = Callable[[ImageArray], Detections]


@dataclass(frozen=True)
class PyramidSettings:
    """How a detector wants its photos scaled. Sizes are in pixels of the detector's input unless said otherwise.

    Attributes
    ----------
    smallest_face_px, largest_face_px : float
        Range of face sizes (square root of the box area) that the detector finds. Tiles overlap by the second,
        and larger faces are left to a coarser level.
    best_face_min_px, best_face_max_px : float
        Range in which boxes and landmarks are best; decides between two levels that saw the same face.
    frame_face_px : float
        Short side of the coarsest level: a face that fills the photo has about this size there.
    max_upscale : float
        A photo is never enlarged by more than this.
    auto_photo_area_px : float
        Where no smallest face is asked for, photos up to this area are taken as they are; for larger ones, the area
        of the finest level is the geometric mean of the photo's area and this one, so that the time for looking
        grows more slowly than the time for decoding.
    auto_min_area_px, auto_max_area_px : float
        Bounds of that area; thumbnails below the first are enlarged.
    tile_px : float
        A level with a longer side is cut into tiles of at most this side.
    iou_threshold, inside_threshold : float
        See `mien.detect.suppression.suppress`.
    """

    smallest_face_px: float = 20.0
    largest_face_px: float = 192.0
    best_face_min_px: float = 48.0
    best_face_max_px: float = 160.0
    frame_face_px: float = 160.0
    max_upscale: float = 2.0
    auto_photo_area_px: float = 500_000.0
    auto_min_area_px: float = 320.0 * 240.0
    auto_max_area_px: float = 2048.0 * 1536.0
    tile_px: float = 1280.0
    iou_threshold: float = 0.45
    inside_threshold: float = 0.8


@dataclass(frozen=True)
class Level:
    """One working size.

    Attributes
    ----------
    size_wh : (int, int)
        The photo is scaled to this.
    keep_px : (float, float)
        Faces from this to this size, in pixels of the level, are taken from it.
    """

    size_wh: tuple[int, int]
    keep_px: tuple[float, float]


def plan_levels(size_wh: tuple[int, int], min_face_px: float | None, settings: PyramidSettings) -> list[Level]:
    """Choose the working sizes of a photo, finest first.

    Parameters
    ----------
    size_wh : (int, int)
        Width and height of the photo.
    min_face_px : float or None
        The smallest face to be found, in pixels of the photo; None for what costs about as much as decoding.
    settings : PyramidSettings
        What the detector wants.
    """
    width, height = size_wh
    if min_face_px is None:
        fine = _auto_scale(float(width * height), settings)
    else:
        fine = min(settings.smallest_face_px / min_face_px, settings.max_upscale)
    coarse = min(settings.frame_face_px / min(size_wh), fine)
    # A coarser level that is nearly as fine as the finest brings nothing new.
    octaves = math.log2(fine / coarse)
    steps = max(1, math.ceil(octaves / 2 - 0.1)) if octaves > 0.7 else 0
    levels = []
    for step in range(steps + 1):
        scale = fine / 2 ** (octaves * step / max(steps, 1))
        keep_px = (
            0.0 if step == 0 else settings.smallest_face_px,
            math.inf if step == steps else settings.largest_face_px,
        )
        level_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        levels.append(Level(level_wh, keep_px))
    return levels


def _auto_scale(area: float, settings: PyramidSettings) -> float:
    wanted = math.sqrt(area * min(area, settings.auto_photo_area_px))
    wanted = min(max(wanted, settings.auto_min_area_px), settings.auto_max_area_px)
    scale = min(math.sqrt(wanted / area), settings.max_upscale)
    # Close to the photo's own size, scaling would only cost time and sharpness.
    return 1.0 if 0.9 < scale < 1.2 else scale


def detect_in_levels(
    image: ImageArray, levels: list[Level], find: Find, settings: PyramidSettings
) -> tuple[Detections, FloatArray]:
    """Look at an image in each of its working sizes and merge the finds.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3)
        The photo, in the form that `find` takes.
    levels : list of Level
        Finest first.
    find : callable
        Takes an image of at most `tile_px` by `tile_px` and returns its faces in pixels of that image; they may
        still contain several boxes of one face.
    settings : PyramidSettings
        Sizes and thresholds.

    Returns
    -------
    Detections
        In pixels of `image`, one for each face, in no particular order.
    float32 array of shape (N,)
        The size at which the detector saw each face, in pixels of its input.
    """
    height, width = image.shape[:2]
    parts: list[Detections] = []
    sizes: list[FloatArray] = []
    scaled = image
    for level in levels:
        # Each level is made from the one before: the photo itself is read only once.
        scaled = resize(scaled, level.size_wh)
        found = _find_in_tiles(scaled, find, settings)
        size_px = face_size_px(found.box_xyxy)
        fits = (size_px >= level.keep_px[0]) & (size_px <= level.keep_px[1])
        factor = np.asarray((width / level.size_wh[0], height / level.size_wh[1]), np.float32)
        found = found.select(fits)
        parts.append(Detections(found.box_xyxy * np.tile(factor, 2), found.score, found.landmarks_xy * factor))
        sizes.append(size_px[fits])
    merged, seen_px = concatenate(parts), np.concatenate(sizes)
    keep = suppress(
        merged.box_xyxy,
        merged.score - _size_penalty(seen_px, settings),
        iou_threshold=settings.iou_threshold,
        inside_threshold=settings.inside_threshold,
    )
    return merged.select(keep), seen_px[keep]


def face_size_px(box_xyxy: FloatArray) -> FloatArray:
    """Size of each face: the square root of its box area, float32 of shape (N,)."""
    sides = np.maximum(box_xyxy[:, 2:] - box_xyxy[:, :2], 0)
    size: FloatArray = np.sqrt(sides[:, 0] * sides[:, 1])
    return size


def concatenate(parts: list[Detections]) -> Detections:
    """All faces of several lists, in their order."""
    if not parts:
        return Detections.empty()
    return Detections(
        np.concatenate([p.box_xyxy for p in parts]),
        np.concatenate([p.score for p in parts]),
        np.concatenate([p.landmarks_xy for p in parts]),
    )


def _size_penalty(size_px: FloatArray, settings: PyramidSettings) -> FloatArray:
    """What a face loses in rank for being seen too small or too large: 0.2 for each factor of two."""
    size = np.maximum(size_px, 1.0)
    too_small = np.log2(max(settings.best_face_min_px, 1.0) / size)
    too_large = np.log2(size / settings.best_face_max_px)
    penalty: FloatArray = (0.2 * np.maximum(np.maximum(too_small, too_large), 0)).astype(np.float32)
    return penalty


def _find_in_tiles(image: ImageArray, find: Find, settings: PyramidSettings) -> Detections:
    """Run `find` over overlapping tiles; each tile answers for the faces whose centre lies in its own part."""
    height, width = image.shape[:2]
    tile, overlap = int(settings.tile_px), int(settings.largest_face_px)
    if max(height, width) <= tile:
        return find(image)
    parts = []
    for top, bottom, own_top, own_bottom in _spans(height, tile, overlap):
        for left, right, own_left, own_right in _spans(width, tile, overlap):
            found = find(np.ascontiguousarray(image[top:bottom, left:right]))
            offset = np.asarray((left, top), np.float32)
            box_xyxy = found.box_xyxy + np.tile(offset, 2)
            x, y = ((box_xyxy[:, :2] + box_xyxy[:, 2:]) / 2).T
            own = (x >= own_left) & (x <= own_right) & (y >= own_top) & (y <= own_bottom)
            parts.append(Detections(box_xyxy, found.score, found.landmarks_xy + offset).select(own))
    return concatenate(parts)


def _spans(length: int, tile: int, overlap: int) -> Iterator[tuple[int, int, float, float]]:
    """Tiles along one axis: start, stop, and the part whose faces the tile answers for.

    The parts reach 8 px into each other, so that a face on the line is not lost to a rounding; the suppression
    removes what is found twice.
    """
    if length <= tile:
        yield 0, length, -math.inf, math.inf
        return
    count = math.ceil((length - overlap) / (tile - overlap))
    # No larger than these many tiles need, in steps that the network takes without padding.
    tile = min(tile, math.ceil((length + (count - 1) * overlap) / count / 32) * 32)
    starts = [round(i * (length - tile) / (count - 1)) for i in range(count)]
    for i, start in enumerate(starts):
        own_start = -math.inf if i == 0 else (start + starts[i - 1] + tile) / 2 - 8
        own_stop = math.inf if i == count - 1 else (starts[i + 1] + start + tile) / 2 + 8
        yield start, start + tile, own_start, own_stop
