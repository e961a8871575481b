"""The shipped files: whole, small, honest, and made from what is in weights/."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest

from mien.data.fer2013 import Fer2013, read_fer2013_parquet
from mien.data.held_out import open_measured
from mien.detect.mien import MienSettings
from mien.errors import MienWarning
from mien.export import zoo
from mien.export.expression import convert
from mien.export.run import run_logits
from mien.train.checkpoint import load_checkpoint, read_checkpoint
from mien.train.detector.network import DETECTOR_INPUT
from mien.zoo import list_models
from mien.zoo.card import ModelCard

CHECKPOINTS = Path(__file__).parents[2] / "weights"
ROUNDING = {"tiny": 0.0210, "small": 0.0162, "base": 0.0144, "wide": 0.0157}
"""What int8 changes in the logits, as a share of their spread. Ranges that are a tenth too narrow add half to it."""
NAMES = {description.name: checkpoint for checkpoint, description in zoo.CHECKPOINTS.items()}

needs_checkpoints = pytest.mark.skipif(not CHECKPOINTS.is_dir(), reason="weights/ is not in the sdist")


@pytest.fixture(scope="module")
def validation(fer2013_dir: Path) -> Fer2013:
    return read_fer2013_parquet(fer2013_dir / "fer2013-valid.parquet")


@pytest.mark.parametrize("path", sorted((zoo.ZOO / "cards").glob("*.json")), ids=lambda path: path.stem)
def test_cards_tell_the_truth_about_their_files(path: Path) -> None:
    card = ModelCard.read(path)
    content = (zoo.ZOO / "weights" / card.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.sha256
    assert path.stem == card.name
    assert card.licence
    assert card.training_data
    assert card.scores
    model = onnx.load_from_string(content)
    assert [value.name for value in model.graph.input] == [card.input.name]
    assert model.ir_version <= 10
    outputs = {value.name: value.type.tensor_type.shape.dim[-1].dim_value for value in model.graph.output}
    if card.kind == "expression":
        assert outputs == {head.output: len(head.labels) for head in card.heads}
        assert (card.input.dtype, card.input.size_wh, len(card.input.framing_xy)) == ("uint8", (48, 48), 5)
        assert not any(head.temperature == 1 for head in card.heads)
        for way in ("one_pass", "ten_views"):
            assert card.scores["fer7"][way]["images_without_any_copy"] == 2795  # 280 have an exact copy, 514 another
        assert card.scores["fer7"]["float32_accuracy"] - card.scores["fer7"]["one_pass"]["accuracy"] < 0.003


def test_the_zoo_is_small_and_holds_nothing_else() -> None:
    files = {path.name: path.stat().st_size for path in (zoo.ZOO / "weights").iterdir() if path.is_file()}
    assert sum(files.values()) < 16e6
    assert set(files) == {model.card.file for model in list_models().values()}
    assert list(list_models()) == ["tiny", "small", "base", "wide", "mien"]


@needs_checkpoints
def test_the_table_of_checkpoints_is_right() -> None:
    table = (CHECKPOINTS / "README.md").read_text(encoding="utf-8")
    for path in CHECKPOINTS.glob("*.safetensors"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in table, path.name


def test_the_detector_card_fits_the_program() -> None:
    card = list_models()["mien"].card
    assert card.input == DETECTOR_INPUT
    assert card.settings == dataclasses.asdict(MienSettings())


@needs_checkpoints
@pytest.mark.parametrize("name", sorted(NAMES))
def test_int8_is_as_right_as_float(name: str, validation: Fer2013) -> None:
    model = list_models()[name]
    scores = model.card.scores["fer7"]
    # Cards are written by one program: that the smallest one is right to the last face speaks for the others.
    every = 1 if name == "tiny" else 6
    shipped = run_logits(model.read_weights(), validation.images[::every, None])["fer7"]
    accuracy = (shipped.argmax(axis=1) == validation.labels[::every]).mean()
    assert accuracy == pytest.approx(scores["one_pass"]["accuracy"], abs=0.002 if every == 1 else 0.025)
    # The float network takes longer: it runs on every 18th face, but every logit counts.
    network = load_checkpoint(CHECKPOINTS / NAMES[name])
    _, reference = convert(network, validation.images[:, None], "float32")
    exact = run_logits(reference, validation.images[::18, None])["fer7"]
    change = np.sqrt(np.mean((shipped[:: 18 // every] - exact) ** 2)) / exact.std()
    assert change == pytest.approx(ROUNDING[name], rel=0.2)


@needs_checkpoints
def test_the_shipped_base_comes_from_its_checkpoint(fer2013_dir: Path, validation: Fer2013) -> None:
    training = read_fer2013_parquet(fer2013_dir / "fer2013-train.parquet")
    remade, _ = convert(load_checkpoint(CHECKPOINTS / NAMES["base"]), training.images[:, None])
    shipped = list_models()["base"].read_weights()
    if remade != shipped:  # another processor or library may round a range otherwise
        faces = validation.images[:600, None]
        here, there = (run_logits(model, faces)["fer7"].argmax(axis=1) for model in (remade, shipped))
        assert np.mean(here == there) > 0.985


@needs_checkpoints
def test_models_know_what_they_learned_from(fer2013_dir: Path, tmp_path: Path) -> None:
    learned = {name: list_models()[name].card.learned_from for name in NAMES}
    for name, checkpoint in NAMES.items():
        assert learned[name] == read_checkpoint(CHECKPOINTS / checkpoint).learned_from, name
    link = tmp_path / "of_another_name"  # so that the faces themselves tell
    link.symlink_to(fer2013_dir, target_is_directory=True)
    for one in learned.values():
        with pytest.warns(MienWarning, match="learned from all of these faces"):
            open_measured(link, "train", [one])
        assert open_measured(link, "validation", [one]).warning == ""


def test_a_missing_dataset_gives_a_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--data", str(tmp_path), "--models", str(tmp_path), "--cards", str(tmp_path)]
    assert zoo.main(given) == 1
    assert "fer2013-train.parquet" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
