from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from mien.detect import Detections
from mien.detect.mien import MienDetector
from mien.detect.second_look import CELL_PX, FACE_PX, look_again, look_upright, tilt_rad
from tests.blobs import blob, blob_middle_xy
from tests.photos_on_disk import FACE_XYXY, LANDMARKS_XY


def turned(image: np.ndarray, degrees: float, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The photo turned about the face, and where the landmarks are then."""
    centre = FACE_XYXY.reshape(2, 2).mean(axis=0)
    matrix = cv2.getRotationMatrix2D(tuple(map(float, centre)), degrees, scale)
    matrix[:, 2] += 256 - centre
    photo = cv2.warpAffine(image, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    return photo, LANDMARKS_XY @ matrix[:, :2].T + matrix[:, 2]


@pytest.mark.parametrize("degrees", [-45, -30, 30, 45])
@pytest.mark.parametrize("scale", [0.6, 1.5])
def test_landmarks_of_tilted_faces(
    detector: MienDetector, astronaut_bgr: np.ndarray, degrees: float, scale: float
) -> None:
    photo, expected = turned(astronaut_bgr, degrees, scale)
    found = detector.detect(photo)
    assert len(found) >= 1
    eyes = np.linalg.norm(expected[0] - expected[1])
    error = np.linalg.norm(found.landmarks_xy[0] - expected, axis=1).mean() / eyes
    # Without turning: up to 0.35 at 45 degrees.
    assert error < 0.17
    assert abs(math.degrees(float(tilt_rad(found.landmarks_xy[:1])[0])) + degrees) < 10


def test_upright_faces_are_not_looked_at(astronaut_bgr: np.ndarray) -> None:
    def find(image: np.ndarray) -> Detections:
        raise AssertionError("an upright face was turned")

    gray = cv2.cvtColor(astronaut_bgr, cv2.COLOR_BGR2GRAY)
    first = Detections(FACE_XYXY[None], np.float32([0.9]), LANDMARKS_XY[None])
    again = look_upright(gray, first, find)
    np.testing.assert_array_equal(again.landmarks_xy, first.landmarks_xy)
    assert look_upright(gray, Detections.empty(), find).score.shape == (0,)


@pytest.mark.parametrize("size", [30.0, 60.0, 190.0])
@pytest.mark.parametrize("angle", [-0.7, 0.5])
def test_what_is_seen_on_the_sheet_comes_back_to_its_place(size: float, angle: float) -> None:
    """A find that says where a bright point lies on the sheet must come back as that point in the photo."""
    point = np.asarray((310.3, 169.8))
    photo = blob((500, 400), (310.3, 169.8), size / 16, 127)
    centre = point + np.asarray((size / 8, -size / 10))
    across = np.asarray((math.cos(angle), math.sin(angle))) * size / 4
    landmarks = np.stack((centre - across, centre + across, centre, centre - across, centre + across))
    seen: list[tuple[int, int]] = []

    def find(sheet: np.ndarray) -> Detections:
        seen.append(sheet.shape)
        column, row = blob_middle_xy(sheet, 127)
        middle = np.asarray([CELL_PX / 2] * 2)
        box = np.concatenate((middle - FACE_PX / 2, middle + FACE_PX / 2))
        # Where the eyes would lie if the face stood upright: nothing is left to turn.
        points = np.asarray([[40, 50], [90, 50], [column, row], [45, 90], [85, 90]])
        return Detections(box[None].astype(np.float32), np.float32([0.8]), points[None].astype(np.float32))

    box = np.concatenate((centre - size / 2, centre + size / 2))
    first = Detections(box[None].astype(np.float32), np.float32([0.4]), landmarks[None].astype(np.float32))
    for values in (first.box_xyxy, first.score, first.landmarks_xy):
        values.setflags(write=False)
    again = look_upright(photo, first, find)
    # It lay 0.3 to 1.3 px beside it.
    np.testing.assert_allclose(again.landmarks_xy[0, 2], point, atol=0.02 + size / 3000)
    np.testing.assert_allclose(tilt_rad(again.landmarks_xy), [angle], atol=1e-4)
    # The box of a turned circle is as large as before.
    np.testing.assert_allclose(again.box_xyxy[0], box, atol=1)
    assert again.score[0] == pytest.approx(0.6)
    assert seen == [(CELL_PX, CELL_PX)]


def test_a_face_on_its_head_is_looked_at_once() -> None:
    """Turned by 179 degrees and still askew by 2 it is well seen; 181 and -179 are the same."""
    photo = np.full((300, 300), 127, np.uint8)
    looks: list[tuple[int, ...]] = []

    def turned_by(degrees: float) -> np.ndarray:
        angle = math.radians(degrees)
        upright = np.float32([[-20, -15], [20, -15], [0, 0], [-15, 20], [15, 20]])
        return upright @ np.float32([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])

    def find(sheet: np.ndarray) -> Detections:
        looks.append(sheet.shape)
        middle = np.float32([CELL_PX / 2] * 2)
        box = np.concatenate((middle - FACE_PX / 2, middle + FACE_PX / 2))
        return Detections(box[None], np.float32([0.9]), middle + turned_by(2)[None])

    first = Detections(np.float32([[118, 118, 182, 182]]), np.float32([0.6]), 150 + turned_by(179)[None])
    again = look_upright(photo, first, find)
    assert looks == [(CELL_PX, CELL_PX)]
    np.testing.assert_allclose(again.landmarks_xy[0], 150 + turned_by(181), atol=1e-3)


@pytest.mark.parametrize("seen_px", [0, FACE_PX // 2])
def test_a_face_that_the_turned_look_does_not_see_stays_in_place_with_half_its_score(seen_px: int) -> None:
    """Nothing, or something half as large in its middle: a nose is no face."""
    photo = np.full((200, 200), 127, np.uint8)
    landmarks = np.float32([[[60, 60], [100, 90], [75, 90], [50, 100], [85, 125]]])
    first = Detections(np.float32([[40, 40, 120, 140]]), np.float32([0.7]), landmarks)
    box = np.float32([CELL_PX / 2] * 4) + np.float32([-1, -1, 1, 1]) * seen_px / 2
    nose = Detections(box[None], np.float32([0.9]), np.zeros((1, 5, 2), np.float32))
    again = look_upright(photo, first, lambda sheet: nose if seen_px else Detections.empty())
    np.testing.assert_array_equal(again.box_xyxy, first.box_xyxy)
    np.testing.assert_array_equal(again.landmarks_xy, first.landmarks_xy)
    assert again.score == pytest.approx([0.35])


def test_both_looks_count_alike_where_both_are_good() -> None:
    """Three faces of 64 px, so that sheet and photo have one scale; the second look sees two, moved by (4, -2)."""
    photo = np.full((300, 500), 127, np.uint8)
    box = np.float32([[40, 40, 104, 104], [190, 120, 254, 184], [350, 200, 414, 264]])
    eyes_and_mouth = np.float32([[20, 20], [44, 20], [32, 32], [22, 46], [42, 46]])
    first = Detections(box, np.float32([0.9, 0.6, 0.8]), box[:, None, :2] + eyes_and_mouth)
    moved = np.float32([4, -2])

    def find(sheet: np.ndarray) -> Detections:
        assert sheet.shape == (CELL_PX, 3 * CELL_PX)
        corner = np.float32([[32, 32], [CELL_PX + 32, 32]]) + moved
        seen = Detections(
            np.concatenate((corner, corner + FACE_PX), axis=1),
            np.float32([0.7, 0.8]),
            corner[:, None] + eyes_and_mouth,
        )
        # The sheet is mirrored, and so is what is seen there.
        seen.box_xyxy[:, [0, 2]] = sheet.shape[1] - seen.box_xyxy[:, [2, 0]]
        seen.landmarks_xy[..., 0] = sheet.shape[1] - seen.landmarks_xy[:, [1, 0, 2, 4, 3], 0]
        seen.landmarks_xy[..., 1] = seen.landmarks_xy[:, [1, 0, 2, 4, 3], 1]
        return seen

    again = look_again(photo, first, np.asarray([True, False, True]), find)
    np.testing.assert_allclose(again.score, [0.8, 0.7, 0.4], atol=1e-6)
    by = np.stack((moved / 2, moved, np.zeros(2, np.float32)))
    np.testing.assert_allclose(again.landmarks_xy, first.landmarks_xy + by[:, None], atol=0.01)
    np.testing.assert_allclose(again.box_xyxy, first.box_xyxy + np.tile(by, 2), atol=0.01)


def test_many_tilted_faces_take_more_than_one_sheet(astronaut_bgr: np.ndarray) -> None:
    gray = cv2.cvtColor(astronaut_bgr, cv2.COLOR_BGR2GRAY)
    count, sheets = 60, []
    landmarks = np.tile(np.float32([[60, 60], [100, 90], [75, 90], [50, 100], [85, 125]]), (count, 1, 1))

    def find(sheet: np.ndarray) -> Detections:
        sheets.append(sheet.shape)
        return Detections.empty()

    boxes = np.tile(np.float32([[40, 40, 120, 140]]), (count, 1))
    look_upright(gray, Detections(boxes, np.full(count, 0.5, np.float32), landmarks), find)
    assert sheets == [(640, 640), (640, 640), (256, 640)]
