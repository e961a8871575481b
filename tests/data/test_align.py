import cv2
import numpy as np
import pytest

from mien.align import FER2013_FRAMING_XY, align_faces
from mien.data import align_dataset
from mien.data.pixels import decode_gray_or_color, enlarged
from mien.detect import open_detector
from mien.errors import InputError, UsageError
from tests.data.made import make_dataset
from tests.photos_on_disk import FACE_XYXY, LANDMARKS_XY

NOISE = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8), (160, 160))


def face_of(dataset, row):
    return decode_gray_or_color(dataset.encoded([row])[row], "row")


def landmarks_of(face):
    """Where a detector sees them, as fractions of the picture."""
    found = open_detector("mien", 1).detect(cv2.resize(face, None, fx=2, fy=2))
    assert len(found) == 1
    return found.landmarks_xy[0] / (2 * face.shape[0])


def test_a_face_in_a_photo_comes_out_as_the_models_expect_it(tmp_path, astronaut_bgr):
    turn = cv2.getRotationMatrix2D((225, 120), 25, 1)
    askew = cv2.warpAffine(astronaut_bgr, turn, astronaut_bgr.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    source = make_dataset(tmp_path / "photos.parquet", [astronaut_bgr, askew], [3, 6], ["train", "test"])
    aligned, summary = align_dataset(source, tmp_path / "aligned.parquet", face_px=96)
    assert summary.to_dict() == {
        "rows_before": 2, "rows_after": 2, "by_own_landmarks": 0, "by_detector": 2, "no_face": 0,
    }  # fmt: skip
    for row in range(2):
        face = face_of(aligned, row)
        assert face.shape == (96, 96, 3)
        # A smile's corners of the mouth lie further out than the mean face's.
        assert np.abs(landmarks_of(face) - FER2013_FRAMING_XY).max() < 0.06
    assert aligned.label.tolist() == [3, 6]
    assert aligned.splits == {"train": 1, "test": 1}
    assert aligned.info.history[-1]["step"] == "align"
    assert aligned.info.history[-1]["by_detector"] == 2


def test_of_several_faces_it_is_the_one_in_the_box_or_else_the_largest(tmp_path, astronaut_bgr):
    large = astronaut_bgr[:300, 100:400]
    small = cv2.resize(cv2.flip(large, 1), (150, 150), interpolation=cv2.INTER_AREA)
    photo = np.full((300, 480, 3), 90, np.uint8)
    photo[:, :300], photo[:150, 310:460] = large, small
    box_xyxy = (FACE_XYXY - [100, 0, 100, 0])[[2, 1, 0, 3]] * [-0.5, 0.5, -0.5, 0.5] + [460, 0, 460, 0]
    boxes = [None, box_xyxy.tolist(), [320.0, 200, 460, 290]]
    source = make_dataset(tmp_path / "photos.parquet", [photo] * 3, [3] * 3, box_xyxy=boxes)
    aligned, summary = align_dataset(source, tmp_path / "aligned.parquet")
    assert (summary.by_detector, summary.no_face) == (2, 1)  # nobody is in the last box
    first, second = (cv2.cvtColor(face_of(aligned, row), cv2.COLOR_BGR2GRAY).astype(float) for row in (0, 1))
    mirrored = second[:, ::-1]
    assert np.corrcoef(first.ravel(), mirrored.ravel())[0, 1] > 0.9
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.8
    assert aligned.info.columns == ()  # the boxes are those of other pictures
    assert np.abs(face_of(aligned, 2).astype(int) - 90).max() == 0


def test_landmarks_that_are_known_are_used(tmp_path, astronaut_bgr):
    gray = cv2.cvtColor(astronaut_bgr, cv2.COLOR_BGR2GRAY)
    landmarks = (LANDMARKS_XY + 7).tolist()  # a little off, so that it shows
    source = make_dataset(tmp_path / "photos.parquet", [gray, gray], [3, 3], landmarks_xy=[landmarks, landmarks[:4]])
    aligned, summary = align_dataset(source, tmp_path / "aligned.parquet")
    assert (summary.by_own_landmarks, summary.by_detector) == (1, 1)  # four points are some others
    expected = align_faces(gray, np.asarray([landmarks], np.float32), FER2013_FRAMING_XY, (48, 48))[0]
    np.testing.assert_array_equal(face_of(aligned, 0), expected)
    assert np.abs(face_of(aligned, 1).astype(int) - expected).mean() > 5


def test_rows_without_a_face_are_kept_or_dropped(tmp_path, astronaut_bgr):
    votes = [[i] * 10 for i in range(3)]
    source = make_dataset(tmp_path / "all.parquet", [NOISE, astronaut_bgr, NOISE], [0, 3, 5], votes=votes)
    told = []
    kept, summary = align_dataset(source, tmp_path / "kept.parquet", progress=lambda *facts: told.append(facts))
    assert (summary.no_face, summary.rows_after, told[-1][:2]) == (2, 3, (3, 3))
    np.testing.assert_array_equal(face_of(kept, 0), cv2.resize(NOISE, (48, 48), interpolation=cv2.INTER_AREA))
    fewer, summary = align_dataset(source, tmp_path / "fewer.parquet", without_face="drop", threads=1)
    assert (summary.no_face, summary.rows_after, fewer.label.tolist()) == (2, 1, [3])
    np.testing.assert_array_equal(fewer.votes, [[1] * 10])
    np.testing.assert_array_equal(face_of(fewer, 0), face_of(kept, 1))
    none = make_dataset(tmp_path / "none.parquet", [NOISE], [0])
    with pytest.raises(InputError, match="no face was found in any row"):
        align_dataset(none, tmp_path / "nothing.parquet", without_face="drop")
    assert not (tmp_path / "nothing.parquet").exists()
    with pytest.raises(UsageError, match="itself"):
        align_dataset(none, tmp_path / "none.parquet")


def test_a_small_crop_is_enlarged_for_the_detector(tmp_path, astronaut_bgr):
    left, top, right, bottom = FACE_XYXY.astype(int)
    crop = cv2.resize(astronaut_bgr[top - 5 : bottom, left - 12 : right + 18], (48, 48), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    aligned, summary = align_dataset(make_dataset(tmp_path / "a.parquet", [gray], [3]), tmp_path / "b.parquet")
    assert summary.by_detector == 1
    face = face_of(aligned, 0)
    assert face.shape == (48, 48)  # gray stays gray
    assert np.abs(landmarks_of(face) - FER2013_FRAMING_XY).max() < 0.08


def test_a_strip_is_not_enlarged_to_any_size(tmp_path):
    strip = np.tile(NOISE[:2], (1, 100))
    assert enlarged(strip)[1] == 1
    assert enlarged(NOISE[:48, :48])[1] == 2
    assert enlarged(NOISE[:48, :160])[1] == 2
    source = make_dataset(tmp_path / "a.parquet", [strip], [0], box_xyxy=[[8000.0, 0, 8100, 2]])
    aligned, summary = align_dataset(source, tmp_path / "b.parquet")
    assert (summary.no_face, face_of(aligned, 0).shape) == (1, (48, 48))


def test_pictures_need_no_name(tmp_path):
    source = make_dataset(tmp_path / "a.parquet", [NOISE], [0])
    unnamed = [{"bytes": source.encoded([0])[0], "path": ""}]
    source = source.write_rows(tmp_path / "b.parquet", [0], source.info, replace={"image": unnamed})
    aligned, _ = align_dataset(source, tmp_path / "c.parquet")
    assert aligned.column("image")[0]["path"] == ""
