from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.classify import OnnxClassifier, whole_batch
from mien.classify.calibration import softmax
from mien.errors import ModelError
from mien.evaluate import open_faces
from mien.evaluate.predict import predict, ten_views
from mien.evaluate.speed import ms_a_face
from mien.zoo import find_model
from tests.evaluate.sets import smooth_faces, write_dataset


def test_ten_views_shift_by_two_and_mirror() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    views = ten_views(image)
    assert len(views) == 10
    assert len({view.tobytes() for view in views}) == 10
    np.testing.assert_array_equal(views[0], image)
    np.testing.assert_array_equal(views[1], image[:, :, ::-1])
    np.testing.assert_array_equal(views[2][0, 0], [2, 3, 3, 3])
    color = np.stack([image[0]] * 3)[None]
    for gray, planes in zip(views, ten_views(color), strict=True):
        np.testing.assert_array_equal(planes[0], np.stack([gray[0]] * 3))


def test_faces_are_read_as_the_recognizer_reads_them(tmp_path: Path) -> None:
    images = smooth_faces(9, side_px=60)
    faces = open_faces(write_dataset(tmp_path / "a.parquet", images))
    model = OnnxClassifier(find_model("small", "expression"), 1)
    counted: list[int] = []
    (outputs,) = predict([model], faces, views=True, progress=counted.append)
    batch = whole_batch(list(images), model.card.input)
    np.testing.assert_allclose(outputs.logits["fer7"], model.logits(batch)["fer7"], atol=1e-5)
    wanted = np.mean([softmax(model.logits(view)["fer7"]) for view in ten_views(batch)], axis=0)
    assert outputs.views is not None
    np.testing.assert_allclose(outputs.views["fer7"], wanted, atol=1e-5)
    assert (sum(counted), set(outputs.side_px)) == (9, {60.0})


def test_a_model_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    class Broken(OnnxClassifier):
        def logits(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            return {name: np.full_like(values, np.nan) for name, values in super().logits(batch).items()}

    faces = open_faces(write_dataset(tmp_path / "a.parquet", smooth_faces(3)))
    with pytest.raises(ModelError, match="model 'small' gives NaN"):
        predict([Broken(find_model("small", "expression"))], faces, views=False)


def test_times_are_of_each_model() -> None:
    models = [OnnxClassifier(find_model(name, "expression"), 1) for name in ("small", "base")]
    times = ms_a_face(models, list(smooth_faces(3)), 9)
    assert all(0 < part["low"] <= part["median"] <= part["high"] for part in times)
    assert times[0]["median"] < times[1]["median"]
