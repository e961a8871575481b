from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.faces import open_faces
from mien.errors import MienWarning, UsageError
from mien.train.architectures import HeadSpec
from mien.train.checkpoint import LEARNED_KEY, load_checkpoint, read_checkpoint, save_checkpoint
from mien.train.expression.images import ResidentImages
from mien.train.expression.task import Batch, ExpressionTask, _copies
from mien.train.options import (
    AugmentOptions,
    DataOptions,
    DistillOptions,
    ExpressionRecipe,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
)
from mien.train.task import Place, Step
from mien.zoo.card import LearnedFrom
from tests.sets import smooth_faces, write_class_folders, write_dataset
from tests.train.networks import plain_network

PLACE = Place(torch.device("cpu"))
TINY = {"architecture": "plain", "size_px": 16, "architecture_options": ("widths=4:8",)}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    faces = smooth_faces(120)
    return write_dataset(tmp_path / "a.parquet", faces, splits=("train", "train", "validation"), votes=True)


def recipe(dataset: Path, batch_size: int = 16, **sections: dict[str, Any]) -> ExpressionRecipe:
    return ExpressionRecipe(
        model=ModelOptions(**{**TINY, **sections.get("model", {})}),
        data=DataOptions(dataset=dataset, **sections.get("data", {})),
        augment=AugmentOptions(**sections.get("augment", {})),
        loss=LossOptions(**sections.get("loss", {})),
        distill=DistillOptions(**sections.get("distill", {})),
        optimizer=OptimizerOptions(batch_size=batch_size),
    )


def ready(recipe: ExpressionRecipe, place: Place = PLACE) -> tuple[ExpressionTask, torch.nn.Module]:
    task = ExpressionTask(recipe)
    torch.manual_seed(0)
    return task, task.setup(place)


def step(index: int = 0, epoch: int = 0, seed: int = 7) -> Step:
    return Step(epoch, index, 0.0, seed + 100 * index + 10_000 * epoch)


def equal(first: Batch, second: Batch) -> bool:
    return torch.equal(first.pictures, second.pictures) and all(
        torch.equal(one, two) for one, two in zip(first.masses, second.masses, strict=True)
    )


@pytest.mark.parametrize("loss", ["cross-entropy", "focal"])
def test_guessing_costs_what_the_task_says(dataset: Path, loss: str) -> None:
    """Whatever smoothing, weights, votes and mixing make of the targets."""
    more = {"loss": loss, "label_smoothing": 0.2, "class_weights": "effective", "relabel": 0.5, "vote_weighting": 0.7}
    task, network = ready(recipe(dataset, loss=more, augment={"mixup": 0.4}))
    for weights in network.heads.parameters():
        torch.nn.init.zeros_(weights)
    name, guessed = task.guessing
    assert name == "label_loss"
    assert task.losses(network, task.batch(step()))[name].item() == pytest.approx(guessed, rel=1e-5)
    if loss == "cross-entropy":
        assert guessed == pytest.approx(np.log(7))


def test_a_step_teaches_both_heads(dataset: Path) -> None:
    task, network = ready(recipe(dataset))
    assert task.steps_per_epoch == 5
    batch = task.batch(step())
    assert batch.pictures.shape == (16, 1, 16, 16)
    assert [mass.shape for mass in batch.masses] == [(16, 7), (16, 10)]
    losses = task.losses(network, batch)
    assert set(losses) == {"loss", "accuracy", "label_loss", "votes_loss"}
    total = losses["label_loss"] + 0.5 * losses["votes_loss"]
    assert losses["loss"].item() == pytest.approx(total.item(), rel=1e-5)
    losses["loss"].backward()
    assert all(weight.grad is not None for weight in network.parameters())
    assert not losses["label_loss"].requires_grad


@pytest.mark.parametrize("data", [{}, {"feeding": "stream", "workers": 0}, {"sampling": "balanced"}])
def test_steps_repeat_from_anywhere(dataset: Path, data: dict[str, Any]) -> None:
    first, _ = ready(recipe(dataset, data=data))
    batches = [first.batch(step(index, epoch)) for epoch in (0, 1) for index in range(5)]
    assert len({batch.pictures.numpy().tobytes() for batch in batches}) == 10
    again, _ = ready(recipe(dataset, data=data))
    for index in (3, 4):
        assert equal(again.batch(step(index)), batches[index])
    assert equal(again.batch(step(0, 1)), batches[5])
    assert equal(again.batch(step(2, 1)), batches[7])


def test_streaming_gives_the_same_faces(dataset: Path) -> None:
    plain = dict.fromkeys(AugmentOptions.names(), 0.0)
    resident, _ = ready(recipe(dataset, batch_size=80, augment=plain))
    stream = {"feeding": "stream", "workers": 0}
    streamed, _ = ready(recipe(dataset, batch_size=80, augment=plain, data=stream))
    assert resident.facts()["training"]["kept"] == "on the device"
    assert streamed.facts()["training"]["kept"] == "streamed"
    one, two = (
        sorted(zip(batch.pictures.numpy().tolist(), batch.masses[1].tolist(), strict=True))
        for batch in (resident.batch(step()), streamed.batch(step()))
    )
    assert one == two


def test_processes_learn_from_different_rows_and_validate_all(dataset: Path) -> None:
    sums: list[torch.Tensor] = []

    def collect(values: torch.Tensor) -> torch.Tensor:
        sums.append(values)
        return values

    whole, network = ready(recipe(dataset))
    network.eval()
    alone = whole.validate(network)
    halves = [ready(recipe(dataset), Place(torch.device("cpu"), rank, 2, collect))[0] for rank in (0, 1)]
    assert [half.steps_per_epoch for half in halves] == [5, 5]
    parts = [half.batch(step()) for half in halves]
    assert [len(part.masses[0]) for part in parts] == [8, 8]
    assert not equal(*parts)
    for half in halves:
        half.validate(network)
    total = sum(sums)
    assert isinstance(total, torch.Tensor)
    assert total[:-1].sum().item() == 40
    assert total[:-1].reshape(2, 7, 7).sum(dim=0).trace().item() / 40 == pytest.approx(alone["accuracy"])


def test_a_row_counts_the_same_in_whichever_process(dataset: Path) -> None:
    """With weights of classes and votes one process may have twice the mass of another."""
    weighted = {"class_weights": "effective", "effective_beta": 0.9, "vote_weighting": 0.9}
    plain = {"mixup": 0.0, "mirror": 0.0}
    wanted = recipe(dataset, loss=weighted, augment=plain)
    sums: dict[int, list[torch.Tensor]] = {0: [], 1: []}

    def part(rank: int, put_together: Any) -> tuple[ExpressionTask, torch.nn.Module]:
        task, network = ready(wanted, Place(torch.device("cpu"), rank, 2, put_together))
        return task, network.eval()

    halves = [part(rank, lambda mass, rank=rank: sums[rank].append(mass) or mass) for rank in (0, 1)]
    batches = [task.batch(step()) for task, _ in halves]
    for (task, network), batch in zip(halves, batches, strict=True):
        task.losses(network, batch)
    masses = [own[-1] for own in sums.values()]
    assert masses[0][0] != pytest.approx(masses[1][0])
    found = [
        task.losses(network, batch)["loss"].item()
        for (task, network), batch in zip(
            [part(rank, lambda mass: masses[0] + masses[1]) for rank in (0, 1)], batches, strict=True
        )
    ]
    one, two = batches
    both = Batch(
        torch.cat([one.pictures, two.pictures]),
        tuple(torch.cat(pair) for pair in zip(one.masses, two.masses, strict=True)),
        (None, None),
    )
    alone, network = ready(wanted)
    assert sum(found) / 2 == pytest.approx(alone.losses(network.eval(), both)["loss"].item(), rel=1e-5)


def test_validation_is_what_one_counts_by_hand(dataset: Path) -> None:
    task, network = ready(recipe(dataset))
    network.eval()
    scores = task.validate(network)
    faces = open_faces(dataset, "validation")
    images = np.stack(faces.images(np.arange(40)))
    batch = torch.from_numpy(np.stack([task_input(image) for image in images]))[:, None]
    with torch.no_grad():
        logits = network(batch)[0]
    label = torch.from_numpy(faces.label)
    right = logits.argmax(dim=1) == label
    assert scores["accuracy"] == pytest.approx(right.float().mean().item())
    assert scores["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, label).item(), rel=1e-4)
    recalls = [right[label == value].float().mean().item() for value in range(7)]
    assert scores["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert task.metric in scores


def task_input(image: np.ndarray) -> np.ndarray:
    import cv2

    small = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA)
    return ((small / 255 - 0.5077) / 0.255).astype(np.float32)


def test_copies_are_looked_for_without_a_copy_of_all_pixels() -> None:
    pixels = torch.randint(0, 256, (4000, 1, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    other = torch.cat([pixels[7:9], 255 - pixels[:1]])
    tracemalloc.start()
    try:
        found = _copies(ResidentImages(other), ResidentImages(pixels), 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.tolist() == [True, True, False]
    assert peak < pixels.numel() / 4


def test_copies_are_counted_apart(tmp_path: Path) -> None:
    images = smooth_faces(56)
    images[28:35] = images[0:7]
    splits = ("train",) * 28 + ("validation",) * 28
    path = write_dataset(tmp_path / "a.parquet", images, splits=splits)
    task, network = ready(recipe(path))
    network.eval()
    scores = task.validate(network)
    assert "accuracy_without_leaks" in scores
    first = scores["accuracy"] * 28
    assert first - 7 <= scores["accuracy_without_leaks"] * 21 <= first


def test_it_learns_what_can_be_learned(tmp_path: Path) -> None:
    # Bright faces are happy, dark ones sad.
    images = smooth_faces(64) // 4
    images[::2] += 150
    path = write_class_folders(tmp_path / "folder", images, ("happy", "sad"))
    off = {"brightness": 0.0, "contrast": 0.0, "gamma": 0.0, "mix_share": 0.0, "erasing": 0.0}
    task, network = ready(recipe(path, batch_size=32, augment=off, model={"dropout": 0.0}))
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    losses = []
    for number in range(24):
        batch = task.batch(step(number % task.steps_per_epoch, number // task.steps_per_epoch))
        loss = task.losses(network, batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    network.eval()
    assert task.validate(network)["accuracy"] == 1.0
    assert task.facts()["heads"] == {"expression": ["happy", "sad"]}


def test_teachers_and_consistency_have_their_say(dataset: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.safetensors"
    save_checkpoint(plain_network(size_px=24), teacher)
    task, network = ready(
        recipe(dataset, distill={"teachers": (teacher,), "distill_weight": 0.75}, loss={"consistency": 2.0})
    )
    batch = task.batch(step())
    assert batch.pictures.shape == (32, 1, 16, 16)
    assert batch.answers[0] is not None
    losses = {name: value.item() for name, value in task.losses(network, batch).items()}
    labels = losses["label_loss"] + 0.5 * losses["votes_loss"]
    wanted = 0.25 * labels + 0.75 * losses["teachers_loss"] + 2.0 * losses["consistency_loss"]
    assert losses["loss"] == pytest.approx(wanted, rel=1e-5)
    assert task.facts()["teachers"] == [str(teacher)]


def test_what_teachers_see(dataset: Path, tmp_path: Path) -> None:
    """Each learns from the same faces; their teachers see them as they are, sharp, or moved in another way."""
    teacher = tmp_path / "teacher.safetensors"
    save_checkpoint(plain_network(size_px=16), teacher)
    seen = {}
    for see in ("same", "clear", "other"):
        task, _ = ready(
            recipe(
                dataset, augment={"mixup": 0.0, "erasing": 1.0}, distill={"teachers": (teacher,), "teachers_see": see}
            )
        )
        seen[see] = task.batch(step())
        assert equal(seen[see], seen["same"])
    answers = [seen[see].answers[0] for see in ("same", "clear", "other")]
    for one, other in itertools.combinations(answers, 2):
        assert one is not None
        assert other is not None
        assert not torch.allclose(one, other)
    with pytest.raises(UsageError, match="'other' shows teachers the same face moved otherwise"):
        ready(recipe(dataset, distill={"teachers": (teacher,), "teachers_see": "other"}))
    ready(recipe(dataset, distill={"teachers_see": "other"}))


def test_a_checkpoint_starts_another_set_of_classes(dataset: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    save_checkpoint(plain_network(size_px=16, convs_per_stage=1), start, half=False)
    model = {"start_from": start, "frozen_backbone": True, "backbone_rate": 0.1}
    task, network = ready(recipe(dataset, model=model, data={"labels": "basic3"}))
    assert task.facts()["started_with"]["basic3"] == ["happy", "sad", "neutral"]
    kept = load_checkpoint(start).state_dict()
    for name, value in network.state_dict().items():
        if name.startswith("backbone.") and not name.endswith("num_batches_tracked"):
            assert torch.equal(value, kept[name])
    network.train()
    task.losses(network, task.batch(step()))["loss"].backward()
    learning = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert learning
    assert all(name.startswith("heads.") for name in learning)
    assert (task.rate_of("backbone.features.0.weight"), task.rate_of("heads.0.weight")) == (0.1, 1.0)


def test_options_that_are_left_out_are_those_of_the_checkpoint(dataset: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    save_checkpoint(plain_network((4, 8), 1, blur_pools=2, size_px=16), start)
    task, network = ready(recipe(dataset, model={"start_from": start, "architecture_options": ("blur_pools=1",)}))
    wanted = {"widths": (4, 8), "convs_per_stage": 1, "blur_pools": 1, "repvgg": False}
    assert network.spec.options == wanted
    task.save_checkpoint(network, tmp_path / "tuned.safetensors", {})
    _, again = ready(recipe(dataset, model={"start_from": tmp_path / "tuned.safetensors", "architecture_options": ()}))
    assert again.spec.options == wanted


def test_a_narrower_network_takes_over_the_pools_of_the_checkpoint(dataset: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    save_checkpoint(plain_network((64, 64, 128, 256), 2, blur_pools=3), start)
    model = {"start_from": start, "architecture": "mien-tiny", "architecture_options": (), "size_px": 48}
    _, network = ready(recipe(dataset, model=model))
    assert network.spec.options["blur_pools"] == 3
    _, network = ready(recipe(dataset, model={**model, "architecture_options": ("blur_pools=0",)}))
    assert network.spec.options["blur_pools"] == 0


def test_what_a_checkpoint_had_learned_from_is_remembered_when_it_is_tuned(dataset: Path, tmp_path: Path) -> None:
    first, tuned = tmp_path / "first.safetensors", tmp_path / "tuned.safetensors"
    elsewhere = LearnedFrom("others", "train", faces=90, held_out=9, checksum="00ff", share=0.1)
    extra = {LEARNED_KEY: elsewhere.to_json()}
    save_checkpoint(plain_network(size_px=16, convs_per_stage=1), first, extra=extra)
    task, network = ready(recipe(dataset, model={"start_from": first}))
    task.save_checkpoint(network, tuned, {})
    found = read_checkpoint(tuned).learned_from
    assert found is not None
    assert (found.source, found.earlier) == (dataset.name, elsewhere)


def test_choosing_by_faces_that_the_first_weights_learned_from_is_warned_of(tmp_path: Path) -> None:
    flat, first = write_dataset(tmp_path / "flat.parquet", smooth_faces(60), splits=("train",)), tmp_path / "a"
    task, network = ready(recipe(flat, data={"validation_share": 0.2}))
    task.save_checkpoint(network, first, {})
    ready(recipe(flat, data={"validation_share": 0.2}, model={"start_from": first}))  # the same ones: no word
    with pytest.warns(MienWarning, match="learned from faces of flat.parquet that are held out here"):
        ready(recipe(flat, data={"validation_share": 0.25}, model={"start_from": first}))
    taught = {"teachers": [first], "distill_weight": 0.5}
    ready(recipe(flat, data={"validation_share": 0.2}, distill=taught))
    with pytest.warns(MienWarning, match="a: learned from faces of flat.parquet that are held out here"):
        ready(recipe(flat, data={"validation_share": 0.25}, distill=taught))
    ready(recipe(flat, data={"validation_share": 0.25}, distill={**taught, "distill_weight": 0.0}))  # not asked


def test_labels_that_a_checkpoint_lacks_are_told(dataset: Path, tmp_path: Path) -> None:
    start, known = tmp_path / "start.safetensors", (HeadSpec("some", ("happy", "sad")),)
    save_checkpoint(plain_network(size_px=16, convs_per_stage=1, heads=known), start, half=False)
    with pytest.warns(MienWarning, match="takes happy, sad from the checkpoint; neutral starts from scratch"):
        ready(recipe(dataset, model={"start_from": start}, data={"labels": "basic3"}, loss={"ferplus_weight": 0.0}))


def test_fresh_norms_are_those_of_faces_that_are_not_augmented(dataset: Path) -> None:
    augment = {"brightness": 0.9, "contrast": 0.9, "invert": 1.0}
    task, network = ready(recipe(dataset, model={"fresh_norms": 20}, augment=augment))
    network.train()
    for index in range(3):
        task.losses(network, task.batch(step(index=index)))
    task.settle(network)
    images = next(
        task._images_of["training"].batches(np.linspace(0, len(task._training) - 1, 20).round().astype(np.int64)[None])
    )
    with torch.no_grad():
        maps = network.backbone.features[0](network.normalise(images)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(network.backbone.features[1].running_mean, maps.mean(dim=1), rtol=1e-4, atol=1e-5)
    again = {name: value.clone() for name, value in network.state_dict().items()}
    task.settle(network)
    assert all(torch.equal(value, again[name]) for name, value in network.state_dict().items())


def test_without_fresh_norms_the_statistics_are_those_of_training(dataset: Path) -> None:
    task, network = ready(recipe(dataset))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    task.settle(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_saved_network_reads_alike(dataset: Path, tmp_path: Path) -> None:
    task, network = ready(recipe(dataset))
    task.save_checkpoint(network, tmp_path / "a.safetensors", {"epoch": "3"})
    network.eval()
    again = load_checkpoint(tmp_path / "a.safetensors")
    assert task.validate(again)["loss"] == pytest.approx(task.validate(network)["loss"], abs=1e-2)


def test_other_weights_to_start_from_have_another_checksum(dataset: Path, tmp_path: Path) -> None:
    """They come back into the network with `keep_start`, so that a run cannot go on with others."""
    start = tmp_path / "start.safetensors"
    found = []
    for seed in (0, 0, 1):
        network = plain_network(convs_per_stage=1, size_px=16)
        torch.manual_seed(seed)
        torch.nn.init.normal_(network.heads[0].weight)
        save_checkpoint(network, start)
        options = {"start_from": start, "architecture_options": ("widths=4:8", "convs_per_stage=1")}
        task, _ = ready(recipe(dataset, model=options))
        found.append(task.facts()["checksum"])
    assert found[0] == found[1] != found[2]


def test_other_data_have_another_checksum(dataset: Path, tmp_path: Path) -> None:
    first = ready(recipe(dataset))[0].facts()["checksum"]
    assert first == ready(recipe(dataset))[0].facts()["checksum"]
    images = smooth_faces(120)
    images[5, 3, 3] ^= 255
    other = write_dataset(tmp_path / "b.parquet", images, splits=("train", "train", "validation"), votes=True)
    assert ready(recipe(other))[0].facts()["checksum"] != first
    assert ready(recipe(dataset, loss={"label_smoothing": 0.2}))[0].facts()["checksum"] != first
