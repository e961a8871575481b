"""The faces of photos are explained as they were read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import mien
from mien.errors import InputError, UsageError
from mien.explain.explanation import Explanation
from mien.opencv import turned
from tests.fakes import FakeClassifier, FakeDetector, make_face, make_reading, paint_face

Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def recognizer() -> mien.Recognizer:
    return mien.Recognizer(model="tiny", threads=2)


def test_a_smile_rests_on_the_mouth(recognizer: mien.Recognizer, astronaut_path: Path) -> None:
    reading = recognizer.recognize(astronaut_path)
    (found,) = recognizer.explain(astronaut_path)
    assert (found.face, found.expression) == (reading.faces[0], "happy")
    assert found.probability == pytest.approx(found.face.confidence, abs=1e-6)
    row, _ = np.unravel_index(found.drop.argmax(), found.drop.shape)
    assert row >= 4
    assert found.drop[4:].sum() > 0.05 > found.drop[:2].sum()


def test_another_label_and_another_scheme(recognizer: mien.Recognizer, astronaut_bgr: Image) -> None:
    (sad,) = recognizer.explain(astronaut_bgr, expression="sad")
    assert (sad.expression, sad.face.expression) == ("sad", "happy")
    assert sad.probability == pytest.approx(sad.face.probabilities["sad"], abs=1e-6)
    assert sad.drop[4:].sum() < 0  # the smile speaks against it
    (same,) = recognizer.explain(astronaut_bgr, expression="Sadness")  # as of labels, in any spelling
    assert (same.expression, same.probability) == ("sad", sad.probability)
    (positive,) = recognizer.replace(labels="valence3").explain(astronaut_bgr)
    assert positive.expression == "positive"
    eight = recognizer.replace(labels="ferplus8").explain(astronaut_bgr, expression="contempt")
    assert eight[0].probability < 0.1
    with pytest.raises(UsageError, match="expression is 'contempt'; expected one of angry, disgust"):
        recognizer.explain(astronaut_bgr, expression="contempt")


def test_a_reading_is_taken_as_it_is(astronaut_bgr: Image) -> None:
    both = np.hstack([astronaut_bgr, astronaut_bgr[:, ::-1]])
    detector, classifier = FakeDetector(), FakeClassifier()
    recognizer = mien.Recognizer(model=classifier, detector=detector, upright=True)
    image = paint_face(3)
    reading = recognizer.recognize(image)
    calls = detector.calls
    (found,) = recognizer.explain(image, reading)
    assert detector.calls == calls
    assert found.face is reading.faces[0]
    real = mien.Recognizer(model="tiny")
    every = real.recognize(both)
    assert len(every.faces) == 2
    one = real.explain(both, dataclasses.replace(every, faces=every.faces[1:]))
    assert [item.face for item in one] == every.faces[1:]
    again = real.explain(both, mien.Reading.from_dict(json.loads(json.dumps(every.to_dict()))))
    np.testing.assert_allclose(again[1].drop, one[0].drop, atol=0.02)
    with pytest.raises(UsageError, match="an image of 512 x 512 pixels and a reading of one of 1024 x 512"):
        real.explain(astronaut_bgr, every)
    with pytest.raises(UsageError, match="a reading with the labels happy, sad; this recognizer has angry"):
        real.explain(both, real.replace(labels="happy,sad").recognize(both))
    with pytest.raises(UsageError, match="no landmarks, by which its crop is cut"):
        real.explain(both, make_reading(make_face(landmarks_xy=()), size_wh=(1024, 512)))


def test_the_corners_are_those_of_the_crop(recognizer: mien.Recognizer, astronaut_bgr: Image) -> None:
    (found,) = recognizer.explain(astronaut_bgr)
    corners = np.array(found.corners_xy)
    assert (corners[1] - corners[0])[0] > 0 < (corners[3] - corners[0])[1]
    eyes = np.array(found.face.landmarks_xy)[:2].mean(axis=0)
    width = np.linalg.norm(corners[1] - corners[0])
    assert np.linalg.norm(eyes - corners[:2].mean(axis=0)) == pytest.approx(0.38 * width, rel=0.1)
    (lying,) = recognizer.explain(turned(astronaut_bgr, 90))
    across = np.array(lying.corners_xy)[1] - np.array(lying.corners_xy)[0]
    assert across[1] > 5 * abs(across[0])
    np.testing.assert_allclose(lying.drop, found.drop, atol=0.05)


def test_a_cropped_face_is_the_whole_image(astronaut_bgr: Image) -> None:
    recognizer = mien.Recognizer(model="tiny", detector="none")
    crop = astronaut_bgr[40:190, 160:290]  # narrower than high: completed on both sides
    (found,) = recognizer.explain(crop)
    assert found.corners_xy == ((-10, 0), (140, 0), (140, 150), (-10, 150))
    (mirrored,) = recognizer.replace(views=2).explain(np.ascontiguousarray(crop[:, ::-1]))
    assert mirrored.probability == pytest.approx(
        recognizer.replace(views=2).recognize(crop).faces[0].confidence, abs=1e-6
    )


def test_without_a_face_there_is_nothing_to_explain(recognizer: mien.Recognizer, tmp_path: Path) -> None:
    assert recognizer.explain(np.zeros((100, 100), np.uint8)) == []
    with pytest.raises(InputError, match="no such file"):
        recognizer.explain(tmp_path / "missing.jpg")
    with pytest.raises(UsageError, match="explain is given several images; expected one: call it for each"):
        recognizer.explain([np.zeros((100, 100), np.uint8)])  # type: ignore[arg-type]


def test_what_is_no_explanation_is_refused() -> None:
    corners = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    given = {
        "face": make_face(),
        "expression": "sad",
        "probability": 0.05,
        "drop": np.zeros((8, 8)),
        "corners_xy": corners,
    }
    found = Explanation(**given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="read-only"):
        found.drop[0, 0] = 1
    assert repr(found) == "Explanation(expression='sad', probability=0.05)"
    assert json.loads(json.dumps(found.to_dict()))["drop"] == [[0.0] * 8] * 8
    for changed, said in [
        ({"drop": np.zeros(8)}, r"drop has the shape \(8,\)"),
        ({"drop": np.full((2, 2), np.nan)}, "drop holds NaN"),
        ({"drop": np.full((2, 2), 1.5)}, "outside of"),
        ({"expression": "bored"}, "'bored'; expected one of the face's"),
        ({"probability": 1.2}, "probability is 1.2"),
        ({"corners_xy": corners[:3]}, "expected four points"),
    ]:
        with pytest.raises(ValueError, match=said):
            Explanation(**{**given, **changed})  # type: ignore[arg-type]
