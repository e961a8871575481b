from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.data import audit_dataset, import_dataset, report_dataset
from mien.data.photos import import_photos
from mien.evaluate import compare_models, evaluate_model
from mien.evaluate.detection import evaluate_detector
from mien.evaluate.detection_comparison import compare_detectors
from mien.evaluate.detection_options import DetectionOptions
from mien.export.checkpoint import export_checkpoint
from mien.export.detector import export_measured
from tests.photos_on_disk import make_photos
from tests.sets import smooth_faces, write_dataset

WEIGHTS = Path(__file__).parent.parent / "weights"
FEW = DetectionOptions(conditions=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, astronaut_bgr: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("long")
    write_dataset(folder / "faces.parquet", smooth_faces(28), leaked=True)
    make_photos(folder / "photos.parquet", astronaut_bgr)
    return folder


LONG: dict[str, Callable[[Path], Callable[..., Any]]] = {
    "import": lambda at: functools.partial(import_dataset, at / "faces.parquet", at / "again.parquet"),
    "report": lambda at: functools.partial(report_dataset, at / "faces.parquet"),
    "audit": lambda at: functools.partial(audit_dataset, at / "faces.parquet", threads=1),
    "photos": lambda at: functools.partial(import_photos, at / "photos.parquet", at / "again.photos.parquet"),
    "evaluate": lambda at: functools.partial(evaluate_model, "tiny", at / "faces.parquet", ten_views=False),
    "compare": lambda at: functools.partial(compare_models, ["tiny", "small"], at / "faces.parquet", timed_faces=0),
    "detector": lambda at: functools.partial(evaluate_detector, "mien", at / "photos.parquet", options=FEW),
    "compare detectors": lambda at: functools.partial(
        compare_detectors, ["mien", WEIGHTS / "face-detector.safetensors"], at / "photos.parquet", options=FEW
    ),
    "export": lambda at: functools.partial(
        export_checkpoint,
        WEIGHTS / "tiny.safetensors",
        at / "a.onnx",
        at / "faces.parquet",
        precision="float32",
        full=False,
    ),
    "export detector": lambda at: functools.partial(
        export_measured, WEIGHTS / "face-detector.safetensors", at / "d.onnx", at / "photos.parquet"
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_whatever_takes_long_tells_how_far_it_is_in_the_same_way(place: Path, name: str) -> None:
    told: list[tuple[int, int | None, str]] = []
    LONG[name](place)(progress=lambda done, total, part: told.append((done, total, part)))
    assert told
    for part, steps in groupby(told, key=lambda one: one[2]):
        numbers = [done for done, _, _ in steps]
        assert part
        assert numbers == sorted(numbers)
        assert numbers[0] > 0
    assert all(total is None or done <= total for done, total, _ in told)
    done, total, _ = told[-1]
    assert total in (None, done)
