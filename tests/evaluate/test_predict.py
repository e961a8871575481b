from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.classify import OnnxClassifier, take_views, whole_batch
from mien.classify.class_scaling import calibrated
from mien.data.faces import open_faces
from mien.errors import ModelError
from mien.evaluate.predict import predict
from mien.evaluate.speed import ms_a_face
from mien.zoo import find_model
from tests.sets import smooth_faces, write_dataset


def test_faces_are_read_as_the_recognizer_reads_them(tmp_path: Path) -> None:
    images = smooth_faces(9, side_px=60)
    faces = open_faces(write_dataset(tmp_path / "a.parquet", images))
    model = OnnxClassifier(find_model("small", "expression"), 1)
    counted: list[tuple[int, int | None, str]] = []
    (outputs,) = predict([model], faces, views=True, progress=lambda *values: counted.append(values))
    batch = whole_batch(list(images), model.card.input)
    np.testing.assert_allclose(outputs.logits["fer7"], model.logits(batch)["fer7"], atol=1e-5)
    head = model.card.heads[0]
    views = [calibrated(model.logits(view)["fer7"], head, outputs.sides_px) for view in take_views(batch)]
    wanted = np.mean(views, axis=0)
    assert outputs.views is not None
    np.testing.assert_allclose(outputs.views["fer7"], wanted, atol=1e-5)
    assert (counted, set(outputs.sides_px)) == ([(9, 9, "reading faces")], {60.0})


def test_a_model_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    class Broken(OnnxClassifier):
        def logits(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            return {name: np.full_like(values, np.nan) for name, values in super().logits(batch).items()}

    faces = open_faces(write_dataset(tmp_path / "a.parquet", smooth_faces(3)))
    with pytest.raises(ModelError, match="model 'small' gives NaN"):
        predict([Broken(find_model("small", "expression"))], faces, views=False)


def test_times_are_of_each_model() -> None:
    models = [OnnxClassifier(find_model(name, "expression"), 1) for name in ("tiny", "wide")]
    times = ms_a_face(models, list(smooth_faces(3)), 20)
    assert all(0 < part["low"] <= part["median"] <= part["high"] for part in times)
    assert times[0]["low"] < times[1]["low"]  # other tests may run beside this one
