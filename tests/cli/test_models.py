"""`mien models`: what is shipped, what can be trained, and one card of each; without torch."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import sys

import pytest

from mien.train.architectures import list_architectures
from mien.zoo import list_models
from tests.cli.mien_in_process import runner
from tests.fakes import make_card


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    return runner(monkeypatch, capsys)


def test_what_is_shipped_and_what_can_be_trained_are_listed(run):
    done = run("models")
    assert (done.code, _first_column(done.out)) == (0, list(list_models()))
    assert "--architectures" in done.out
    done = run("models", "--architectures")
    assert (done.code, _first_column(done.out)) == (0, [*list_architectures(), "timm:NAME"])
    assert "gray 160 px" in done.out


def _first_column(text):
    table = text.split("\n\n")[0].splitlines()[1:]
    return [line.split()[0] for line in table if line[:1].strip() and not line.startswith("'")]


def test_an_architectures_card_tells_what_it_is(run):
    done = run("models", "mini_xception")
    assert done.code == 0
    for fact in ("56,951", "gray 64 x 64", "Arriaga", "Apache-2.0", "no weights", "angry, disgust, fear"):
        assert fact in done.out
    done = run("models", "mien-base")
    assert "64, 128, 256, 512" in done.out
    assert "head ferplus" in done.out


def test_a_models_card_tells_what_it_is_worth(run):
    done = run("models", "base")
    accuracy = list_models()["base"].card.scores["fer7"]["one_pass"]["accuracy_without_training_copies"]
    for fact in ("FER2013 PublicTest, 3,589 faces", f"{100 * accuracy:.1f} %", "20 px", "not what the person feels"):
        assert fact in done.out
    assert f"{100 * accuracy:.1f} %" in run("models").out


def test_a_card_without_scores_and_with_brackets_is_shown(run, tmp_path):
    card = make_card(file="mine.onnx", summary="[/] [red]mine", notes=("[/]",))
    card.write(tmp_path / "mine.json")
    (tmp_path / "mine.onnx").write_bytes(b"")
    done = run("models", tmp_path / "mine.onnx")
    assert (done.code, "[/] [red]mine" in done.out) == (0, True)


def test_scores_measured_on_a_single_face_are_shown(run, tmp_path):
    base = list_models()["base"].card
    scores = base.scores["fer7"]
    few = {name: score for name, score in scores["calibration"].items() if not name.endswith("held_out")}
    card = dataclasses.replace(base, file="mine.onnx", scores={**base.scores, "fer7": {**scores, "calibration": few}})
    card.write(tmp_path / "mine.json")
    (tmp_path / "mine.onnx").write_bytes(b"")
    done = run("models", tmp_path / "mine.onnx")
    assert (done.code, "FER+ plurality" in done.out, "ECE" in done.out) == (0, True, False)


def test_codes_in_a_card_do_not_reach_the_terminal(run, tmp_path):
    card = make_card(file="mine.onnx", summary="\x1b]0;a title\x07", notes=("\x9b31mred",))
    card.write(tmp_path / "mine.json")
    (tmp_path / "mine.onnx").write_bytes(b"")
    done = run("models", tmp_path / "mine.onnx")
    assert "]0;a title" in done.out
    assert "31mred" in done.out
    assert not {"\x1b", "\x9b"} & {*done.out}


def test_what_is_told_to_be_typed_works(run, tmp_path):
    """A model's file is named as it was given, not as its card calls it."""
    base = list_models()["base"]
    card = dataclasses.replace(base.card, name="mine", file="my own.onnx")
    card.write(tmp_path / "my own.json")
    (tmp_path / "my own.onnx").write_bytes(base.read_weights())
    for given in ("base", tmp_path / "my own.onnx"):
        (line,) = [line for line in run("models", given).out.splitlines() if line.endswith("' has all of them.")]
        done = run(*shlex.split(line.removeprefix("'mien ").removesuffix("' has all of them.")))
        assert (done.code, json.loads(done.out)["sha256"]) == (0, base.card.sha256)


def test_a_checkpoint_is_told_to_be_exported(run, tmp_path):
    (tmp_path / "best.safetensors").write_bytes(b"")
    done = run("models", tmp_path / "best.safetensors")
    assert (done.code, "mien export" in done.err) == (2, True)


def test_json_is_for_programs(run):
    assert [card["name"] for card in json.loads(run("models", "--json").out)] == list(list_models())
    cards = json.loads(run("models", "--architectures", "--json").out)
    assert {card["name"]: card["parameters"] for card in cards} == {
        name: card.parameters for name, card in list_architectures().items()
    }
    assert json.loads(run("models", "base", "--json").out)["kind"] == "expression"
    assert json.loads(run("models", "vgg16", "--json").out)["origin"].startswith("Simonyan")


def test_timms_networks_have_cards_too(run):
    done = run("models", "timm:test_resnet", "--json")
    card = json.loads(done.out)
    assert card["parameters"] > 100_000
    assert "timm" in card["licence"]


def test_unknown_names_are_one_clear_line(run):
    done = run("models", "nothing")
    assert (done.code, done.out) == (2, "")
    assert "unknown model 'nothing'; expected one of" in done.err
    assert "mini_xception" in done.err
    done = run("models", "timm:nothing_at_all")
    assert (done.code, "has no network" in done.err) == (2, True)
    assert run("models", "base", "--architectures").code == 2


@pytest.mark.parametrize("arguments", [["models"], ["models", "vgg16"], ["models", "--architectures", "--json"]])
def test_listing_imports_no_torch(arguments):
    script = (
        f"import sys; sys.argv = ['mien', *{arguments!r}]\n"
        "from mien.cli import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "assert not {'torch', 'timm', 'onnxruntime', 'cv2', 'pyarrow', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "vgg16" in done.stdout or "base" in done.stdout
