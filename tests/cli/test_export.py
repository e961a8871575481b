"""A tiny random checkpoint becomes a model that `mien recognize` runs; what cannot be exported leaves nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mien.labels import FER7
from mien.train.architectures import FERPLUS_HEAD, HeadSpec
from mien.train.checkpoint import save_checkpoint
from mien.zoo.card import ModelCard
from tests.cli.mien_in_process import runner
from tests.sets import smooth_faces, write_class_folders, write_dataset
from tests.train.networks import plain_network

IMAGES = smooth_faces(56)


@pytest.fixture
def run(monkeypatch, capsys):
    return runner(monkeypatch, capsys)


@pytest.fixture
def checkpoint(tmp_path):
    save_checkpoint(plain_network(size_px=24), tmp_path / "best.safetensors")
    return tmp_path / "best.safetensors"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("sets") / "made.parquet"
    return write_dataset(path, IMAGES, splits=("train", "train", "train", "validation"), votes=True)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_result_is_usable_at_once(run, checkpoint, dataset, precision, tmp_path, astronaut_path):
    done = run("export", checkpoint, "--data", dataset, "--precision", precision, "--licence", "ours alone")
    assert done.code == 0, done.err
    out = tmp_path / f"best-{precision}.onnx"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([out.name, f"{out.stem}.json", checkpoint.name])
    card = ModelCard.read(out.with_suffix(".json"))
    assert card.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert card.sha256 in done.out
    assert re.search(r"torch and float32 ONNX differ by at most \S+ of the largest logit\n", done.out)
    assert card.scores["torch_to_onnx_max_logit_difference"] < 2e-3
    assert (card.precision, card.licence, card.input.size_wh) == (precision, "ours alone", (24, 24))
    assert card.scores["fer7"]["one_pass"]["images"] == 14
    assert "FER2013" not in " ".join(card.notes[:2])

    read = run("recognize", astronaut_path, "--model", out, "--json")
    (row,) = [json.loads(line) for line in read.out.splitlines()]
    assert (read.code, sum(row["probabilities"].values())) == (0, pytest.approx(1, abs=1e-3))
    again = run("evaluate", out, "--data", dataset, "--json", "--no-ten-views")
    assert json.loads(again.out)["one_pass"]["accuracy"] == card.scores["fer7"]["one_pass"]["accuracy"]


def test_a_folder_without_training_faces_gives_float32(run, checkpoint, tmp_path):
    folder = write_class_folders(tmp_path / "faces", IMAGES[:14])
    done = run("export", checkpoint, "--data", folder)
    assert done.code == 2
    assert "--training PATH" in done.err
    done = run("export", checkpoint, "--data", folder, "--precision", "float32", "--json", "--out", tmp_path / "f.onnx")
    assert (done.code, json.loads(done.out)["name"]) == (0, "f"), done.err
    done = run("export", checkpoint, "--data", folder, "--training", folder, "--out", tmp_path / "i.onnx")
    assert done.code == 0, done.err
    one_pass = ModelCard.read(tmp_path / "i.json").scores["fer7"]["one_pass"]
    assert (one_pass["images"], one_pass["images_without_training_copies"]) == (14, 0)
    assert one_pass["images_without_any_copy"] == 0


@pytest.mark.parametrize("precision", ["int8", "float32"])
@pytest.mark.parametrize("channels", ["gray", "rgb"])
def test_any_labels_any_channels(run, precision, channels, tmp_path, astronaut_path):
    """Classes of one's own, in another order than the dataset's, beside one that is no expression; no second head."""
    labels = ("sleepy", "happy", "not_face")
    network = plain_network(heads=(HeadSpec("mood", labels),), size_px=32, channels=channels)
    checkpoint = tmp_path / "mood.safetensors"
    save_checkpoint(network, checkpoint)
    faces = write_dataset(
        tmp_path / "mood.parquet", IMAGES, labels=("angry", "happy", "sleepy"), splits=("train", "validation")
    )
    done = run("export", checkpoint, "--data", faces, "--precision", precision, "--quick")
    assert done.code == 0, done.err
    out = tmp_path / f"mood-{precision}.onnx"
    card = ModelCard.read(out.with_suffix(".json"))
    assert [(head.output, head.labels) for head in card.heads] == [("mood", labels)]
    assert (card.input.channels, card.input.size_wh) == (channels, (32, 32))
    assert set(card.scores) >= {"mood", "split"}
    assert card.scores["mood"]["one_pass"]["images"] == 19, "the rows that the model has a class for"
    assert card.scores["mood"]["one_pass"]["recall"]["not_face"] == 0
    assert "ten_views" not in card.scores["mood"]
    assert "ferplus" not in " ".join(card.notes)
    read = run("recognize", astronaut_path, "--model", out, "--json")
    (row,) = [json.loads(line) for line in read.out.splitlines()]
    assert (read.code, set(row["probabilities"])) == (0, {"sleepy", "happy"})
    again = run("evaluate", out, "--data", faces, "--json", "--no-ten-views")
    assert json.loads(again.out)["one_pass"]["images"] == 19


def test_a_first_head_of_eight_expressions(run, tmp_path, astronaut_path):
    eight = (*FER7, "contempt")
    save_checkpoint(plain_network(heads=(HeadSpec("expressions8", eight), FERPLUS_HEAD)), tmp_path / "e.safetensors")
    faces = write_dataset(
        tmp_path / "e.parquet", IMAGES, labels=eight[::-1], splits=("train", "validation"), votes=True
    )
    done = run("export", tmp_path / "e.safetensors", "--data", faces)
    assert done.code == 0, done.err
    out = tmp_path / "e-int8.onnx"
    card = ModelCard.read(out.with_suffix(".json"))
    assert card.head("ferplus").temperature != 1
    assert card.head("expressions8").temperature_by_px[-1][0] == 48
    read = run("recognize", astronaut_path, "--model", out, "--labels", ",".join(eight), "--json")
    (row,) = [json.loads(line) for line in read.out.splitlines()]
    assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    again = run("evaluate", out, "--data", faces, "--json", "--no-ten-views")
    assert json.loads(again.out)["one_pass"]["accuracy"] == card.scores["expressions8"]["one_pass"]["accuracy"]


def test_bad_input_is_one_clear_line_and_leaves_nothing(run, checkpoint, dataset, tmp_path):
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, other, metadata={"architecture": "vgg16"})
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(checkpoint.read_bytes()[:2000])
    few = write_dataset(tmp_path / "few.parquet", IMAGES, labels=("happy", "sad"))
    (tmp_path / "taken.onnx").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    cases = [
        ((other, "--data", dataset), 2, "no checkpoint of an expression network"),
        ((torn, "--data", dataset), 2, "cannot read the checkpoint"),
        ((tmp_path / "none.safetensors", "--data", dataset), 2, "no such file; expected a checkpoint"),
        ((tmp_path, "--data", dataset), 2, "is a folder; expected a checkpoint, such as best.safetensors"),
        ((checkpoint, "--data", few), 1, "lacks the classes angry, disgust, fear, surprise, neutral"),
        ((checkpoint, "--data", dataset, "--split", "test"), 2, "no split 'test'; it has train (42 rows)"),
        ((checkpoint, "--data", tmp_path / "none.parquet"), 1, "no such file"),
        ((checkpoint, "--data", dataset, "--out", tmp_path / "taken.onnx"), 2, "is a folder"),
        ((checkpoint, "--data", dataset, "--out", tmp_path / "no" / "a.onnx"), 2, "folder does not exist"),
        ((checkpoint, "--data", dataset, "--out", tmp_path / "a.bin"), 2, "ends in .onnx"),
    ]
    for arguments, code, message in cases:
        done = run("export", *arguments)
        assert (done.code, message in done.err) == (code, True), done
        assert done.err.startswith("mien: ")
        assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_full_disk_leaves_no_half_a_model(run, checkpoint, dataset, tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    done = run("export", checkpoint, "--data", dataset, "--precision", "float32")
    assert (done.code, done.out) == (2, "")
    assert "best-float32.onnx: cannot be written (No space left on device)" in done.err
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]


@pytest.mark.parametrize("library", ["torch", "onnx", "safetensors"])
def test_the_extra_is_named_where_it_is_missing(library, checkpoint, dataset, monkeypatch, run):
    monkeypatch.setitem(sys.modules, library, None)
    done = run("export", checkpoint, "--data", dataset)
    assert done.code == 2
    assert f"needs the library '{library}'" in done.err
    assert "mien[train]" in done.err


def test_help_needs_neither_torch_nor_numpy():
    script = (
        "import sys; sys.argv = ['mien', 'export', '--help']\n"
        "from mien.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'onnxruntime', 'cv2', 'pyarrow', 'jinja2'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
