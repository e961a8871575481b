from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.detect import open_detector
from mien.errors import UsageError
from mien.export.detector import export_detector
from mien.metrics.detection import Truth
from mien.train.detector import photos
from mien.train.detector.photos import CroppedFaces, PhotoStore, TrainingPhoto
from mien.train.detector.task import DetectorTask, _checksum
from mien.train.detector.validate import ValidationPhotos, detector_of
from mien.train.options import ExpressionRecipe
from mien.train.options.detector import DetectorRecipe
from mien.train.recipe import change_recipe, read_recipe, write_recipe
from mien.train.run import make_task, train_model
from mien.train.task import Place, Step
from tests.photos_on_disk import make_photos
from tests.train.signalled import run_alone

ROOT = Path(__file__).parents[3]
CPU = Place(torch.device("cpu"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine take longer than one that works."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> DetectorRecipe:
    import cv2

    path = tmp_path_factory.mktemp("photos") / "photos.parquet"
    image = cv2.imread(str(ROOT / "examples" / "astronaut.jpg"))
    assert image is not None
    make_photos(path, image)
    shipped = read_recipe(ROOT / "recipes" / "face-detector.yaml")
    assert isinstance(shipped, DetectorRecipe)
    return change_recipe(
        shipped,
        {
            "init": ROOT / "weights" / "face-detector.safetensors", "photos": path, "mosaic_px": 96, "batch_size": 2,
            "mosaics_an_epoch": 4, "epochs": 1, "threads": 1, "accelerator": "cpu", "loggers": ("csv",),
            "learning_rate": 1e-5, "warmup_epochs": 0.0,
        },
    )  # fmt: skip


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(value, getattr(b, name)) for name, value in vars(a).items())


def test_a_batch_depends_on_its_step_only(recipe: DetectorRecipe) -> None:
    task = DetectorTask(recipe)
    task.setup(CPU)
    assert task.steps_per_epoch == 2
    steps = [Step(epoch, index, 0.0, 7) for epoch in (0, 1) for index in (0, 1)]
    first = [task.batch(step) for step in steps]
    assert not same(first[0], first[1]) or not torch.equal(first[0].images, first[1].images)
    again = DetectorTask(recipe)
    again.setup(CPU)
    # A resumed run starts in the middle, and so do its worker processes.
    assert same(again.batch(steps[3]), first[3])
    ahead = DetectorTask(change_recipe(recipe, {"mosaic_workers": 1}))
    ahead.setup(CPU)
    for number in (1, 2, 3):
        assert same(ahead.batch(steps[number]), first[number])


def test_other_systems_start_fresh_processes(recipe: DetectorRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """To which all of it must be sent: of macOS and Windows none can be forked."""
    here, ahead = (DetectorTask(change_recipe(recipe, {"mosaic_workers": workers})) for workers in (0, 1))
    monkeypatch.setattr("mien.train.detector.task.sys.platform", "darwin")
    for task in (here, ahead):
        task.setup(CPU)
    step = Step(0, 1, 0.0, 7)
    assert same(ahead.batch(step), here.batch(step))


MAKING = """
import os, signal, sys, time
import torch
from pathlib import Path
from mien.train.detector.task import DetectorTask
from mien.train.recipe import read_recipe
from mien.train.stop import StopRequest
from mien.train.task import Place, Step

task = DetectorTask(read_recipe(Path(sys.argv[1])))
task.setup(Place(torch.device("cpu")))
with StopRequest() as stop:
    for index in range(20):
        task.batch(Step(0, index, 0.0, 7))
        if index == 3:
            os.killpg(0, int(sys.argv[2]))
            time.sleep(0.2)
print(stop.requested)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_go_on_where_a_signal_comes_to_all_processes(
    recipe: DetectorRecipe, tmp_path: Path, number: signal.Signals
) -> None:
    """And they end with the program, also in the middle of an epoch."""
    write_recipe(change_recipe(recipe, {"mosaic_workers": 2, "mosaics_an_epoch": 80}), tmp_path / "recipe.yaml")
    done = run_alone(MAKING, tmp_path / "recipe.yaml", int(number))
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert done.stderr.count("stopping after") == 1
    assert "Traceback" not in done.stderr


def test_train_export_find(recipe: DetectorRecipe, tmp_path: Path, astronaut_bgr: np.ndarray) -> None:
    done = train_model(recipe, tmp_path / "run")
    assert done.metric == "validation_score"
    assert done.best is not None
    assert done.best > 0.8
    row = done.history[-1]
    assert row["validation_recall"] == 1.0
    assert {"train_score_loss", "train_box_loss", "train_landmark_loss"} <= set(row)
    export_detector(done.best_path, tmp_path / "mine.onnx")
    assert len(open_detector(tmp_path / "mine.onnx").detect(astronaut_bgr)) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"photos": None}, "--photos"),
        ({"choose_on": "train"}, "not learned from"),
        ({"choose_on": "test"}, "validation"),
    ],
)
def test_what_cannot_be_trained(recipe: DetectorRecipe, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        DetectorTask(change_recipe(recipe, changes)).setup(CPU)


def test_the_kind_decides_the_task(recipe: DetectorRecipe) -> None:
    assert isinstance(make_task(recipe), DetectorTask)
    with pytest.raises(UsageError, match="kind 'expression'"):
        DetectorTask(ExpressionRecipe())
    with pytest.raises(UsageError, match="multiple of 32"):
        change_recipe(recipe, {"mosaic_px": 100})


def test_photos_of_all_sizes_wait_for_no_search_of_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU cuDNN tries its kernels anew for every size that it has not seen, where it is told to."""
    searched = []

    def network(images: torch.Tensor) -> torch.Tensor:
        searched.append(torch.backends.cudnn.benchmark)
        return torch.full((1, 15, images.shape[2] * images.shape[3] * 21 // 1024), -9.0)

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    detector_of(network, CPU.device).detect(np.zeros((64, 96), np.uint8))  # type: ignore[arg-type]
    assert set(searched) == {False}
    assert torch.backends.cudnn.benchmark


def test_processes_share_the_photos_that_choose(recipe: DetectorRecipe) -> None:
    alone = DetectorTask(recipe)
    network = alone.setup(CPU).eval()
    expected = alone.validate(network)
    # Two processes that take turns: each sum is made of both their parts.
    parts: list[list[torch.Tensor]] = [[], []]
    for rank in (0, 1):
        task = DetectorTask(recipe)
        place = Place(torch.device("cpu"), rank, 2, lambda tensor, rank=rank: parts[rank].append(tensor) or tensor)
        task.setup(place)
        task.validate(network)
    counts = parts[0][0] + parts[1][0]
    assert (parts[0][0] * parts[1][0]).sum() == 0
    task = DetectorTask(recipe)
    rows: list[torch.Tensor] = []

    def put_together(tensor: torch.Tensor) -> torch.Tensor:
        rows.append(tensor)
        return counts if len(rows) == 1 else tensor

    task.setup(Place(torch.device("cpu"), 0, 2, put_together))
    seen = task.validate(network)
    assert set(seen) == set(expected)
    assert len(rows[1]) == int(counts.sum())


def test_the_checksum_is_of_all_that_decides_the_run(tmp_path: Path) -> None:
    """So that a run goes on with other data never unnoticed."""
    box, points, none = np.float32([[0, 0, 50, 50]]), np.zeros((1, 5, 2), np.float32), np.zeros((0, 4), np.float32)
    photo = TrainingPhoto(box, points, np.ones(1, bool), none)
    crops = CroppedFaces(np.zeros((1, 48, 48), np.uint8), box, points)
    truth = Truth(box, points, none)
    choosing = ValidationPhotos(["a"], [np.zeros((8, 8), np.uint8)], [truth])
    for number in range(2):
        (tmp_path / str(number)).write_bytes(bytes([number]))
    init = tmp_path / "0"
    one = np.ones(1)

    def store(photo: TrainingPhoto = photo, image: bytes = b"x", weights: np.ndarray = one) -> PhotoStore:
        return PhotoStore([image], [photo], weights)

    def choose(**changed: np.ndarray) -> ValidationPhotos:
        return replace(choosing, truth=[replace(truth, **changed)])

    every = [
        *((store(replace(photo, **other)), crops, choosing, init) for other in (
            {"box_xyxy": box + 1}, {"landmarks_xy": points + 1}, {"by_person": np.zeros(1, bool)}, {"ignore_xyxy": box},
        )),
        (store(image=b"y"), crops, choosing, init),
        (store(weights=2 * one), crops, choosing, init),
        *((store(), other, choosing, init) for other in (
            None, replace(crops, images=crops.images + 1), replace(crops, box_xyxy=box + 1),
            replace(crops, landmarks_xy=points + 1),
        )),
        *((store(), crops, other, init) for other in (
            replace(choosing, names=["b"]), replace(choosing, images=[choosing.images[0] + 1]),
            choose(box_xyxy=box + 1), choose(landmarks_xy=points + 1), choose(ignore_xyxy=box),
        )),
        (store(), crops, choosing, None),
        (store(), crops, choosing, tmp_path / "1"),
    ]  # fmt: skip
    sums = {_checksum(*parts) for parts in [(store(), crops, choosing, init), *every]}
    assert len(sums) == 1 + len(every)
    assert _checksum(store(), crops, choosing, init) in sums


def test_decoding_ahead_stops_at_the_first_photo_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def decode(data: bytes, name: str) -> np.ndarray:
        read.append(name)
        return np.zeros((10, 10), np.uint8)

    monkeypatch.setattr(photos, "decode_gray", decode)
    monkeypatch.setattr(photos, "_KEPT_PIXELS", 250)
    nobody = TrainingPhoto(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, bool),
                           np.zeros((0, 4), np.float32))  # fmt: skip
    PhotoStore([b""] * 10, [nobody] * 10, np.ones(10)).decode()
    assert read == ["photo 0", "photo 1", "photo 2"]
