"""One training image: parts of photos side by side, at many scales and tilts, with things pasted and drawn in.

Every choice comes from the generator that is given, so that the same seed makes the same image whatever happened
before: a run that is resumed sees what it would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from mien.data.photos.change import darken, tilted_box
from mien.detect.base import MIRRORED_LANDMARKS
from mien.detect.image import resize
from mien.opencv import warped
from mien.train.detector.crowd import cover_face, draw_crowd
from mien.train.detector.distractors import draw_distractor, draw_pattern
from mien.train.detector.photos import CroppedFaces, PhotoStore, TrainingPhoto
from mien.train.detector.pixels import change_light, degrade
from mien.train.options.detector import DetectorAugment

__all__ = ["TrainingImage", "make_mosaic"]

FloatArray = npt.NDArray[np.float32]
GrayImage = npt.NDArray[np.uint8]

# Of a face that leaves its tile, this much must be seen to learn it.
_SEEN_SHARE = 0.6
_SMALLEST_TILE_PX = 28
_FILLS = (0, 127, 127, 255)
# Of a smaller face that is partly hidden, nothing is left to know it by.
_COVERED_PX = 14.0
_COVER_PX = 64
_LARGEST_IN_CROWD = 0.15


@dataclass
class TrainingImage:
    """One image and what is in it.

    Attributes
    ----------
    image : uint8 (S, S)
    box_xyxy : float32 (N, 4)
    landmarks_xy : float32 (N, 5, 2)
        NaN for points that are unknown or lie outside.
    by_person : bool (N,)
    ignore_xyxy : float32 (M, 4)
    """

    image: GrayImage
    box_xyxy: FloatArray
    landmarks_xy: FloatArray
    by_person: npt.NDArray[np.bool_]
    ignore_xyxy: FloatArray


@dataclass
class _Canvas:
    image: GrayImage
    boxes: list[FloatArray] = field(default_factory=list)
    landmarks: list[FloatArray] = field(default_factory=list)
    by_person: list[bool] = field(default_factory=list)
    ignore: list[FloatArray] = field(default_factory=list)


@dataclass(frozen=True)
class _Tile:
    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


def make_mosaic(
    store: PhotoStore,
    settings: DetectorAugment,
    side_px: int,
    rng: np.random.Generator,
    crops: CroppedFaces | None = None,
) -> TrainingImage:
    """Make one training image of `side_px` by `side_px`."""
    canvas = _Canvas(np.full((side_px, side_px), 127, np.uint8))
    whole = _Tile(0, 0, side_px, side_px)
    if rng.random() < settings.crowds:
        _fill_crowd(canvas, store, settings, rng)
    elif rng.random() < settings.single:
        _fill(canvas, whole, store, settings, rng)
    else:
        x, y = (int(side_px * rng.uniform(0.3, 0.7)) for _ in range(2))
        if rng.random() < 0.3:
            # As on the sheet of `mien.detect.second_look`: cells of one size.
            x = y = side_px // 2
        for tile in (
            _Tile(0, 0, x, y),
            _Tile(x, 0, side_px, y),
            _Tile(0, y, x, side_px),
            _Tile(x, y, side_px, side_px),
        ):
            _fill(canvas, tile, store, settings, rng)
    if crops is not None and len(crops) and rng.random() < settings.paste:
        for _ in range(int(rng.integers(1, 4))):
            _paste(canvas, crops, settings, rng)
    if rng.random() < settings.distractors:
        for _ in range(int(rng.integers(1, 4))):
            _distract(canvas, rng)
    for box in canvas.boxes:
        if _area(box) >= _COVERED_PX**2 and rng.random() < settings.cover:
            cover_face(canvas.image, box, _empty_part(store, _COVER_PX, _COVER_PX, rng), rng)
    canvas.image = degrade(canvas.image, settings.noise_share, settings.blur_share, rng)
    return TrainingImage(
        canvas.image,
        np.asarray(canvas.boxes, np.float32).reshape(-1, 4),
        np.asarray(canvas.landmarks, np.float32).reshape(-1, 5, 2),
        np.asarray(canvas.by_person, bool),
        np.asarray(canvas.ignore, np.float32).reshape(-1, 4),
    )


def _fill(canvas: _Canvas, tile: _Tile, store: PhotoStore, settings: DetectorAugment, rng: np.random.Generator) -> None:
    """Fill a tile with one photo, or with several where a photo at its scale is smaller than the tile."""
    if min(tile.width, tile.height) < _SMALLEST_TILE_PX or rng.random() < settings.empty:
        _fill_empty(canvas, tile, store, rng)
        return
    index = store.draw(rng)
    photo, gray = store.photos[index], store.gray(index)
    if not len(photo.box_xyxy):
        _fill_empty(canvas, tile, store, rng)
        return
    sides = photo.box_xyxy[:, 2:] - photo.box_xyxy[:, :2]
    sizes = np.sqrt(np.maximum(sides[:, 0] * sides[:, 1], 1))
    chosen = int(rng.integers(len(sizes)))
    # From the smallest size to one that fills the tile, every factor as often as any other.
    largest = min(settings.largest_face_share * min(tile.width, tile.height), settings.max_enlarge * sizes[chosen])
    smallest = min(settings.smallest_face_px, largest)
    wanted = math.exp(rng.uniform(math.log(smallest), math.log(largest)))
    scale = wanted / sizes[chosen]
    size = np.asarray(gray.shape[::-1]) * scale
    if size[0] < 0.6 * tile.width:
        middle = tile.left + max(int(size[0]), 1)
        _fill(canvas, _Tile(middle, tile.top, tile.right, tile.bottom), store, settings, rng)
        tile = _Tile(tile.left, tile.top, middle, tile.bottom)
    if size[1] < 0.6 * tile.height:
        middle = tile.top + max(int(size[1]), 1)
        _fill(canvas, _Tile(tile.left, middle, tile.right, tile.bottom), store, settings, rng)
        tile = _Tile(tile.left, tile.top, tile.right, middle)
    _show(canvas, tile, gray, photo, chosen, scale, settings, rng)


def _show(
    canvas: _Canvas,
    tile: _Tile,
    gray: GrayImage,
    photo: TrainingPhoto,
    chosen: int,
    scale: float,
    settings: DetectorAugment,
    rng: np.random.Generator,
) -> None:
    strong = rng.random() < settings.strong_tilt
    angle = math.radians(
        rng.uniform(-settings.strong_tilt_deg, settings.strong_tilt_deg) if strong else rng.normal(0, settings.tilt_deg)
    )
    mirrored = bool(rng.random() < 0.5)
    box = photo.box_xyxy[chosen].astype(np.float64)
    matrix = _place(gray.shape, (box[:2] + box[2:]) / 2, scale, angle, mirrored, tile, rng)
    canvas.image[tile.top : tile.bottom, tile.left : tile.right] = _light(
        _warp(gray, matrix, tile, scale, rng), settings, rng
    )
    matrix[:, 2] += (tile.left, tile.top)
    landmarks = photo.landmarks_xy @ matrix[:, :2].T + matrix[:, 2]
    if mirrored:
        landmarks = landmarks[:, MIRRORED_LANDMARKS]
    bounds = np.asarray([tile.left, tile.top, tile.right, tile.bottom], np.float32)
    for face, points, by_person in zip(
        tilted_box(photo.box_xyxy, matrix), landmarks.astype(np.float32), photo.by_person, strict=True
    ):
        _add(canvas, face, points, bool(by_person), bounds, settings.smallest_face_px)
    canvas.ignore += [_clipped(place, bounds) for place in tilted_box(photo.ignore_xyxy, matrix)]


def _place(
    shape: tuple[int, ...],
    centre: npt.NDArray[np.float64],
    scale: float,
    angle: float,
    mirrored: bool,
    tile: _Tile,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """From places in the photo to places in the tile: the face somewhere in it, and the tile within the photo."""
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.asarray([[cosine, -sine], [sine, cosine]])
    if mirrored:
        turn[:, 0] *= -1
    wanted = np.asarray([tile.width * rng.uniform(0.15, 0.85), tile.height * rng.uniform(0.15, 0.85)])
    shift = wanted - turn @ centre
    # The photo's corners seen from the tile; where the photo is larger than the tile, no edge needs to show.
    corners = np.asarray([[0, 0], [shape[1], 0], [0, shape[0]], [shape[1], shape[0]]]) @ turn.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    for axis, length in enumerate((tile.width, tile.height)):
        if high[axis] - low[axis] >= length:
            shift[axis] = min(max(shift[axis], length - high[axis]), -low[axis])
    return np.concatenate((turn, shift[:, None]), axis=1)


def _warp(
    gray: GrayImage, matrix: npt.NDArray[np.float64], tile: _Tile, scale: float, rng: np.random.Generator
) -> GrayImage:
    matrix = matrix.copy()
    if scale < 0.75:
        # Area averages first, as in recognition: a warp alone would leave out pixels.
        size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
        factor = (gray.shape[1] / size[0], gray.shape[0] / size[1])
        gray = resize(gray, size)
        matrix[:, 0] *= factor[0]
        matrix[:, 1] *= factor[1]
    fill = int(_FILLS[int(rng.integers(len(_FILLS)))])
    return warped(gray, matrix, (tile.width, tile.height), fill=fill)


def _light(image: GrayImage, settings: DetectorAugment, rng: np.random.Generator) -> GrayImage:
    image = change_light(image, settings.light, rng)
    return darken(image, rng) if rng.random() < settings.low_light else image


def _add(
    canvas: _Canvas, box: FloatArray, points: FloatArray, by_person: bool, bounds: FloatArray, smallest_px: float
) -> None:
    """Take a face in as one to learn, as one to ignore, or not at all."""
    seen = _clipped(box, bounds)
    area, seen_area = _area(box), _area(seen)
    if seen_area <= 0:
        return
    if seen_area < _SEEN_SHARE * area or math.sqrt(area) < smallest_px:
        canvas.ignore.append(seen)
        return
    outside = (points < bounds[:2] - 2) | (points > bounds[2:] + 2)
    points = np.where(outside.any(axis=1, keepdims=True), np.nan, points)
    canvas.boxes.append(box)
    canvas.landmarks.append(points.astype(np.float32))
    canvas.by_person.append(by_person)


def _clipped(box: FloatArray, bounds: FloatArray) -> FloatArray:
    low, high = bounds[[0, 1, 0, 1]], bounds[[2, 3, 2, 3]]
    return np.asarray(np.clip(box, low, high), np.float32)


def _area(box: FloatArray) -> float:
    return max(0.0, float(box[2] - box[0])) * max(0.0, float(box[3] - box[1]))


def _fill_empty(canvas: _Canvas, tile: _Tile, store: PhotoStore, rng: np.random.Generator) -> None:
    """Fill a tile with what shows no face."""
    if tile.width > 0 and tile.height > 0:
        part = _empty_part(store, tile.width, tile.height, rng)
        canvas.image[tile.top : tile.bottom, tile.left : tile.right] = part


def _empty_part(store: PhotoStore, width: int, height: int, rng: np.random.Generator) -> GrayImage:
    """A part of a photo that shows no face, or a pattern where none is found; uint8 (height, width)."""
    for _ in range(3):
        index = store.draw(rng)
        photo, gray = store.photos[index], store.gray(index)
        scale = math.exp(rng.uniform(math.log(0.5), math.log(3.0)))
        cut = (max(8, int(width / scale)), max(8, int(height / scale)))
        if cut[0] > gray.shape[1] or cut[1] > gray.shape[0]:
            continue
        left, top = int(rng.integers(gray.shape[1] - cut[0] + 1)), int(rng.integers(gray.shape[0] - cut[1] + 1))
        bounds = np.asarray([left, top, left + cut[0], top + cut[1]], np.float32)
        taken = np.concatenate((photo.box_xyxy, photo.ignore_xyxy))
        if any(_area(_clipped(box, bounds)) > 0 for box in taken):
            continue
        part = resize(np.ascontiguousarray(gray[top : top + cut[1], left : left + cut[0]]), (width, height))
        return change_light(part, 1.0, rng)
    return draw_pattern(width, height, rng)


def _fill_crowd(canvas: _Canvas, store: PhotoStore, settings: DetectorAugment, rng: np.random.Generator) -> None:
    """Fill the whole image with a crowd in front of something without faces."""
    side = len(canvas.image)
    canvas.image = _empty_part(store, side, side, rng)
    bounds = np.asarray([0, 0, side, side], np.float32)
    sizes_px = (settings.smallest_face_px, max(settings.smallest_face_px, _LARGEST_IN_CROWD * side))
    for face in draw_crowd(canvas.image, store, settings.light, sizes_px, rng):
        if face.seen_share >= _SEEN_SHARE:
            _add(canvas, face.box_xyxy, face.landmarks_xy, face.by_person, bounds, settings.smallest_face_px)
        else:
            canvas.ignore.append(_clipped(face.box_xyxy, bounds))
    if rng.random() < settings.low_light:
        canvas.image = darken(canvas.image, rng)


def _free_place(canvas: _Canvas, size: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """Left and top of a square that touches no face; None where none was found."""
    side = len(canvas.image)
    if size >= side:
        return None
    taken = np.asarray([*canvas.boxes, *canvas.ignore], np.float32).reshape(-1, 4)
    for _ in range(6):
        left, top = (int(value) for value in rng.integers(side - size, size=2))
        touches = (taken[:, 0] < left + size) & (taken[:, 2] > left) & (taken[:, 1] < top + size) & (taken[:, 3] > top)
        if not touches.any():
            return left, top
    return None


def _distract(canvas: _Canvas, rng: np.random.Generator) -> None:
    size = int(math.exp(rng.uniform(math.log(14), math.log(0.45 * len(canvas.image)))))
    place = _free_place(canvas, size, rng)
    if place is not None:
        left, top = place
        draw_distractor(canvas.image, (left, top, left + size, top + size), rng)


def _paste(canvas: _Canvas, crops: CroppedFaces, settings: DetectorAugment, rng: np.random.Generator) -> None:
    """Paste a cropped face with soft edges where no other face is."""
    number = int(rng.integers(len(crops)))
    crop = crops.images[number]
    side = crop.shape[0]
    largest = settings.max_enlarge * side
    smallest = min(1.6 * settings.smallest_face_px, largest)
    size = int(math.exp(rng.uniform(math.log(smallest), math.log(largest))))
    place = _free_place(canvas, size, rng)
    if place is None:
        return
    left, top = place
    scale = size / side
    angle = rng.normal(0, settings.tilt_deg)
    matrix = np.asarray(cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1.0), np.float64)
    turned = warped(crop, matrix, (side, side), border=cv2.BORDER_REPLICATE)
    face = change_light(resize(turned, (size, size)), settings.light, rng)
    # An ellipse that fades at its edge, or the plain square as in a collage.
    alpha = np.ones((size, size), np.float32)
    if rng.random() < 0.7:
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
        radius = np.sqrt(axis[:, None] ** 2 + axis[None] ** 2)
        alpha = np.clip((1.15 - radius) / 0.2, 0, 1)
    part = canvas.image[top : top + size, left : left + size]
    canvas.image[top : top + size, left : left + size] = (alpha * face + (1 - alpha) * part).astype(np.uint8)
    matrix = matrix * scale
    matrix[:, 2] += (left, top)
    points = (crops.landmarks_xy[number] @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    bounds = np.asarray([left, top, left + size, top + size], np.float32)
    _add(canvas, tilted_box(crops.box_xyxy[number][None], matrix)[0], points, False, bounds, settings.smallest_face_px)
