"""Photos in, a detector measured, trained, exported and used, all on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.zoo.card import ModelCard
from tests.cli.mien_in_process import Done, runner
from tests.photos_on_disk import make_photos

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "weights" / "face-detector.safetensors"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    return runner(monkeypatch, capsys)


@pytest.fixture
def photos(tmp_path: Path, astronaut_bgr: np.ndarray) -> Path:
    make_photos(tmp_path / "photos.parquet", astronaut_bgr)
    return tmp_path / "photos.parquet"


def test_import(run: Callable[..., Done], photos: Path, tmp_path: Path) -> None:
    done = run("data", "photos", photos, tmp_path / "again.parquet")
    assert done.code == 0, done.err
    assert "astronaut" in done.out
    done = run("data", "photos", photos, tmp_path / "again.parquet", "--json")
    assert json.loads(done.out)["faces"]["astronaut"] == {"train": 3, "validation": 2}
    assert run("data", "photos", tmp_path / "none", tmp_path / "x.parquet").code == 1
    assert run("data", "photos", photos, tmp_path / "x.csv").code == 2


def test_evaluate(run: Callable[..., Done], photos: Path, tmp_path: Path) -> None:
    done = run("evaluate", "mien", "--data", photos, "--no-conditions", "--out", tmp_path / "r.json", "--page",
               tmp_path / "r.html")  # fmt: skip
    assert done.code == 0, done.err
    assert "100.0 %" in done.out
    assert "as shipped" in done.out
    assert json.loads((tmp_path / "r.json").read_text())["kind"] == "detector"
    assert "missed" in (tmp_path / "r.html").read_text().lower()
    # A checkpoint has no card, and so no score with which it is shipped.
    done = run("evaluate", WEIGHTS, "--data", photos, "--no-conditions")
    assert (done.code, "as shipped" in done.out) == (0, False)
    done = run("evaluate", "mien", "--data", photos, "--no-conditions", "--json", "--split", "train")
    assert json.loads(done.out)["data"]["photos"] == 4
    # What would be ignored is refused.
    done = run("evaluate", "mien", "--data", photos, "--labels", "happy,sad", "--no-ten-views", "--threads", 1)
    assert (done.code, done.out) == (2, "")
    assert "--labels and --no-ten-views can only be used with expression models" in done.err
    tiny = ROOT / "examples" / "tiny-dataset"
    done = run("evaluate", "base", "--data", tiny, "--min-face", 20, "--no-conditions")
    assert (done.code, done.out) == (2, "")
    assert "--min-face and --no-conditions can only be used with detectors" in done.err
    # A detector on cropped faces, and an expression model on photos, say what is missing.
    done = run("evaluate", "mien", "--data", ROOT / "examples" / "tiny-dataset")
    assert done.code != 0
    assert "mien data photos" in done.err
    assert "unknown detector" not in run("evaluate", "base", "--data", photos).err


def test_compare(run: Callable[..., Done], photos: Path, tmp_path: Path) -> None:
    done = run("compare", "mien", WEIGHTS, "--data", photos, "--no-conditions", "--out", tmp_path / "c.json", "--page",
               tmp_path / "c.html")  # fmt: skip
    assert done.code == 0, done.err
    assert "mien - face-detector  recall, IoU 0.5" in done.out
    assert "no difference shown" in done.out
    assert "export them to compare times" in done.out
    assert json.loads((tmp_path / "c.json").read_text())["kind"] == "detectors"
    assert "photo by photo" in (tmp_path / "c.html").read_text().lower()
    done = run("compare", "mien", WEIGHTS, "--data", photos, "--ten-views", "--page", tmp_path / "no.html")
    assert (done.code, done.out) == (2, "")
    assert "--ten-views can only be used with expression models" in done.err
    done = run("compare", "base", "small", "--data", ROOT / "examples" / "tiny-dataset", "--sources", "afw")
    assert (done.code, done.out) == (2, "")
    assert "--sources can only be used with detectors" in done.err
    done = run("compare", "mien", "base", "--data", photos)
    assert (done.code, done.out) == (2, "")
    assert "unknown detector 'base'; expected one of mien, yunet" in done.err
    assert not (tmp_path / "no.html").exists()


def test_train_export_recognize(run: Callable[..., Done], photos: Path, tmp_path: Path, astronaut_path: Path) -> None:
    done = run(
        "train", ROOT / "recipes" / "face-detector.yaml", "--init", WEIGHTS, "--photos", photos, "--mosaic-px", 96,
        "--batch-size", 2, "--mosaics-an-epoch", 4, "--epochs", 1, "--learning-rate", 1e-5, "--threads", 1,
        "--accelerator", "cpu", "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    out = tmp_path / "mine.onnx"
    done = run("export", tmp_path / "run" / "best.safetensors", "--data", photos, "--out", out)
    assert done.code == 0, done.err
    scores = ModelCard.read(out.with_suffix(".json")).scores
    assert f"recall       100.0 % at 0.1 false detections a photo, from score {scores['threshold']:.2f} on" in done.out
    assert "recognition takes faces from score 0.7 on" in done.out, "three photos raise the bar no further"
    done = run("export", tmp_path / "run" / "best.safetensors", "--data", photos, "--out", out, "--quick")
    assert done.code == 2
    assert "--quick can only be used with expression models" in done.err
    card = ModelCard.read(out.with_suffix(".json"))
    assert (card.kind, card.precision) == ("detector", "float32")
    assert 0.3 <= card.settings["score_threshold"] <= 0.7
    assert card.scores["conditions"]["low light"]["photos"] == 3
    done = run("recognize", astronaut_path, "--detector", out, "--json")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 1
