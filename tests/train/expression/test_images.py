from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mien.classify import whole_batch
from mien.data.faces import open_faces
from mien.errors import InputError
from mien.train.expression.images import ResidentImages, StreamedImages, open_images
from mien.zoo.card import InputSpec
from tests.sets import smooth_faces, write_class_folders, write_dataset
from tests.train.signalled import run_alone

CPU = torch.device("cpu")
ORDER = np.array([[3, 0, 8], [5, 5, 1]])


def input_spec(side: int = 24, channels: str = "gray") -> InputSpec:
    return InputSpec("image", (side, side), channels, "uint8", 0.5, 0.25)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", ["gray", "rgb"])
@pytest.mark.parametrize("limit_gb", [1.0, 0.0])
def test_batches_are_what_the_preprocessing_makes(tmp_path: Path, channels: str, limit_gb: float) -> None:
    images = smooth_faces(9, side_px=60)
    faces = open_faces(write_dataset(tmp_path / "a.parquet", images))
    spec = input_spec(24, channels)
    opened = open_images(faces, spec, CPU, limit_gb=limit_gb)
    assert isinstance(opened, ResidentImages if limit_gb else StreamedImages)
    wanted = whole_batch(list(images), spec)
    for _ in range(2):
        got = list(opened.batches(ORDER))
        assert [batch.dtype for batch in got] == [torch.uint8] * 2
        for batch, rows in zip(got, ORDER, strict=True):
            np.testing.assert_array_equal(batch.numpy(), wanted[rows])


def test_rows_that_are_stored_together_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.data.writer.ROW_GROUP_ROWS", 4)
    images = smooth_faces(10)
    faces = open_faces(write_dataset(tmp_path / "a.parquet", images, splits=("train", "validation")), "train")
    assert faces.groups is not None
    assert faces.groups.tolist() == [0, 0, 1, 1, 2]
    again = pickle.loads(pickle.dumps(faces.take(faces.groups > 0)))
    assert again.groups.tolist() == [1, 1, 2]
    np.testing.assert_array_equal(again.images(np.array([2, 0]))[1], images[4])
    assert open_faces(write_class_folders(tmp_path / "folder", images)).groups is None


def test_images_of_the_models_size_pass_unchanged(tmp_path: Path) -> None:
    images = smooth_faces(5, side_px=48)
    faces = open_faces(write_dataset(tmp_path / "a.parquet", images))
    resident = ResidentImages.read(faces, input_spec(48), CPU)
    np.testing.assert_array_equal(resident.images[:, 0].numpy(), images)


def test_worker_processes_decode_the_same(tmp_path: Path) -> None:
    images = smooth_faces(10, side_px=48)
    wanted = whole_batch(list(images[1:]), input_spec())
    faces = open_faces(write_dataset(tmp_path / "a.parquet", images)).take(np.arange(10) > 0)
    streamed = StreamedImages(faces, input_spec(), CPU, workers=2)
    for order in (ORDER, ORDER[::-1]):
        for batch, rows in zip(streamed.batches(order), order, strict=True):
            np.testing.assert_array_equal(batch.numpy(), wanted[rows])
    # Stopping in the middle of an epoch and starting anew is what a resumed run does.
    for _ in streamed.batches(ORDER):
        break
    assert len(list(streamed.batches(ORDER))) == 2


def test_damage_that_a_worker_process_finds_is_named(tmp_path: Path) -> None:
    path = write_class_folders(tmp_path / "folder", smooth_faces(4), ("happy", "sad"))
    (path / "happy" / "002.png").write_bytes(b"\x89PNG damaged")
    streamed = StreamedImages(open_faces(path), input_spec(), CPU, workers=1)
    with pytest.raises(InputError, match=r"002\.png"):
        list(streamed.batches(np.array([[0, 1, 2]])))


READING = """
import os, signal, sys
import numpy as np, torch
from mien.data.faces import open_faces
from mien.train.expression.images import StreamedImages
from mien.train.stop import StopRequest
from mien.zoo.card import InputSpec

spec = InputSpec("image", (24, 24), "gray", "uint8", 0.5, 0.25)
streamed = StreamedImages(open_faces(sys.argv[1]), spec, torch.device("cpu"), workers=1)
with StopRequest() as stop:
    for count, _ in enumerate(streamed.batches(np.zeros((30, 2), np.int64)), 1):
        if count == 3:
            os.killpg(0, signal.SIGTERM)
print(count, stop.requested)
"""


def test_workers_go_on_where_a_signal_comes_to_all_processes(tmp_path: Path) -> None:
    """SIGTERM, which torch lets its workers hear; those of the detector see to Ctrl-C, too."""
    done = run_alone(READING, write_dataset(tmp_path / "a.parquet", smooth_faces(3)))
    assert (done.returncode, done.stdout) == (0, "30 True\n"), done.stderr
    assert done.stderr.count("stopping after") == 1


def test_colour_comes_as_rgb(tmp_path: Path) -> None:
    write_class_folders(tmp_path, smooth_faces(2), ("happy", "sad"))
    cv2.imwrite(str(tmp_path / "happy" / "000.png"), np.full((24, 24, 3), (10, 20, 200), np.uint8))
    resident = ResidentImages.read(open_faces(tmp_path), input_spec(24, "rgb"), CPU)
    assert resident.images[0, :, 0, 0].tolist() == [200, 20, 10]


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    path = write_class_folders(tmp_path / "folder", smooth_faces(4), ("happy", "sad"))
    (path / "happy" / "002.png").write_bytes(b"\x89PNG damaged")
    with pytest.raises(InputError, match=r"002\.png"):
        ResidentImages.read(open_faces(path), input_spec(), CPU)
