"""The shipped detector on a real photo: scaled, turned, mirrored, repeated, and on what is no photo at all."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.detect.base import Detections, ImageArray
from mien.detect.mien import MienDetector, MienSettings, decode
from mien.errors import ModelError, UsageError
from mien.zoo.store import StoredModel

# The astronaut's face, as placed by hand on the photo of 512 x 512.
EYES_AND_MOUTH = np.float32([[203, 99], [248, 101], [224, 126], [206, 144], [244, 146]])
BOX = np.float32([177, 58, 275, 178])
FACE_PX = 108.0


def scaled(image: ImageArray, factor: float) -> ImageArray:
    size_wh = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    inner = float(sides.prod())
    return inner / (float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - inner)


def assert_is_the_face(found: Detections, face: int, matrix: np.ndarray, tolerance: float = 0.12) -> None:
    """The find lies where a similarity transform (2 x 3) puts the astronaut's face; tolerance in face sizes."""
    expected = EYES_AND_MOUTH @ matrix[:, :2].T + matrix[:, 2]
    size_px = FACE_PX * np.hypot(matrix[0, 0], matrix[0, 1])
    assert np.abs(found.landmarks_xy[face] - expected).max() < tolerance * size_px


def plain(factor: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    return np.float32([[factor, 0, x], [0, factor, y]])


def test_finds_the_face_with_box_and_landmarks_in_place(detector: MienDetector, astronaut_bgr: ImageArray) -> None:
    found = detector.detect(astronaut_bgr)
    assert len(found) == 1
    assert found.score[0] > 0.7
    assert iou(found.box_xyxy[0], BOX) > 0.75
    assert_is_the_face(found, 0, plain(1.0), tolerance=0.06)


@pytest.mark.parametrize("face_px", [20, 24, 32, 48, 80, 150, 250, 400])
def test_finds_faces_of_every_size(detector: MienDetector, astronaut_bgr: ImageArray, face_px: int) -> None:
    factor = face_px / FACE_PX
    found = detector.detect(scaled(astronaut_bgr, factor))
    assert len(found) >= 1
    assert_is_the_face(found, 0, plain(factor))


@pytest.mark.parametrize("short_side", [60, 100, 300, 1000, 3000])
def test_finds_a_face_that_fills_the_frame(detector: MienDetector, astronaut_bgr: ImageArray, short_side: int) -> None:
    left, top, right, bottom = BOX.astype(int)
    factor = short_side / (right - left)
    found = detector.detect(scaled(astronaut_bgr[top:bottom, left:right], factor))
    assert len(found) >= 1
    assert_is_the_face(found, 0, plain(factor, -left * factor, -top * factor))


@pytest.mark.parametrize("angle", [-30, -15, 15, 30])
def test_finds_tilted_faces(detector: MienDetector, astronaut_bgr: ImageArray, angle: int) -> None:
    matrix = cv2.getRotationMatrix2D((225.0, 120.0), angle, 0.7)
    found = detector.detect(cv2.warpAffine(astronaut_bgr, matrix, (512, 400), borderMode=cv2.BORDER_REPLICATE))
    assert len(found) >= 1
    assert_is_the_face(found, 0, matrix, tolerance=0.15)


def test_landmarks_run_from_left_to_right_in_a_mirrored_photo(
    detector: MienDetector, astronaut_bgr: ImageArray
) -> None:
    found = detector.detect(np.ascontiguousarray(astronaut_bgr[:, ::-1]))
    assert len(found) == 1
    expected = EYES_AND_MOUTH[[1, 0, 2, 4, 3]] * (-1, 1) + (511, 0)
    assert np.abs(found.landmarks_xy[0] - expected).max() < 0.08 * FACE_PX


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.3, 3.0), pad_x=st.integers(0, 200), pad_y=st.integers(0, 200))
def test_result_scales_and_moves_with_the_image(
    detector: MienDetector, astronaut_bgr: ImageArray, factor: float, pad_x: int, pad_y: int
) -> None:
    image = cv2.copyMakeBorder(
        scaled(astronaut_bgr, factor), pad_y, 0, pad_x, 0, cv2.BORDER_CONSTANT, value=(90, 90, 90)
    )
    found = detector.detect(image)
    assert len(found) >= 1
    assert_is_the_face(found, 0, plain(factor, pad_x, pad_y))
    assert iou((found.box_xyxy[0] - np.tile((pad_x, pad_y), 2)) / factor, BOX) > 0.6


def test_finds_each_face_of_a_collage_once(detector: MienDetector, astronaut_bgr: ImageArray) -> None:
    face = astronaut_bgr[20:220, 130:330]
    canvas: ImageArray = np.full((900, 1200, 3), 128, np.uint8)
    places = [(10, 20, 0.4), (300, 40, 1.0), (700, 30, 2.0), (40, 500, 1.5), (500, 600, 0.5), (700, 600, 0.7)]
    for x, y, factor in places:
        part = scaled(face, factor)
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    found = detector.detect(canvas)
    assert len(found) == len(places)
    assert (np.diff(found.score) <= 0).all()
    for x, y, factor in places:
        expected = (BOX - (130, 20, 130, 20)) * factor + (x, y, x, y)
        assert max(iou(box, expected) for box in found.box_xyxy) > 0.6


@pytest.mark.parametrize("upright", [False, True])
def test_finds_the_faces_of_a_long_strip(detector: MienDetector, astronaut_bgr: ImageArray, upright: bool) -> None:
    places = (0, 1100, 2200)
    strip = np.full((200, 2400, 3), 120, np.uint8)
    for x in places:
        strip[:, x : x + 200] = (
            cv2.transpose(astronaut_bgr[20:220, 130:330]) if upright else astronaut_bgr[20:220, 130:330]
        )
    found = detector.detect(cv2.transpose(strip) if upright else strip)
    assert len(found) == len(places)
    along = np.sort(found.box_xyxy[:, int(upright)])
    np.testing.assert_allclose(along - places, (BOX - (130, 20, 130, 20))[int(upright)], atol=10)


def test_a_lower_threshold_reports_fainter_faces(model: StoredModel, astronaut_bgr: ImageArray) -> None:
    face = scaled(astronaut_bgr[20:220, 130:330], 0.6)
    rng = np.random.default_rng(0)
    grainy = [np.clip(face + rng.normal(0, 28 * n, face.shape), 0, 255).astype(np.uint8) for n in range(4)]
    scores = [MienDetector(model, score_threshold=bar).detect(np.hstack(grainy)).score for bar in (0.8, None, 0.2)]
    assert [len(found) for found in scores] == [1, 2, 4]
    assert [found.min() >= bar for found, bar in zip(scores, (0.8, 0.5, 0.2), strict=True)] == [True] * 3


def test_finds_hundreds_of_faces(detector: MienDetector, astronaut_bgr: ImageArray) -> None:
    face = scaled(astronaut_bgr[20:220, 130:330], 0.3)
    crowd = np.tile(face, (15, 20, 1))
    found = detector.detect(crowd)
    assert 290 <= len(found) <= 300


@pytest.mark.parametrize(("min_face_px", "faces_px"), [(None, (60, 300, 2500)), (20, (20, 60, 300, 2500))])
def test_50_megapixels(
    model: StoredModel, astronaut_bgr: ImageArray, min_face_px: float | None, faces_px: tuple[int, ...]
) -> None:
    canvas: ImageArray = np.full((5800, 8700), 128, np.uint8)
    gray = cv2.cvtColor(astronaut_bgr, cv2.COLOR_BGR2GRAY)[20:220, 130:330]
    # The smallest sits where two tiles meet.
    places = {20: (1100, 2900), 60: (4000, 300), 300: (300, 4500), 2500: (3900, 700)}
    for face_px in faces_px:
        part = scaled(gray, face_px / FACE_PX)
        x, y = places[face_px]
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    found = MienDetector(model, threads=2, min_face_px=min_face_px).detect(canvas)
    for face_px in faces_px:
        factor = face_px / FACE_PX
        x, y = places[face_px]
        expected = (BOX - (130, 20, 130, 20)) * factor + (x, y, x, y)
        assert max(iou(box, expected) for box in found.box_xyxy) > 0.5, face_px


def test_smallest_face_that_was_asked_for_is_a_bound(model: StoredModel, astronaut_bgr: ImageArray) -> None:
    assert len(MienDetector(model, min_face_px=300).detect(astronaut_bgr)) == 0
    assert len(MienDetector(model, min_face_px=80).detect(astronaut_bgr)) == 1


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 1, 3), (5, 7), (7, 5, 3), (40, 3000), (3000, 40, 3), (1, 2000), (33, 31), (640, 640)]
)
@pytest.mark.parametrize("value", [0, 127, 255])
def test_flat_images_have_no_face(detector: MienDetector, shape: tuple[int, ...], value: int) -> None:
    assert len(detector.detect(np.full(shape, value, np.uint8))) == 0


def test_photo_without_a_face_has_none(detector: MienDetector, astronaut_bgr: ImageArray) -> None:
    assert len(detector.detect(np.ascontiguousarray(astronaut_bgr[230:]))) == 0
    stripes = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (300, 10))
    assert len(detector.detect(stripes)) == 0


def test_noise_has_no_face(detector: MienDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640), dtype=np.uint8)
    assert len(detector.detect(noise)) == 0


def test_gray_and_colour_of_the_same_gray_agree(detector: MienDetector, astronaut_bgr: ImageArray) -> None:
    gray = cv2.cvtColor(astronaut_bgr, cv2.COLOR_BGR2GRAY)
    one, other = detector.detect(gray), detector.detect(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))
    np.testing.assert_array_equal(one.box_xyxy, other.box_xyxy)
    np.testing.assert_array_equal(one.landmarks_xy, other.landmarks_xy)


def test_image_is_left_as_it_was(detector: MienDetector, astronaut_bgr: ImageArray) -> None:
    before = astronaut_bgr.copy()
    detector.detect(astronaut_bgr)
    np.testing.assert_array_equal(astronaut_bgr, before)


def test_a_view_that_is_not_contiguous_is_read_alike(detector: MienDetector, astronaut_bgr: ImageArray) -> None:
    view = astronaut_bgr[::2, ::2]
    np.testing.assert_array_equal(detector.detect(view).box_xyxy, detector.detect(np.ascontiguousarray(view)).box_xyxy)


def test_many_threads_get_what_one_gets(detector: MienDetector, astronaut_bgr: ImageArray) -> None:
    images = [scaled(astronaut_bgr, factor) for factor in np.linspace(0.3, 1.5, 12)]
    alone = [detector.detect(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(detector.detect, images))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.box_xyxy, other.box_xyxy)


@pytest.mark.skipif(sys.platform == "win32", reason="measures memory with the resource module")
def test_memory_stays_flat_over_many_sizes(detector: MienDetector) -> None:
    import resource

    rng = np.random.default_rng(0)

    def read(count: int) -> int:
        for height, width in rng.integers(50, 500, (count, 2)):
            detector.detect(np.zeros((height, width), np.uint8))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    detector.detect(np.zeros((700, 700), np.uint8))
    before = read(50)
    grown_bytes = (read(300) - before) * (1 if sys.platform == "darwin" else 1024)
    assert grown_bytes < 16e6


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5), np.float32),
        np.zeros(5, np.uint8),
        "photo.jpg",
    ],
)
def test_what_is_no_image_is_refused(detector: MienDetector, image: object) -> None:
    with pytest.raises(UsageError, match="expected a uint8 array"):
        detector.detect(image)


@pytest.mark.parametrize(
    "options",
    [{"min_face_px": 0}, {"min_face_px": float("nan")}, {"threads": 0}, {"score_threshold": 0}, {"score_threshold": 1}],
)
def test_senseless_options_are_refused(model: StoredModel, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        MienDetector(model, **options)


def test_unknown_setting_on_the_card_is_refused() -> None:
    with pytest.raises(ModelError, match="scores_threshold"):
        MienSettings.from_card("mine", {"scores_threshold": 0.5})


def test_decode_follows_the_description() -> None:
    """One candidate of each stride, placed by hand."""
    width, height = 64, 96
    cells = {8: (8, 12), 16: (4, 6), 32: (2, 3)}
    output = np.zeros((15, sum(w * h for w, h in cells.values())), np.float32)
    start = 0
    expected = []
    for stride, (columns, rows) in cells.items():
        row, column = rows - 2, columns - 1
        at = start + row * columns + column
        output[:, at] = [0.9, 0.25, 0.5, np.log(2), np.log(3), *([0.1, 0.2] * 5)]
        centre_x, centre_y = (column + 0.25) * stride, (row + 0.5) * stride
        expected.append(
            [
                *(centre_x - stride, centre_y - 1.5 * stride, centre_x + stride, centre_y + 1.5 * stride),
                *((column + 0.1) * stride, (row + 0.2) * stride),
            ]
        )
        start += columns * rows
    found = decode(output, (width, height), 0.5)
    np.testing.assert_allclose(found.box_xyxy, np.float32(expected)[:, :4], rtol=1e-5)
    for point in range(5):
        np.testing.assert_allclose(found.landmarks_xy[:, point], np.float32(expected)[:, 4:], rtol=1e-5)
    assert len(decode(output, (width, height), 0.95)) == 0
