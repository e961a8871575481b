from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from mien.train.detector.assign import assign, decode_boxes, make_cells
from mien.train.detector.loss import Targets, detector_losses
from mien.train.detector.network import FaceDetectorNetwork, load_detector
from mien.train.options.detector import DetectorLoss

CHECKPOINT = Path(__file__).parents[3] / "weights" / "face-detector.safetensors"
SIDE = 128
CELLS = make_cells(SIDE, SIDE, torch.device("cpu"))
FACES = torch.tensor([[[20.0, 20, 60, 70], [80, 80, 92, 92], [0, 0, 0, 0]]])
KNOWN = torch.tensor([[True, True, False]])


def targets(**changes: torch.Tensor) -> Targets:
    values = {
        "images": torch.zeros(1, 1, SIDE, SIDE),
        "box_xyxy": FACES,
        "known": KNOWN,
        "landmarks_xy": torch.full((1, 3, 5, 2), 40.0),
        "landmark_weight": torch.ones(1, 3, 5),
        "ignore_xyxy": torch.zeros(1, 0, 4),
    }
    return Targets(**{**values, **changes})


def perfect(faces: torch.Tensor) -> torch.Tensor:
    """An output whose every cell says the box of the first face."""
    values = torch.zeros(1, 15, CELLS.stride.shape[0])
    centre = (faces[0, 0, :2] + faces[0, 0, 2:]) / 2
    values[0, 1:3] = ((centre - CELLS.place) / CELLS.stride[:, None]).T
    values[0, 3:5] = ((faces[0, 0, 2:] - faces[0, 0, :2]) / CELLS.stride[:, None]).log().T
    points = (torch.full((2,), 40.0) - CELLS.place) / CELLS.stride[:, None]
    values[0, 5:] = points.repeat(1, 5).T
    return values


def test_cells_follow_the_order_of_decoding() -> None:
    assert CELLS.place.shape == (16 * 16 + 8 * 8 + 4 * 4, 2)
    assert CELLS.place[17].tolist() == [8, 8]
    assert CELLS.place[256 + 9].tolist() == [16, 16]
    boxes = decode_boxes(perfect(FACES), CELLS)
    torch.testing.assert_close(boxes[0], FACES[0, :1].expand(336, 4), atol=1e-3, rtol=0)


def test_each_face_gets_cells_near_its_middle_and_padding_none() -> None:
    values = torch.zeros(1, 15, 336)
    found = assign(values[:, 0], decode_boxes(values, CELLS), CELLS, FACES, KNOWN, 10)
    assert set(found.face.unique().tolist()) == {-1, 0, 1}
    for number in (0, 1):
        own = CELLS.place[found.face[0] == number] + CELLS.stride[found.face[0] == number, None] / 2
        centre = (FACES[0, number, :2] + FACES[0, number, 2:]) / 2
        assert ((own - centre).abs().amax(1) <= 1.6 * CELLS.stride[found.face[0] == number]).all()


def test_a_face_that_fits_many_cells_gets_more_of_them_up_to_the_most() -> None:
    boxes = decode_boxes(perfect(FACES), CELLS)
    counts = [
        int((assign(torch.zeros(1, 336), boxes, CELLS, FACES[:, :1], KNOWN[:, :1], most).face == 0).sum())
        for most in (1, 4, 10)
    ]
    assert counts == [1, 4, 10]


def test_a_cell_answers_for_one_face_only_and_no_face_is_left_alone() -> None:
    twice = torch.tensor([[[20.0, 20, 60, 70], [22, 22, 62, 72]]])
    boxes = decode_boxes(perfect(FACES), CELLS)
    found = assign(torch.zeros(1, 336), boxes, CELLS, twice, torch.ones(1, 2, dtype=torch.bool), 5)
    assert (found.face == 0).sum() >= 1
    assert ((found.overlap > 0) == (found.face >= 0)).all()


def test_images_of_few_and_many_faces_in_a_batch_are_assigned_as_each_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = (0, 3, 8, 9, 40)
    corner = torch.rand(len(counts), 40, 2, generator=generator) * 100
    faces = torch.cat((corner, corner + 8 + torch.rand(len(counts), 40, 2, generator=generator) * 30), dim=2)
    known = torch.arange(40) < torch.tensor(counts)[:, None]
    values = torch.randn(len(counts), 15, 336, generator=generator)
    boxes = decode_boxes(values, CELLS)
    together = assign(values[:, 0], boxes, CELLS, faces, known, 10)
    for number, count in enumerate(counts):
        own = slice(number, number + 1)
        alone = assign(values[own, 0], boxes[own], CELLS, faces[own, :count], known[own, :count], 10)
        torch.testing.assert_close(together.face[own], alone.face)
        torch.testing.assert_close(together.overlap[own], alone.overlap)
        assert int(together.face[number].max()) == (-1 if count == 0 else int(alone.face.max()))


def test_no_faces_at_all() -> None:
    own = targets(box_xyxy=FACES[:, :0], known=KNOWN[:, :0], landmarks_xy=torch.zeros(1, 0, 5, 2),
                  landmark_weight=torch.zeros(1, 0, 5))  # fmt: skip
    values = torch.zeros(1, 15, 336, requires_grad=True)
    losses = detector_losses(values, CELLS, own, DetectorLoss())
    losses["loss"].backward()
    assert losses["loss"] > 0
    assert values.grad is not None
    assert (values.grad[:, 0] > 0).all()
    assert not values.grad[:, 1:].any()


def test_a_face_counts_the_same_in_whichever_process() -> None:
    values = torch.zeros(1, 15, 336)
    own = targets()
    alone = detector_losses(values, CELLS, own, DetectorLoss())
    # Another process has three times as many cells with faces: on average twice as many.
    beside = detector_losses(values, CELLS, own, DetectorLoss(), lambda count: (count + 3 * count) / 2)
    for name, loss in alone.items():
        assert beside[name].item() == pytest.approx(loss.item() / 2)


def test_places_to_ignore_cost_nothing() -> None:
    values = torch.zeros(1, 15, 336, requires_grad=True)
    none = torch.zeros(1, 3, dtype=torch.bool)
    ignore = torch.tensor([[[64.0, 64, 128, 128], [0, 0, 0, 0], [3, 3, 5, 5]]])
    detector_losses(values, CELLS, targets(known=none, ignore_xyxy=ignore), DetectorLoss())["loss"].backward()
    assert values.grad is not None
    silent = values.grad[0, 0] == 0
    middle = CELLS.place + CELLS.stride[:, None] / 2
    inside = ((middle >= 64) & (middle <= 128)).all(1)
    assert silent[inside].all()
    # The small one silences the cell that holds it, on each stride.
    assert silent[[0, 256, 320]].all()
    assert int(silent.sum()) == int(inside.sum()) + 3


def test_unknown_landmarks_cost_nothing_and_a_right_answer_little() -> None:
    own = targets(box_xyxy=FACES[:, :1], known=KNOWN[:, :1], landmarks_xy=torch.full((1, 1, 5, 2), 40.0),
                  landmark_weight=torch.ones(1, 1, 5))  # fmt: skip
    right = perfect(FACES)
    right[:, 0] = -8
    wanted = assign(right[:, 0], decode_boxes(right, CELLS), CELLS, FACES[:, :1], KNOWN[:, :1], 10).face >= 0
    right[:, 0][wanted] = 8
    losses = detector_losses(right, CELLS, own, DetectorLoss())
    assert losses["loss"] < 0.01
    moved = right.clone()
    moved[:, 5:] += 1
    assert detector_losses(moved, CELLS, own, DetectorLoss())["landmark_loss"] > 0.5
    unknown = dataclasses.replace(own, landmark_weight=torch.zeros(1, 1, 5), landmarks_xy=torch.zeros(1, 1, 5, 2))
    moved.requires_grad_()
    silent = detector_losses(moved, CELLS, unknown, DetectorLoss())
    silent["loss"].backward()
    assert silent["landmark_loss"] == 0
    assert moved.grad is not None
    assert not moved.grad[:, 5:].any()


def test_the_loss_finds_its_way_from_scratch() -> None:
    torch.manual_seed(0)
    network = FaceDetectorNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    image = torch.zeros(1, 1, SIDE, SIDE)
    image[..., 20:70, 20:60] = 2
    image[..., 80:92, 80:92] = -2
    own = targets(images=image)
    history = []
    for _ in range(40):
        losses = detector_losses(network(own.images), CELLS, own, DetectorLoss())
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append(float(losses["loss"].detach()))
    assert history[-1] < 0.4 * history[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_precision_gives_finite_losses(dtype: torch.dtype) -> None:
    network = load_detector(CHECKPOINT)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        values = network(torch.zeros(1, 1, SIDE, SIDE))
        losses = detector_losses(values, CELLS, targets(), DetectorLoss())
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["loss"].dtype == torch.float32
