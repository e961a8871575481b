from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mien.cli.compare_detectors import show_detectors
from mien.cli.terminal import open_console
from mien.data.photos import write_photos
from mien.detect import Detections
from mien.detect.base import ImageArray
from mien.detect.pyramid import concatenate
from mien.errors import UsageError
from mien.evaluate import detection_comparison
from mien.evaluate.detection_comparison import compare_detectors
from mien.evaluate.detection_conditions import CONDITIONS
from mien.evaluate.detection_models import MeasuredDetector
from mien.evaluate.detection_options import DetectionOptions
from mien.evaluate.detection_page import detector_comparison_page, verdict
from tests.photos_on_disk import FACE_XYXY, LANDMARKS_XY, astronaut_photo, make_photos

PHOTOS = 40
"""Enough for intervals that say something."""


class Knowing:
    """Finds the face of every photo but each so-manieth one, with its landmarks so many pixels beside."""

    wants_gray = False

    def __init__(self, misses_every: int, beside_px: float) -> None:
        self._misses_every = misses_every
        self._beside_px = np.float32((beside_px, 0))
        self.looked = 0

    def detect(self, image: ImageArray) -> Detections:
        self.looked += 1
        if self._misses_every and self.looked % self._misses_every == 0:
            return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))
        return Detections(FACE_XYXY[None], np.float32([0.9]), LANDMARKS_XY[None] + self._beside_px)


class Unsure(Knowing):
    """Every other face has a lower score than what it finds beside each."""

    def detect(self, image: ImageArray) -> Detections:
        face = super().detect(image)
        beside = Detections(FACE_XYXY[None] - 170, np.float32([0.5]), LANDMARKS_XY[None] - 170)
        score = np.float32([0.9 if self.looked % 2 else 0.1])
        return concatenate([Detections(face.box_xyxy, score, face.landmarks_xy), beside])


@pytest.fixture
def photos(tmp_path: Path, astronaut_bgr: np.ndarray) -> Path:
    own = [astronaut_photo(astronaut_bgr[:200, :300], f"{number}", "validation") for number in range(PHOTOS)]
    write_photos(tmp_path / "photos.parquet", own, {"step": "test"})
    return tmp_path / "photos.parquet"


def compare_knowing(monkeypatch: pytest.MonkeyPatch, photos: Path, **detectors: Knowing) -> dict:
    def opened(model: str | Path, threads: int, min_face_px: float | None) -> MeasuredDetector:
        facts = {"name": model, "sha256": model, "precision": "none", "parameters": None, "file_bytes": 0}
        return MeasuredDetector(detectors[str(model)], None, facts)

    monkeypatch.setattr(detection_comparison, "open_measured_detector", opened)
    found = compare_detectors(list(detectors), photos, options=DetectionOptions(conditions=False))
    assert all(name in detector_comparison_page(found) for name in detectors)
    return json.loads(json.dumps(found.to_dict()))


def test_who_finds_more_and_whose_landmarks_are_nearer(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    values = compare_knowing(monkeypatch, photos, sure=Knowing(0, 4.4), half=Knowing(2, 0.0))
    assert [one["overall"]["iou_0.5"]["recall"] for one in values["models"]] == [1.0, 0.5]
    (pair,) = values["pairs"]
    for key in ("iou_0.5", "iou_0.3"):
        low, high = pair[key]["interval_95"]
        assert low < pair[key]["difference"] == 0.5 < high
        # As wide as 20 of 40 photos let it be: 1.96 standard errors of 0.079 to each side.
        assert high - low == pytest.approx(4 * 0.079, abs=0.06)
        assert verdict(pair, pair[key]) == "sure is better"
    # The eyes are 44 px apart, and only the faces count that both have found.
    assert pair["landmarks"]["faces"] == PHOTOS // 2
    assert pair["landmarks"]["difference"] == pytest.approx(0.1, abs=0.002)
    assert verdict(pair, pair["landmarks"], smaller=True) == "half is better"


def test_landmarks_of_faces_below_the_threshold_do_not_count(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    values = compare_knowing(monkeypatch, photos, sure=Knowing(0, 0.0), unsure=Unsure(0, 4.4))
    assert [one["overall"]["iou_0.5"]["recall"] for one in values["models"]] == [1.0, 0.5]
    landmarks = values["pairs"][0]["landmarks"]
    assert (landmarks["faces"], landmarks["difference"]) == (PHOTOS // 2, pytest.approx(-0.1, abs=0.002))


def test_photo_by_photo_shows_more_than_two_intervals(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    """Whoever misses the same photos and two more is worse, though the intervals of both overlap."""
    both = {"some": Knowing(4, 0.0), "fewer": Knowing(4, 0.0)}
    same = compare_knowing(monkeypatch, photos, **both)["pairs"][0]
    low, high = same["iou_0.5"]["interval_95"]
    assert -0.1 < low < same["iou_0.5"]["difference"] == 0.0 < high < 0.1, "of forty faces nothing is known for certain"
    assert verdict(same, same["iou_0.5"]) == "no difference shown"
    values = compare_knowing(monkeypatch, photos, some=Knowing(4, 0.0), fewer=Knowing(2, 0.0))
    first, second = (one["overall"]["iou_0.5"]["recall_interval_95"] for one in values["models"])
    assert first[0] < second[1]
    assert values["pairs"][0]["iou_0.5"]["interval_95"][0] > 0


def test_intervals_of_several_pairs_are_not_for_all_together(
    monkeypatch: pytest.MonkeyPatch, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three = {name: Knowing(every, 0.0) for name, every in (("a", 4), ("b", 3), ("c", 2))}
    show_detectors(open_console(), compare_knowing(monkeypatch, photos, **three))
    assert "each interval is for its pair alone" in " ".join(capsys.readouterr().out.split())


def test_nothing_to_compare_is_said(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    pair = compare_knowing(monkeypatch, photos, none=Knowing(1, 0.0), sure=Knowing(0, 0.0))["pairs"][0]
    assert pair["iou_0.5"]["difference"] == -1
    assert pair["landmarks"] == {"faces": 0, "difference": None, "interval_95": None}
    assert verdict(pair, pair["landmarks"]) == "nothing to compare"


def test_one_photo_shows_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    """All samples of a single photo are that photo: whoever was nearer, or alone in finding its face, was better."""
    photos = tmp_path / "photo.parquet"
    write_photos(photos, [astronaut_photo(astronaut_bgr[:200, :300], "one", "validation")], {"step": "test"})
    pair = compare_knowing(monkeypatch, photos, near=Knowing(0, 0.0), beside=Knowing(0, 4.4))["pairs"][0]
    assert (pair["landmarks"]["faces"], pair["landmarks"]["interval_95"]) == (1, None)
    assert pair["landmarks"]["difference"] == pytest.approx(-0.1, abs=0.002)
    assert verdict(pair, pair["landmarks"], smaller=True) == "no difference shown"
    pair = compare_knowing(monkeypatch, photos, near=Knowing(0, 0.0), none=Knowing(1, 0.0))["pairs"][0]
    assert pair["iou_0.5"]["difference"] == 1.0
    assert verdict(pair, pair["iou_0.5"]) == "no difference shown"


def test_detectors_take_turns_on_each_photo(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    first, second = Knowing(0, 0.0), Knowing(0, 0.0)
    behind = []
    detect = first.detect
    first.detect = lambda image: (behind.append(first.looked - second.looked), detect(image))[1]  # type: ignore[method-assign]
    compare_knowing(monkeypatch, photos, first=first, second=second)
    assert behind == [0] * PHOTOS


def test_real_detectors_under_all_conditions(tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    weights = Path(__file__).parents[2] / "weights" / "face-detector.safetensors"
    photos, done = tmp_path / "photos.parquet", []
    make_photos(photos, astronaut_bgr)
    found = compare_detectors(["mien", weights], photos, progress=lambda number, *_: done.append(number)).to_dict()
    assert [one["model"]["name"] for one in found["models"]] == ["mien", "face-detector"]
    assert found["models"][0]["as_shipped"]
    assert not found["models"][1]["as_shipped"]
    for one in found["models"]:
        assert list(one["conditions"]) == list(CONDITIONS)
        assert one["overall"]["iou_0.5"]["recall"] == 1
    assert done == sorted(set(done))
    with pytest.raises(UsageError, match="given twice"):
        compare_detectors([weights, weights], photos)
    with pytest.raises(UsageError, match="1 model to compare"):
        compare_detectors(["mien"], photos)
