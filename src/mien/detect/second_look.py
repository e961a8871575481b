"""A second look: faces are cut out of the photo and shown to the detector again, in its favourite size.

Tilted faces are turned upright for another one: the network is best at upright faces, because nearly all that it has
learned from were.

In a big photo the first pass sees a small face with a fraction of its pixels. Its landmarks are rough there, and
leaves or hands pass for faces. Cut out of the photo itself and scaled, many fit into one sheet, so that a second look
at all of them is one run of the network. The sheet is mirrored: what passes for a face only by chance seldom does so
both ways, and where both looks are good, the mean of their landmarks is nearer to the truth than either.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from mien.detect.base import MIRRORED_LANDMARKS, Detections, FloatArray, ImageArray
from mien.detect.image import resize
from mien.detect.pyramid import face_size_px
from mien.detect.suppression import iou_matrix
from mien.opencv import warped

__all__ = ["look_again", "look_upright", "tilt_rad"]

FACE_PX = 64
CELL_PX = 128
# A face of a few pixels, enlarged to 64, is a blur that the network does not know: it stays smaller in its cell.
MOST_ENLARGED = 2.5
CELLS_A_ROW = 5
CELLS_A_SHEET = CELLS_A_ROW * CELLS_A_ROW
# A find of the second look speaks for the first one if it overlaps it this much.
SAME_FACE_IOU = 0.35
# Faces that are tilted by less are read well as they are.
TILTED_RAD = math.radians(12)
# The first look thinks a tilted face less tilted than it is; what is left after one turn is taken away by another.
TURNS = 2
# Turned upright, a face is seen with more than this; folds and ornaments seldom are, and gain nothing by less.
SURE_UPRIGHT = 0.6
# Gray that the network sees as nothing: the middle of its input range.
EMPTY = 127


def look_again(
    gray: ImageArray,
    first: Detections,
    well_seen: npt.NDArray[np.bool_],
    find: Callable[[ImageArray], Detections],
) -> Detections:
    """Read faces again from the photo, each scaled to 64 px, or enlarged by 2.5 if that is less, in a cell of 128 px.

    Parameters
    ----------
    gray : uint8 array of shape (H, W)
        The photo.
    first : Detections
        What the first pass found there.
    well_seen : bool array of shape (N,)
        Which faces the first pass saw in a size that it is good at.
    find : callable
        Takes a gray image and returns candidates before suppression, in pixels of that image.

    Returns
    -------
    Detections
        As many as `first`, in its order. The score is the mean of both looks (the second is 0 where it saw no
        face there). Where the second look saw the face, box and landmarks are the mean of both looks if the face was
        well seen, else those of the second.
    """
    box_xyxy = first.box_xyxy.copy()
    landmarks_xy = first.landmarks_xy.copy()
    second_score = np.zeros(len(first), np.float32)
    for start in range(0, len(first), CELLS_A_SHEET):
        part = np.arange(start, min(start + CELLS_A_SHEET, len(first)))
        sheet, factor, offset = _lay_out(gray, first.box_xyxy[part])
        found = _mirrored(find(np.ascontiguousarray(sheet[:, ::-1])), sheet.shape[1])
        expected = (first.box_xyxy[part].reshape(-1, 2, 2) - offset[:, None]) / factor[:, None]
        best, second_score[part] = _same_faces(expected.reshape(-1, 4).astype(np.float32), found)
        seen = second_score[part] > 0
        index, best, factor, offset = part[seen], best[seen], factor[seen], offset[seen]
        # How much of the first look stays.
        stays = np.where(well_seen[index], np.float32(0.5), np.float32(0))[:, None]
        second_box = found.box_xyxy[best] * np.tile(factor, 2) + np.tile(offset, 2)
        box_xyxy[index] = stays * box_xyxy[index] + (1 - stays) * second_box
        second_landmarks = found.landmarks_xy[best] * factor[:, None] + offset[:, None]
        stays = stays[..., None]
        landmarks_xy[index] = stays * landmarks_xy[index] + (1 - stays) * second_landmarks
    score = ((first.score + second_score) / 2).astype(np.float32)
    return Detections(box_xyxy, score, landmarks_xy)


def tilt_rad(landmarks_xy: FloatArray) -> FloatArray:
    """How far faces are tilted, clockwise in the image, from the lines through eyes and mouth corners: float32 (N,)."""
    across = landmarks_xy[:, 1] - landmarks_xy[:, 0] + landmarks_xy[:, 4] - landmarks_xy[:, 3]
    return np.asarray(np.arctan2(across[:, 1], across[:, 0]), np.float32)


def look_upright(gray: ImageArray, first: Detections, find: Callable[[ImageArray], Detections]) -> Detections:
    """Read tilted faces again, turned upright.

    The network is surest of upright faces, and puts the landmarks of tilted ones too near to where those of an upright
    face would be.

    Parameters
    ----------
    gray : uint8 array of shape (H, W)
        The photo.
    first : Detections
        What was found there.
    find : callable
        As for `look_again`.

    Returns
    -------
    Detections
        As many as `first`, in its order; faces that are not tilted as they were. The score is the mean of both looks
        (the turned one is 0 where it saw no face there), which less than `SURE_UPRIGHT` does not raise; box and
        landmarks are those of the turned look where it saw the face.
    """
    box_xyxy, score, landmarks_xy = first.box_xyxy.copy(), first.score.copy(), first.landmarks_xy.copy()
    tilted = np.flatnonzero(np.abs(tilt_rad(landmarks_xy)) >= TILTED_RAD)
    score[tilted] /= 2
    for _ in range(TURNS):
        parts = [tilted[start : start + CELLS_A_SHEET] for start in range(0, len(tilted), CELLS_A_SHEET)]
        still_tilted = [tilted[:0]]
        for part in parts:
            sheet, to_sheet, expected_xyxy = _lay_out_upright(gray, box_xyxy[part], tilt_rad(landmarks_xy[part]))
            found = find(sheet)
            best, seen_score = _same_faces(expected_xyxy, found)
            seen = seen_score > 0
            rows, best, seen_score = part[seen], best[seen], seen_score[seen]
            for row, index, matrix in zip(rows.tolist(), best.tolist(), to_sheet[seen], strict=True):
                box_xyxy[row], landmarks_xy[row] = _turned_back(found, index, matrix)
            mean = (first.score[rows] + seen_score) / 2
            score[rows] = np.where(seen_score >= SURE_UPRIGHT, mean, np.minimum(mean, first.score[rows]))
            # On the sheet an upright face is one that was turned as far as it is tilted.
            still_tilted.append(rows[np.abs(tilt_rad(found.landmarks_xy[best])) >= TILTED_RAD / 2])
        tilted = np.concatenate(still_tilted)
    return Detections(box_xyxy, score, landmarks_xy)


def _same_faces(expected_xyxy: FloatArray, found: Detections) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """For each place where a face is expected, the index and the score of the best find there; 0 and 0 for none."""
    if not len(found):
        return np.zeros(len(expected_xyxy), np.intp), np.zeros(len(expected_xyxy), np.float32)
    overlap = iou_matrix(expected_xyxy, found.box_xyxy)
    support = np.where(overlap >= SAME_FACE_IOU, found.score, np.float32(0))
    best = support.argmax(axis=1)
    return best, support[np.arange(len(best)), best]


def _turned_back(found: Detections, index: int, to_sheet: npt.NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
    """Box and landmarks of one find on the sheet, as they lie in the photo."""
    back = np.linalg.inv(to_sheet[:, :2])
    corners = found.box_xyxy[index].reshape(2, 2).astype(np.float64)
    centre = back @ (corners.mean(axis=0) - to_sheet[:, 2])
    # The box of the turned ellipse: a head is round.
    half = np.sqrt(back**2 @ ((corners[1] - corners[0]) / 2) ** 2)
    points = (found.landmarks_xy[index] - to_sheet[:, 2]) @ back.T
    return np.concatenate((centre - half, centre + half)).astype(np.float32), points.astype(np.float32)


def _lay_out_upright(
    gray: ImageArray, box_xyxy: FloatArray, tilt: FloatArray
) -> tuple[ImageArray, npt.NDArray[np.float64], FloatArray]:
    """Cut faces out, turn them upright and place them on a sheet.

    Returns the sheet, and for each face the matrix (N, 2, 3) from the photo to the sheet, and its box there (N, 4).
    """
    count = len(box_xyxy)
    columns = min(CELLS_A_ROW, count)
    sheet: ImageArray = np.full((math.ceil(count / columns) * CELL_PX, columns * CELL_PX), EMPTY, np.uint8)
    matrices = np.zeros((count, 2, 3))
    middles = np.zeros((count, 2))
    scales = _enlarged(box_xyxy)
    for i, (box, angle, scale) in enumerate(
        zip(box_xyxy.astype(np.float64), tilt.tolist(), scales.tolist(), strict=True)
    ):
        corner = np.asarray((i % columns, i // columns)) * CELL_PX
        # Area averages first where the face shrinks; the photo around it is enough.
        reach = CELL_PX / scale
        centre = (box[:2] + box[2:]) / 2
        start = np.clip(np.floor(centre - reach).astype(int), 0, np.asarray(gray.shape[::-1]) - 1)
        stop = np.clip(np.ceil(centre + reach).astype(int), start + 1, gray.shape[::-1])
        part = gray[start[1] : stop[1], start[0] : stop[0]]
        shrink = np.ones(2)
        if scale < 0.75:
            size = np.maximum(np.rint((stop - start) * scale).astype(int), 1)
            shrink = size / (stop - start)
            part = resize(part, (int(size[0]), int(size[1])))
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        turn = np.asarray([[cosine, sine], [-sine, cosine]])
        middle = np.asarray((CELL_PX / 2, CELL_PX / 2))
        own = np.concatenate((turn / shrink, (middle - turn @ (centre - start))[:, None]), axis=1)
        kind = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
        cell = warped(part, own, (CELL_PX, CELL_PX), interpolation=kind, fill=EMPTY)
        sheet[corner[1] : corner[1] + CELL_PX, corner[0] : corner[0] + CELL_PX] = cell
        middles[i] = middle + corner
        matrices[i] = np.concatenate((turn, (middles[i] - turn @ centre)[:, None]), axis=1)
    half = (face_size_px(box_xyxy) * scales / 2)[:, None]
    return sheet, matrices, np.concatenate((middles - half, middles + half), axis=1).astype(np.float32)


def _enlarged(box_xyxy: FloatArray) -> npt.NDArray[np.float64]:
    """By how much each face is scaled to be looked at again, (N,)."""
    return np.minimum(FACE_PX / np.maximum(face_size_px(box_xyxy), 1.0), MOST_ENLARGED).astype(np.float64)


def _mirrored(found: Detections, width: int) -> Detections:
    """Finds of a mirrored image, as they lie in the image itself."""
    box_xyxy = found.box_xyxy[:, [2, 1, 0, 3]]
    box_xyxy[:, [0, 2]] = width - box_xyxy[:, [0, 2]]
    landmarks_xy = found.landmarks_xy[:, MIRRORED_LANDMARKS]
    landmarks_xy[..., 0] = width - landmarks_xy[..., 0]
    return Detections(box_xyxy, found.score, landmarks_xy)


def _lay_out(gray: ImageArray, box_xyxy: FloatArray) -> tuple[ImageArray, FloatArray, FloatArray]:
    """Cut faces out and place them on a sheet.

    Returns the sheet, and for each face the scale (N, 2) and offset (N, 2) that lead from the sheet to the photo.
    """
    count = len(box_xyxy)
    columns = min(CELLS_A_ROW, count)
    rows = math.ceil(count / columns)
    sheet: ImageArray = np.full((rows * CELL_PX, columns * CELL_PX), EMPTY, np.uint8)
    factor = np.ones((count, 2), np.float32)
    offset = np.zeros((count, 2), np.float32)
    photo_wh = np.asarray((gray.shape[1], gray.shape[0]))
    for i, (box, scale) in enumerate(zip(box_xyxy.astype(np.float64), 1 / _enlarged(box_xyxy), strict=True)):
        cell_xy = np.asarray((i % columns, i // columns)) * CELL_PX
        corner_xy = (box[:2] + box[2:]) / 2 - scale * CELL_PX / 2
        start = np.clip(np.floor(corner_xy).astype(int), 0, photo_wh - 1)
        stop = np.clip(np.ceil(corner_xy + scale * CELL_PX).astype(int), start + 1, photo_wh)
        cut_wh = stop - start
        size_wh = np.clip(np.rint(cut_wh / scale).astype(int), 1, CELL_PX)
        place = np.clip(np.rint((start - corner_xy) / scale).astype(int), 0, CELL_PX - size_wh) + cell_xy
        cut = gray[start[1] : stop[1], start[0] : stop[0]]
        rows_px = slice(place[1], place[1] + size_wh[1])
        columns_px = slice(place[0], place[0] + size_wh[0])
        sheet[rows_px, columns_px] = resize(cut, (int(size_wh[0]), int(size_wh[1])))
        factor[i] = cut_wh / size_wh
        offset[i] = start - factor[i] * place
    return sheet, factor, offset
