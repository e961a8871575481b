"""Classes that are no expressions, from a folder to an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import mien
from mien.evaluate import evaluate_model
from mien.export import export_checkpoint
from mien.train import ExpressionRecipe, change_recipe, train_model
from tests.sets import write_class_folders

CLASSES = ("engaged", "Bored", "looking away")


def test_classes_of_any_name_are_trained_measured_exported_and_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shades = np.array([30, 120, 220])[np.arange(60) % 3, None, None]
    images = (shades + rng.integers(-20, 20, (60, 24, 24))).astype(np.uint8)
    write_class_folders(tmp_path / "faces" / "train", images[:45], CLASSES)
    write_class_folders(tmp_path / "faces" / "val", images[45:], CLASSES)
    quiet = {"brightness": 0.0, "contrast": 0.0, "gamma": 0.0, "erasing": 0.0, "mixup": 0.0, "accelerator": "cpu"}
    recipe = change_recipe(
        ExpressionRecipe(),
        {
            "dataset": tmp_path / "faces", "architecture": "cnn2", "size_px": 96, "batch_size": 9, "epochs": 3,
            "learning_rate": 0.001, "dropout": 0.0, "threads": 1, "loggers": (), **quiet,
        },
    )  # fmt: skip
    best = train_model(recipe, tmp_path / "run").best_path
    found = evaluate_model(best, tmp_path / "faces", ten_views=False).to_dict()
    assert found["one_pass"]["accuracy"] > 0.9
    card = export_checkpoint(str(best), str(tmp_path / "mood.onnx"), str(tmp_path / "faces"), full=False)
    assert card.heads[0].labels == ("bored", "engaged", "looking away")
    recognizer = mien.Recognizer(model=tmp_path / "mood.onnx", detector="none")
    assert [recognizer.recognize(images[45 + i]).faces[0].expression for i in range(3)] == [
        "engaged",
        "bored",
        "looking away",
    ]
    two = mien.recognize(images[45], model=tmp_path / "mood.onnx", detector="none", labels=("Engaged", "bored"))
    assert set(two.faces[0].probabilities) == {"engaged", "bored"}
