"""Cards are data that is checked when it is read."""

import dataclasses
import json
import math

import numpy as np
import pytest

from mien.errors import ModelError
from mien.zoo import Head, InputSpec, ModelCard, list_models
from mien.zoo.card import LearnedFrom
from tests.fakes import make_card

INPUT = {"name": "image", "size_wh": [8, 8], "channels": "gray", "dtype": "uint8", "mean": 0.5, "std": 0.25}


def test_a_card_survives_writing_and_reading(tmp_path):
    card = make_card(scores={"accuracy": 0.7}, settings={"threshold": 0.5}, notes=("one",))
    card.write(tmp_path / "card.json")
    assert ModelCard.read(tmp_path / "card.json") == card


def test_what_a_model_was_trained_on_survives_too(tmp_path):
    learned = LearnedFrom("faces", "train", faces=467, held_out=47, checksum="00ff", share=0.1, seed=3)
    learned = dataclasses.replace(learned, earlier=LearnedFrom("before", "train", 20, 0, "0f"))
    make_card(learned_from=learned).write(tmp_path / "card.json")
    assert ModelCard.read(tmp_path / "card.json").learned_from == learned
    assert LearnedFrom.from_json(learned.to_json(), "here") == learned
    for text in ("no", "[]", '{"source": "faces"}', learned.to_json().replace("467", '"many"')):
        with pytest.raises(ModelError, match="here: what it was trained on cannot be read"):
            LearnedFrom.from_json(text, "here")
    assert "learned_from" not in make_card().to_dict(), "cards that do not know it stay as they are"


def test_every_shipped_card_survives_too(tmp_path):
    for name, model in list_models().items():
        model.card.write(tmp_path / f"{name}.json")
        assert ModelCard.read(tmp_path / f"{name}.json") == model.card


def test_a_colour_card_may_normalise_each_channel(tmp_path):
    of_imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    rgb = InputSpec("image", (8, 8), "rgb", "uint8", **of_imagenet)
    make_card(input=rgb).write(tmp_path / "card.json")
    assert ModelCard.read(tmp_path / "card.json").input == rgb
    assert [values.shape for values in rgb.mean_and_std] == [(3, 1, 1), (3, 1, 1)]
    assert make_card().input.mean_and_std[0].shape == (1, 1, 1)


def broken(tmp_path, **changes):
    card = make_card().to_dict()
    card.update(changes)
    path = tmp_path / "card.json"
    path.write_text(json.dumps({key: value for key, value in card.items() if value is not ...}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "unknown keys"),
        ({"sha256": ...}, "lacks"),
        ({"schema": 2}, '"schema": 1'),
        ({"kind": "robot"}, "expected one of"),
        ({"parameters": "many"}, "expected int"),
        ({"parameters": True}, "expected int"),
        ({"heads": []}, "needs a head"),
        ({"heads": {"a": 1}}, "expected a list"),
        ({"heads": [{"output": "x", "labels": ["a", "a"]}]}, "names a label twice"),
        ({"heads": [{"output": "x", "labels": ["a"], "temperature": 0.0}]}, "positive"),
        ({"heads": [{"output": "x", "labels": ["a"], "temperature_by_px": [[20, 1], [10, 1]]}]}, "ascending"),
        ({"heads": [{"output": "x", "labels": ["a"], "temperature_by_px": [[20, 1, 3]]}]}, "expected 2"),
        ({"heads": [{"output": "x", "labels": ["a", "b"], "class_scale": [1, 1]}]}, "expected 2 finite numbers"),
        (
            {"heads": [{"output": "x", "labels": ["a"], "class_scale": [0], "class_bias": [0]}]},
            "the scales positive, or none",
        ),
        (
            {"heads": [{"output": "x", "labels": ["a"], "class_scale": [1], "class_bias": [float("nan")]}]},
            "expected 1 finite numbers in each",
        ),
        ({"heads": [{"output": "x", "labels": ["a"], "temperature": float("inf")}]}, "positive"),
        ({"input": "gray"}, "expected an object"),
        ({"input": {**INPUT, "mean": [0.4, 0.4, 0.4]}}, "one number for gray"),
        ({"input": {**INPUT, "channels": "rgb", "mean": [0.4, 0.4]}}, "2 items; expected 3"),
        ({"input": {**INPUT, "std": 0}}, "more than 0"),
        ({"input": {**INPUT, "mean": None}}, "expected float"),
        ({"input": {**INPUT, "size_wh": [8, 0]}}, r"size_wh is \(8, 0\); expected a width and a height"),
        ({"input": {**INPUT, "framing_xy": [[0.5, 0.5]]}}, "expected five points, or none"),
        ({"input": {**INPUT, "framing_xy": [[0.5, math.nan]] * 5}}, "expected five points, or none"),
        ({"input": {**INPUT, "multiple_of_px": 0}}, "multiple_of_px is 0; expected at least 1"),
        ({"settings": {"score_threshold": "high"}}, "card.settings.score_threshold is 'high'; expected float"),
    ],
)
def test_a_card_that_does_not_fit_is_told(tmp_path, changes, message):
    with pytest.raises(ModelError, match=message):
        ModelCard.read(broken(tmp_path, **changes))


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(ModelError, match="cannot read"):
        ModelCard.read(tmp_path / "none.json")
    for text in ("{", "[" * 100_000):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ModelError, match="no valid JSON"):
            ModelCard.read(tmp_path / "bad.json")


def test_temperature_follows_the_pixels_of_the_photo():
    head = Head("x", ("a", "b"), 0.8, ((10.0, 2.0), (20.0, 1.0), (48.0, 0.8)))
    np.testing.assert_allclose(
        head.temperature_at(np.array([5.0, 10.0, 15.0, 20.0, 48.0, 500.0])), [2, 2, 1.5, 1, 0.8, 0.8]
    )
    np.testing.assert_allclose(Head("x", ("a", "b"), 0.8).temperature_at(np.array([5.0, 500.0])), 0.8)


def test_shipped_models_have_temperatures_for_small_faces_that_end_at_their_own():
    for model in list_models().values():
        for head in model.card.heads:
            sides_px, temperatures = zip(*head.temperature_by_px, strict=True)
            assert temperatures[-1] == head.temperature
            assert sides_px[-1] == model.card.input.size_wh[0]
            assert sides_px[0] <= 12
            # They were taught to read small faces, so these need about the temperature of large ones.
            assert temperatures == pytest.approx([temperatures[-1]] * len(temperatures), rel=0.2)


def test_the_head_is_found_by_name():
    assert make_card().head("ferplus").labels[-1] == "not_face"
    with pytest.raises(ModelError, match="it has: fer7, ferplus"):
        make_card().head("ck8")
    assert InputSpec("image", None, "gray", "uint8", 0.5, 0.25).multiple_of_px == 1
