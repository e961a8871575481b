from __future__ import annotations

import json
import sys
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import stats

from mien.data.photos import write_photos
from mien.detect import Detections
from mien.errors import InputError, MissingExtraError, ModelError, UsageError
from mien.evaluate.detection import _failures, evaluate_detector, is_detection
from mien.evaluate.detection_conditions import CONDITIONS, FRAME_PX, fill_frame, in_low_light, tilt
from mien.evaluate.detection_models import open_measured_detector
from mien.evaluate.detection_options import DetectionOptions
from mien.evaluate.detection_page import condition_rows, detection_page
from mien.evaluate.detection_run import MeasuredPhotos, Photo
from mien.evaluate.detection_scores import landmark_scores, mean_interval, overall_scores, sample_interval
from mien.metrics.classification import share_interval
from mien.metrics.detection import Truth, bootstrap_weights, pool
from mien.train.detector.network import FaceDetectorNetwork, save_detector
from tests.blobs import blob, blob_middle_xy
from tests.metrics.test_detection import POINTS, boxes, truth
from tests.photos_on_disk import astronaut_photo, make_photos

CHECKPOINT = Path(__file__).parents[2] / "weights" / "face-detector.safetensors"


@pytest.mark.parametrize("angle", [-45.0, 15.0, 30.0])
def test_tilting_moves_faces_with_the_pixels(angle: float) -> None:
    image = cv2.merge([blob((200, 120), (50, 40), 3, 127)] * 3)
    faces = Truth(boxes((30, 20, 70, 60)), np.tile(np.float32([50, 40]), (1, 5, 1)), boxes((0, 0, 10, 10)))
    turned, moved = tilt(image, faces, angle)
    middle = blob_middle_xy(turned[..., 0], 127)  # it was up to 0.5 px beside the landmarks
    np.testing.assert_allclose(moved.landmarks_xy[0, 0], middle, atol=0.05)
    np.testing.assert_allclose(moved.box_xyxy[0].reshape(2, 2).mean(axis=0), middle, atol=0.05)
    # A square face keeps its size.
    np.testing.assert_allclose(moved.size_px, [40], rtol=1e-3)
    assert moved.box_xyxy.min() >= 0
    assert moved.box_xyxy[:, 2].max() <= turned.shape[1]


def test_filling_the_frame() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[100:200, 100:200] = 200
    frame, moved = fill_frame(image, truth((100, 100, 200, 200), (0, 0, 20, 20)), 0)  # type: ignore[misc]
    assert max(frame.shape[:2]) == FRAME_PX
    assert moved.size_px[0] == pytest.approx(FRAME_PX / 1.1, rel=0.02)
    assert (len(moved.box_xyxy), len(moved.ignore_xyxy)) == (1, 1)
    assert fill_frame(image, truth((0, 0, 50, 50)), 0) is None


def test_low_light_is_the_same_every_time() -> None:
    image = np.full((40, 40, 3), 180, np.uint8)
    first, _ = in_low_light(image, truth(), 3)
    np.testing.assert_array_equal(first, in_low_light(image, truth(), 3)[0])
    assert not np.array_equal(first, in_low_light(image, truth(), 4)[0])


def test_the_shipped_detector_on_a_known_face(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    make_photos(tmp_path / "photos.parquet", astronaut_bgr)
    done: list[tuple[int, int | None, str]] = []
    found = evaluate_detector("mien", tmp_path / "photos.parquet", progress=lambda *values: done.append(values))
    values = found.to_dict()
    json.dumps(values)
    assert values["data"]["photos"] == 3
    assert values["data"]["faces"] == 2
    assert values["overall"]["iou_0.5"]["recall"] == 1.0
    assert values["overall"]["iou_0.5"]["recall_interval_95"] == [0.3424, 1.0], "two of two faces, after Wilson"
    name, row = condition_rows(values)[0]
    assert (name, row["iou_0.5"]["false_finds_a_photo"]) == ("as they are", 0.0), "what was found, not what may be"
    assert values["as_shipped"]["iou_0.5"] == {"recall": 1.0, "false_finds_a_photo": 0.0}
    assert values["landmarks"]["faces"] == 2
    assert values["landmarks"]["mean"] < 0.15
    assert list(values["conditions"]) == list(CONDITIONS)
    # No face of 90 px is in the second one.
    assert values["conditions"]["face fills the frame"]["photos"] == 1
    # Twice as they are (also as shipped), and once in each condition.
    assert [number for number, *_ in done] == sorted({number for number, *_ in done})
    assert done[-1][0] == 3 * (2 + len(CONDITIONS)) == done[-1][1]
    assert list(dict.fromkeys(name for *_, name in done)) == ["as they are", *CONDITIONS]
    page = detection_page(found)
    assert "astronaut" in page
    assert "100.0 %" in page
    assert "average precision of all that scores 0.1 and more" in page


def test_photos_are_changed_one_at_a_time(
    tmp_path: Path, astronaut_bgr: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a dataset's would take twice its memory once more."""
    make_photos(tmp_path / "photos.parquet", astronaut_bgr)
    made: list[weakref.ref[np.ndarray]] = []
    there = []

    def copied(image: np.ndarray, faces: Truth, number: int) -> tuple[np.ndarray, Truth]:
        there.append(sum(one() is not None for one in made))
        changed = image.copy()
        made.append(weakref.ref(changed))
        return changed, faces

    monkeypatch.setattr("mien.evaluate.detection_run.CONDITIONS", {"copied": copied})
    values = evaluate_detector("mien", tmp_path / "photos.parquet").to_dict()
    assert (values["conditions"]["copied"]["photos"], max(there)) == (3, 1)


def test_a_checkpoint_is_never_more_than_done(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    make_photos(tmp_path / "photos.parquet", astronaut_bgr)
    save_detector(FaceDetectorNetwork(), tmp_path / "a.safetensors")
    done: list[tuple[int, int | None, str]] = []
    evaluate_detector(
        tmp_path / "a.safetensors", tmp_path / "photos.parquet", progress=lambda *values: done.append(values)
    )
    numbers = [number for number, *_ in done]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 3 * (1 + len(CONDITIONS)) == done[-1][1]


def test_landmarks_of_faces_that_do_not_count_are_left_out() -> None:
    small = Truth(boxes((0, 0, 10, 10), (0, 0, 100, 100)), np.stack((POINTS / 10, POINTS)), boxes())
    wrong, right = POINTS / 10 + 3, POINTS + np.float32((4, 0))
    found = Detections(small.box_xyxy, np.float32([0.9, 0.8]), np.stack((wrong, right)).astype(np.float32))
    finds = pool([found], [small], iou_threshold=0.5, min_face_px=20)
    assert finds.hit.tolist() == [-1, 1]
    scores = landmark_scores(finds, 0.5)
    assert (scores["faces"], scores["mean"]) == (1, 0.1)
    assert landmark_scores(finds, 0.5, finds.size_px < 20)["faces"] == 1


def test_no_face_gives_no_interval() -> None:
    """And numpy does not warn, which is an error here."""
    none = Truth(boxes(), np.zeros((0, 5, 2), np.float32), boxes())
    finds = pool([Detections.empty()] * 3, [none] * 3, iou_threshold=0.5, min_face_px=20)
    scores = overall_scores(finds, bootstrap_weights(3, 50))
    assert (scores["ap"], scores["recall"], scores["recall_interval_95"]) == (None, None, [None, None])


def test_several_faces_of_one_photo_tell_no_more_of_landmarks_than_one() -> None:
    errors = np.random.default_rng(0).random(40)
    alone = mean_interval(errors, np.arange(40))
    assert alone is not None
    # Of one face a photo it is Student's interval.
    half = stats.t.ppf(0.975, 39) * errors.std(ddof=1) / 40**0.5
    assert alone == pytest.approx([errors.mean() - half, errors.mean() + half], abs=1e-4)
    assert mean_interval(np.repeat(errors, 10), np.repeat(np.arange(40), 10)) == alone
    assert mean_interval(np.array([0.5, 0.6]), np.array([1, 1])) is None, "other photos may be anything"


def test_the_interval_of_landmark_errors_holds_the_truth_in_few_photos() -> None:
    """Of four photos with one to five faces each; samples of so few, with repetition, differ too little."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        photo = np.repeat(np.arange(4), rng.integers(1, 6, 4))
        errors = 0.1 + rng.normal(0, 0.02, 4)[photo] + rng.normal(0, 0.02, len(photo))
        low, high = mean_interval(errors, photo) or (1, 0)
        held += low <= 0.1 <= high
    assert held >= 0.9 * 400


def test_intervals_over_samples_of_few_photos_are_wider() -> None:
    samples = np.linspace(0, 1, 10_001)
    for photos in (5, 30, 5000):
        outside = stats.norm.cdf(-stats.t.ppf(0.975, photos - 1) * (photos / (photos - 1)) ** 0.5)
        assert sample_interval(samples, photos) == pytest.approx((outside, 1 - outside), abs=1e-4)
    assert outside == pytest.approx(0.025, abs=1e-4)
    assert sample_interval(samples, 1) == (0, 1)


def test_faces_of_one_photo_are_not_found_for_certain() -> None:
    """All samples of one photo are that photo: two of three faces had an interval of 66.7 to 66.7 %."""
    faces = truth((0, 0, 40, 40), (100, 0, 140, 40), (200, 0, 240, 40))
    found = Detections(faces.box_xyxy[:2], np.float32([0.9, 0.8]), np.zeros((2, 5, 2), np.float32))
    finds = pool([found], [faces], iou_threshold=0.5, min_face_px=20)
    scores = overall_scores(finds, bootstrap_weights(1, 50))
    assert scores["recall_interval_95"] == pytest.approx(share_interval(np.array([True, True, False])), abs=1e-4)


def test_each_false_detection_has_a_picture_of_its_own() -> None:
    """Those of equal score in one photo were all shown by the first, which may be a face that was found."""
    image = np.zeros((60, 300, 3), np.uint8)
    image[:, 100:160], image[:, 200:260] = 120, 240
    photo = Photo("one", "", image, truth((0, 0, 60, 60)))
    found = Detections(
        boxes((0, 0, 60, 60), (100, 0, 160, 60), (200, 0, 260, 60)),
        np.float32([0.9] * 3),
        np.zeros((3, 5, 2), np.float32),
    )
    finds = pool([found], [photo.truth], iou_threshold=0.5, min_face_px=20)
    shown = [one.picture[48, 48, 0] for one in _failures([photo], [found], finds, 0.5)]
    assert shown == [120, 240]


def test_options_narrow_what_is_measured(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    path = tmp_path / "photos.parquet"
    make_photos(path, astronaut_bgr)
    own = DetectionOptions(conditions=False, sources="astronaut", min_face_px=10)
    values = evaluate_detector("mien", path, split="train", options=own).to_dict()
    assert (values["data"]["photos"], values["conditions"]) == (3, {})
    with pytest.raises(UsageError, match="expected some of astronaut, empty"):
        evaluate_detector("mien", path, options=DetectionOptions(sources="nobody"))
    with pytest.raises(UsageError, match="no split 'test'"):
        evaluate_detector("mien", path, split="test")
    with pytest.raises(ModelError, match="unknown detector"):
        evaluate_detector("nothing", path)
    with pytest.raises(InputError, match="no such file"):
        evaluate_detector("mien", tmp_path / "none.parquet")


@pytest.mark.parametrize("model", ["mien", CHECKPOINT])
def test_smaller_faces_than_asked_for_are_not_found(model: str | Path, astronaut_bgr: np.ndarray) -> None:
    found = [len(open_measured_detector(model, 1, px).detector.detect(astronaut_bgr)) for px in (None, 60.0, 300.0)]
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("library", ["torch", "safetensors"])
def test_what_a_checkpoint_needs_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"needs the library '{library}'"):
        open_measured_detector(CHECKPOINT, 1, None)


def test_small_faces_are_neutral_unless_they_are_asked_for(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    path = tmp_path / "small.parquet"
    photos = [astronaut_photo(astronaut_bgr, f"{scale:g}", "test", scale) for scale in (1.0, 0.15, 0.07)]
    write_photos(path, photos, {"step": "test"})
    every = {"source": "small.parquet", "split": "test", "photos": 3, "ignored_places": 0}
    for asked_px, counts, least_px in ((None, 1, 20), (10, 2, 10), (40, 1, 20)):
        facts = MeasuredPhotos.open(path, None, DetectionOptions(min_face_px=asked_px)).facts()
        assert facts == {**every, "faces": counts, "neutral_faces": 3 - counts, "min_face_px": least_px}


def test_what_is_measured_as_a_detector(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    path = tmp_path / "photos.parquet"
    make_photos(path, astronaut_bgr)
    assert is_detection("mien", tmp_path / "none.parquet")
    assert is_detection("yunet", tmp_path)
    assert is_detection("some.safetensors", path)
    assert not is_detection("base", path)
