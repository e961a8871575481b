from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.data.photos import Photo, write_photos
from mien.errors import InputError, UsageError
from mien.train.detector.distractors import draw_distractor, draw_pattern
from mien.train.detector.mosaic import _Canvas, _paste, make_mosaic
from mien.train.detector.photos import (
    BoxRule,
    CroppedFaces,
    PhotoStore,
    TrainingPhoto,
    find_in_crops,
    load_photos,
)
from mien.train.detector.pixels import change_light, degrade
from mien.train.options.detector import DetectorAugment, DetectorData
from tests.blobs import blob, blob_middle_xy
from tests.photos_on_disk import FACE_XYXY, LANDMARKS_XY, make_photos

PLAIN = DetectorAugment(
    single=1.0, empty=0.0, distractors=0.0, crowds=0.0, cover=0.0, paste=0.0,
    light=0.0, low_light=0.0, noise_share=0.0, blur_share=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PhotoStore:
    path = tmp_path_factory.mktemp("photos") / "photos.parquet"
    image = cv2.imread(str(Path(__file__).parents[3] / "examples" / "astronaut.jpg"))
    assert image is not None
    make_photos(path, image)
    return load_photos(path, "train", DetectorData())


def marked_store() -> PhotoStore:
    """One dark photo with a white square face and a bright point at each landmark."""
    image = np.zeros((200, 200), np.uint8)
    image[70:130, 80:120] = 90
    points = np.float32([[90, 85], [110, 85], [100, 100], [92, 115], [108, 115]])
    for x, y in points.astype(int):
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    photo = Photo(
        cv2.imencode(".png", image)[1].tobytes(), "marked", "m",
        box_xyxy=np.float32([[80, 70, 120, 130]]), landmarks_xy=points[None],
        box_from=("label",), landmarks_from=("label",),
        ignore_xyxy=np.float32([[0, 0, 20, 20]]), ignore_score=np.float32([0]),
        ignore_landmarks_xy=np.full((1, 5, 2), np.nan, np.float32),
    )  # fmt: skip
    own = TrainingPhoto(photo.box_xyxy, photo.landmarks_xy, np.asarray([True]), photo.ignore_xyxy)
    return PhotoStore([photo.image], [own], np.ones(1))


@pytest.mark.parametrize("tilt", [0.0, 45.0])
def test_landmarks_move_with_the_pixels(tilt: float) -> None:
    settings = DetectorAugment(**{**vars(PLAIN), "strong_tilt": 1.0, "strong_tilt_deg": tilt})
    store, seen = marked_store(), 0
    for seed in range(30):
        made = make_mosaic(store, settings, 128, np.random.default_rng(seed))
        for box, points in zip(made.box_xyxy, made.landmarks_xy, strict=True):
            size = float(np.sqrt((box[2:] - box[:2]).prod()))
            if size < 40:
                continue
            for x, y in points[np.isfinite(points).all(axis=1)]:
                if 2 < x < 125 and 2 < y < 125:
                    seen += 1
                    part = made.image[round(float(y)) - 2 : round(float(y)) + 3, round(float(x)) - 2 :][:, :5]
                    assert part.max() > 150
            if np.isfinite(points).all():
                # From the image's left to its right, mirrored or not.
                assert points[0, 0] < points[1, 0]
                assert points[3, 0] < points[4, 0]
    assert seen > 30


def near(image: np.ndarray, point: np.ndarray, reach: int) -> np.ndarray | None:
    """Where the blob around a point lies; None where something else is near, or the border."""
    left, top = np.rint(point).astype(int) - reach
    part = image[max(0, top) : top + 2 * reach, max(0, left) : left + 2 * reach]
    if part.shape != (2 * reach, 2 * reach) or part.max() < 100 or part[[0, -1]].any() or part[:, [0, -1]].any():
        return None
    return blob_middle_xy(part) + np.asarray((left, top))


def test_landmarks_lie_where_the_pixels_do() -> None:
    """Mirrored photos lay a pixel to the right of their landmarks."""
    face = TrainingPhoto(
        np.float32([[170, 160, 230, 240]]),
        np.full((1, 5, 2), (200.2, 199.6), np.float32),
        np.asarray([True]),
        np.zeros((0, 4), np.float32),
    )
    store = PhotoStore([cv2.imencode(".png", blob((400, 400), (200.2, 199.6), 3))[1].tobytes()], [face], np.ones(1))
    settings = DetectorAugment(**{**vars(PLAIN), "strong_tilt": 1.0, "strong_tilt_deg": 50.0})
    apart = []
    for seed in range(60):
        made = make_mosaic(store, settings, 128, np.random.default_rng(seed))
        for box, points in zip(made.box_xyxy, made.landmarks_xy, strict=True):
            scale = float(np.sqrt((box[2:] - box[:2]).prod() / (60 * 80)))
            if np.isfinite(points).all() and scale > 0.3:
                middle = near(made.image, points[0], max(4, round(12 * scale)))
                apart += [] if middle is None else [middle - points[0]]
    assert len(apart) > 20
    assert np.abs(apart).max() < 0.3


def test_landmarks_of_pasted_faces_lie_where_the_pixels_do() -> None:
    crops = CroppedFaces(
        blob((48, 48), (30.2, 19.6), 2)[None],
        np.float32([[4, 4, 44, 44]]),
        np.full((1, 5, 2), (30.2, 19.6), np.float32),
    )
    settings = DetectorAugment(**{**vars(PLAIN), "tilt_deg": 60.0, "smallest_face_px": 30.0})
    apart = []
    for seed in range(30):
        canvas = _Canvas(np.zeros((128, 128), np.uint8))
        _paste(canvas, crops, settings, np.random.default_rng(seed))
        apart += [blob_middle_xy(canvas.image) - points[0] for points in canvas.landmarks]
    assert len(apart) > 20
    assert np.abs(apart).max() < 0.3


def test_the_same_seed_makes_the_same_image(store: PhotoStore) -> None:
    crops = find_in_crops([])
    settings = DetectorAugment()
    first = make_mosaic(store, settings, 128, np.random.default_rng(5), crops)
    make_mosaic(store, settings, 128, np.random.default_rng(6), crops)
    again = make_mosaic(store, settings, 128, np.random.default_rng(5), crops)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.box_xyxy, again.box_xyxy)
    assert not np.array_equal(first.image, make_mosaic(store, settings, 128, np.random.default_rng(7), crops).image)


def test_faces_come_in_many_sizes_and_small_ones_are_ignored(store: PhotoStore) -> None:
    sizes = []
    settings = DetectorAugment(smallest_face_px=12.0)
    for seed in range(60):
        made = make_mosaic(store, settings, 192, np.random.default_rng(seed))
        assert made.image.shape == (192, 192)
        assert len(made.box_xyxy) == len(made.landmarks_xy) == len(made.by_person)
        sides = made.box_xyxy[:, 2:] - made.box_xyxy[:, :2]
        sizes += np.sqrt(sides.prod(axis=1)).tolist()
    assert min(sizes) >= 12
    assert np.quantile(sizes, 0.1) < 24
    assert max(sizes) > 110


def test_pasted_faces_are_found_where_the_boxes_say(astronaut_bgr: np.ndarray) -> None:
    left, top, right, bottom = (int(value) for value in FACE_XYXY + np.float32([-6, 0, 14, 6]))
    crop = cv2.resize(cv2.cvtColor(astronaut_bgr[top:bottom, left:right], cv2.COLOR_BGR2GRAY), (48, 48))
    crops = find_in_crops([np.asarray(crop, np.uint8)])
    assert len(crops) == 1
    truth = (LANDMARKS_XY - (left, top)) * (48 / np.asarray((right - left, bottom - top)))
    assert np.abs(crops.landmarks_xy[0] - truth).max() < 4
    pasted = 0
    for seed in range(20):
        settings = DetectorAugment(**{**vars(PLAIN), "empty": 0.9, "paste": 1.0, "tilt_deg": 0.0})
        made = make_mosaic(marked_store(), settings, 128, np.random.default_rng(seed), crops)
        pasted += int((~made.by_person).sum())
        for number in np.flatnonzero(~made.by_person):
            own, others = made.box_xyxy[number], np.delete(made.box_xyxy, number, axis=0)
            inner = np.minimum(own[2:], others[:, 2:]) - np.maximum(own[:2], others[:, :2])
            assert (np.maximum(inner, 0).prod(axis=1) < 0.05 * (own[2:] - own[:2]).prod()).all()
    assert pasted >= 15


def test_faces_are_pasted_as_large_as_they_may_be_where_only_larger_ones_count(store: PhotoStore) -> None:
    crops = CroppedFaces(np.zeros((1, 48, 48), np.uint8), np.float32([[4, 4, 44, 44]]), np.zeros((1, 5, 2), np.float32))
    settings = DetectorAugment(smallest_face_px=60.0, max_enlarge=1.0, paste=1.0, empty=0.9)
    for seed in range(5):
        assert len(make_mosaic(store, settings, 256, np.random.default_rng(seed), crops).ignore_xyxy)


def test_the_rule_learns_where_boxes_lie_around_landmarks() -> None:
    rng = np.random.default_rng(0)
    shape = np.asarray([[-1, -1], [1, -1], [0, 0], [-0.8, 1], [0.8, 1]])
    scale, shift = rng.uniform(5, 60, (200, 1, 1)), rng.uniform(0, 300, (200, 1, 2))
    landmarks = ((shape + rng.normal(0, 0.05, (200, 5, 2))) * scale + shift).astype(np.float32)
    box = np.concatenate((shift[:, 0] - [2, 2.5] * scale[:, 0], shift[:, 0] + [2, 2] * scale[:, 0]), axis=1)
    rule = BoxRule(box[:100].astype(np.float32), landmarks[:100])
    error = np.abs(rule.boxes(landmarks[100:]) - box[100:]) / scale[100:, 0]
    assert error.max() < 0.4
    assert error.mean() < 0.06


def test_boxes_are_snapped_and_sure_places_become_faces(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    image = cv2.imencode(".png", np.zeros((300, 300), np.uint8))[1].tobytes()
    shape = np.float32([[-1, -1], [1, -1], [0, 0], [-0.8, 1], [0.8, 1]])

    def made(kind: str, box: list[float]) -> Photo:
        return Photo(
            image, kind, kind, box_xyxy=np.float32([box]), landmarks_xy=(shape * 10 + 100)[None], box_from=(kind,),
            landmarks_from=("label",), ignore_xyxy=np.float32([[200, 200, 240, 250], [0, 0, 30, 30]]),
            ignore_score=np.float32([0.95, 0.5]), ignore_landmarks_xy=np.full((2, 5, 2), np.nan, np.float32),
        )  # fmt: skip

    photos = [made("teacher", [80, 80, 120, 120])] * 60 + [made("label", [80, 60, 120, 120])]
    write_photos(tmp_path / "p.parquet", photos, {})
    for snap, expected in ((0.0, 60.0), (0.5, 70.0), (1.0, 80.0)):
        own = load_photos(tmp_path / "p.parquet", "train", DetectorData(snap=snap)).photos[-1]
        np.testing.assert_allclose(own.box_xyxy[0], [80, expected, 120, 120], atol=0.3)
        np.testing.assert_allclose(own.box_xyxy[1], [200, 200, 240, 250])
        assert len(own.ignore_xyxy) == 1
        assert own.by_person.tolist() == [True, False]
    kept = load_photos(tmp_path / "p.parquet", "train", DetectorData(teacher_score=1.1)).photos[-1]
    assert (len(kept.box_xyxy), len(kept.ignore_xyxy)) == (1, 2)


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_photos(tmp_path / "none.parquet", "train", DetectorData())
    image = cv2.imencode(".png", np.zeros((30, 30), np.uint8))[1].tobytes()
    write_photos(tmp_path / "p.parquet", [Photo(image, "a")], {})
    with pytest.raises(UsageError, match="no face to learn from"):
        load_photos(tmp_path / "p.parquet", "train", DetectorData())
    with pytest.raises(InputError, match="no split"):
        load_photos(tmp_path / "p.parquet", "test", DetectorData())


def test_a_mosaic_without_faces_around(tmp_path: Path) -> None:
    made = make_mosaic(
        marked_store(), DetectorAugment(empty=0.9, distractors=1.0), 96, np.random.default_rng(1), CroppedFaces(
            np.zeros((0, 48, 48), np.uint8), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32)
        )
    )  # fmt: skip
    assert made.image.shape == (96, 96)


def test_drawn_things_change_the_image_and_stay_in_their_box() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        image = np.full((60, 80), 127, np.uint8)
        draw_distractor(image, (20, 10, 60, 50), rng)
        assert (image[10:50, 20:60] != 127).any()
        image[10:50, 20:60] = 127
        assert (image == 127).all()
        assert draw_pattern(33, 17, rng).shape == (17, 33)


def test_light_and_sharpness_keep_shape_and_type() -> None:
    image = np.tile(np.arange(96, dtype=np.uint8), (64, 1))
    assert change_light(image, 0.0, np.random.default_rng(0)) is image
    for seed in range(20):
        rng = np.random.default_rng(seed)
        changed = degrade(change_light(image, 1.0, rng), 1.0, 1.0, rng)
        assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
