from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.detect import Detections, detect_any_way_up
from mien.detect.mien import MienDetector
from mien.detect.second_look import tilt_rad
from mien.opencv import turned
from mien.zoo.store import StoredModel
from tests.fakes import FakeDetector
from tests.photos_on_disk import FACE_XYXY, LANDMARKS_XY


@pytest.mark.parametrize("clockwise_deg", [0, 90, 180, 270])
def test_faces_come_back_to_their_places(detector: MienDetector, astronaut_bgr: np.ndarray, clockwise_deg: int) -> None:
    """Turned by any quarter, the photo of 512 x 512 and a cut of it give what they give upright."""
    photo = astronaut_bgr[:300, 60:]
    expected = detector.detect(photo)
    found, upright_deg = detect_any_way_up(detector, turned(photo, clockwise_deg))
    assert (clockwise_deg + upright_deg) % 360 == 0
    assert found.score[0] == pytest.approx(expected.score[0])
    # Where the face lies in the turned photo, whose sides change places at a quarter.
    height, width = turned(photo, clockwise_deg).shape[:2]
    x, y = found.landmarks_xy[0].T
    places = {0: (x, y), 90: (y, width - x), 180: (width - x, height - y), 270: (height - y, x)}
    np.testing.assert_allclose(np.stack(places[clockwise_deg], axis=1), expected.landmarks_xy[0], atol=1e-3)
    if not clockwise_deg:
        np.testing.assert_allclose(found.landmarks_xy[0] + (60, 0), LANDMARKS_XY, atol=12)
    left, top, right, bottom = found.box_xyxy[0]
    assert left < x.min() < x.max() < right
    assert top < y.min() < y.max() < bottom
    sides = np.sort([right - left, bottom - top])
    np.testing.assert_allclose(sides, np.sort(expected.box_xyxy[0, 2:] - expected.box_xyxy[0, :2]), atol=1e-3)
    assert sides[0] > (FACE_XYXY[2] - FACE_XYXY[0]) / 2


class Scripted:
    """Gives one face of the next score at each call, wherever it looks; 0 is no face."""

    wants_gray = True

    sure_score, upright_score = 0.7, 0.8

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.glances: list[tuple[int, ...]] = []
        self.shapes: list[tuple[int, ...]] = []

    def detect(self, image: np.ndarray) -> Detections:
        score = self.scores[len(self.glances)]
        assert score or not self.glances, "a turn without a face was searched"
        self.shapes.append(image.shape)
        if not score:
            return Detections.empty()
        return Detections(np.float32([[10, 20, 30, 50]]), np.float32([score]), np.zeros((1, 5, 2), np.float32))

    def glance(self, image: np.ndarray) -> bool:
        self.glances.append(image.shape)
        return bool(self.scores[len(self.glances)])


@pytest.mark.parametrize(
    ("scores", "upright_deg", "best"),
    [
        ((0.9,), 0, 0.9),  # sure: one look
        ((0.6, 0.0, 0.0, 0.0), 0, 0.6),
        ((0.6, 0.65, 0.69, 0.0), 0, 0.6),  # no turn is sure
        ((0.0, 0.0, 0.0, 0.0), 0, 0.0),
        ((0.6, 0.8, 0.9, 0.75), 180, 0.9),  # the surest
        ((0.0, 0.0, 0.5, 0.71), 270, 0.71),
        ((0.74, 0.0, 0.9, 0.0), 180, 0.9),  # sure, and yet on its head
        ((0.74, 0.75, 0.78, 0.0), 0, 0.74),  # round, alike from all sides
        ((0.74, 0.85, 0.9, 0.87), 180, 0.9),
    ],
)
def test_a_photo_is_turned_only_for_a_sure_face(scores, upright_deg, best):
    scripted = Scripted(*scores)
    found, turned_deg = detect_any_way_up(scripted, np.zeros((100, 200), np.uint8))
    assert turned_deg == upright_deg
    assert found.score.max(initial=0) == pytest.approx(best)
    assert len(scripted.glances) == len(scores) - 1
    assert len(scripted.shapes) == 1 + sum(map(bool, scores[1:]))


@pytest.mark.parametrize(
    ("scores", "box_xyxy"),
    [
        # The finds lie at 10 to 30 from the left and 20 to 50 from the top of the turned photo.
        ((0, 0.9, 0, 0), (20, 70, 50, 90)),
        ((0, 0, 0.9, 0), (170, 50, 190, 80)),
        ((0, 0, 0, 0.9), (150, 10, 180, 30)),
    ],
)
def test_boxes_are_those_of_the_photo_as_it_was_given(scores, box_xyxy):
    found, _ = detect_any_way_up(Scripted(*scores), np.zeros((100, 200), np.uint8))
    assert found.box_xyxy.tolist() == [list(map(float, box_xyxy))]


@pytest.mark.parametrize(
    ("shape", "glance"),
    [((3000, 4000), (480, 640)), ((750, 1000), (375, 500)), ((300, 400), (240, 320)), ((300, 200), (300, 200))],
)
def test_large_photos_are_glanced_at_in_small(shape, glance):
    scripted = Scripted(0, 0, 0.9, 0)
    detect_any_way_up(scripted, np.zeros(shape, np.uint8))
    assert scripted.glances == [glance[::-1], glance, glance[::-1]]
    assert scripted.shapes == [shape] * 2


@pytest.mark.parametrize("clockwise_deg", [90, 180])
def test_the_smallest_face_to_look_for_is_that_of_the_photo(
    model: StoredModel, astronaut_bgr: np.ndarray, clockwise_deg: int
) -> None:
    """The face has 400 px of 2048: in what is glanced at, fewer than it must have in the photo."""
    detector = MienDetector(model, min_face_px=300)
    photo = cv2.resize(turned(astronaut_bgr, clockwise_deg), (2048, 2048))
    assert detect_any_way_up(detector, photo)[1] == 360 - clockwise_deg


@pytest.fixture(scope="module")
def pair(astronaut_bgr: np.ndarray) -> np.ndarray:
    """A photo of 2048 x 1024 with an upright face on its left; on its right is place for another one."""
    large = cv2.resize(astronaut_bgr, (1024, 1024))
    return np.hstack((large, np.full_like(large, 90)))


@pytest.mark.parametrize(("clockwise_deg", "tilt_deg"), [(90, 90), (270, -90)])
def test_a_face_on_its_side_is_found_beside_an_upright_one(
    detector: MienDetector, pair: np.ndarray, clockwise_deg: int, tilt_deg: float
) -> None:
    """One was not found, of the other a part was taken for an upright face: the photo was not searched turned."""
    photo = pair.copy()
    photo[:, 1024:] = turned(pair[:, :1024], clockwise_deg)
    found, turned_deg = detect_any_way_up(detector, photo)
    assert turned_deg == 0
    tilts = np.degrees(tilt_rad(found.landmarks_xy)).tolist()
    assert tilts == pytest.approx([0, tilt_deg], abs=12)  # the surer one first
    x, y = detector.detect(pair).landmarks_xy[0].T
    expected = np.stack((2048 - y, x) if clockwise_deg == 90 else (1024 + y, 1024 - x), axis=1)
    np.testing.assert_allclose(found.landmarks_xy[1], expected, atol=15)
    left, top, right, bottom = found.box_xyxy[1]
    assert left < expected[:, 0].min() < expected[:, 0].max() < right
    assert top < expected[:, 1].min() < expected[:, 1].max() < bottom


def test_a_face_askew_is_found_once(detector: MienDetector, pair: np.ndarray, astronaut_bgr: np.ndarray) -> None:
    """Two finds of it overlapped by less than suppression asks for."""
    matrix = cv2.getRotationMatrix2D((256, 256), 130, 1.5)
    matrix[:, 2] += 256
    askew = cv2.warpAffine(astronaut_bgr, matrix, (1024, 1024), borderValue=(90, 90, 90))
    photo = np.hstack((pair[:, :1024], askew))
    found, _ = detect_any_way_up(detector, photo)
    assert np.sum(found.box_xyxy[:, 0] > 1024) == 1


def test_a_lying_face_must_be_as_sure_and_as_large_as_was_asked(model: StoredModel, pair: np.ndarray) -> None:
    photo = pair.copy()
    photo[:, 1024:] = turned(pair[:, :1024], 90)
    for options, faces in [({}, 2), ({"score_threshold": 0.85}, 1), ({"min_face_px": 600}, 0)]:
        detector = MienDetector(model, **options)
        assert len(detector.with_lying(photo, detector.detect(photo))) == faces


def test_where_no_face_lies_nothing_changes(detector: MienDetector, pair: np.ndarray) -> None:
    expected = detector.detect(pair)
    found, _ = detect_any_way_up(detector, pair)
    np.testing.assert_array_equal(found.landmarks_xy, expected.landmarks_xy)
    nothing = detector.with_lying(np.zeros((1, 3000), np.uint8), Detections.empty())
    assert len(nothing) == 0


def test_only_large_photos_with_an_upright_face_are_looked_at_for_lying_ones():
    class Lying(Scripted):
        looked = 0

        def with_lying(self, image: np.ndarray, found: Detections) -> Detections:
            self.looked += 1
            return found

    for shape, scores, looked in [((1000, 2000), (0.9,), 1), ((1000, 1999), (0.9,), 0), ((1000, 2000), (0.0,) * 4, 0)]:
        scripted = Lying(*scores)
        detect_any_way_up(scripted, np.zeros(shape, np.uint8))
        assert scripted.looked == looked


def test_any_other_detector_looks_once():
    detector = FakeDetector()
    found, upright_deg = detect_any_way_up(detector, np.zeros((20, 30, 3), np.uint8))
    assert (len(found), upright_deg, detector.calls) == (0, 0, 1)
