from __future__ import annotations

import re
from pathlib import Path

from mien.train.curves import curves_svg, write_curves
from mien.train.folder import RunFolder
from tests.train.toy import toy_recipe


def test_the_loss_of_the_labels_is_drawn_against_that_of_validation() -> None:
    """What is minimised also holds the losses of votes and teachers: another scale."""
    row = {"train_loss": 9.0, "train_label_loss": 2.1, "validation_loss": 2.0, "validation_accuracy": 0.5}
    history = [{"epoch": epoch, **row, "learning_rate": 0.1} for epoch in (1, 2)]
    ticks = [
        float(text)
        for text in re.findall(r'text-anchor="end" class="soft">([\d.]+)<', curves_svg(history, "validation_accuracy"))
    ]
    assert 2.0 in ticks
    assert max(ticks) < 3


def test_a_single_epoch_is_not_written_over_the_name_of_its_axis() -> None:
    row = {"learning_rate": 0.1, "train_loss": 1.0, "validation_loss": 1.1, "validation_accuracy": 0.5}
    for epochs, below in ((1, {"epoch 1"}), (2, {"1", "epoch", "2"})):
        drawn = curves_svg([{**row, "epoch": epoch + 1} for epoch in range(epochs)], "validation_accuracy")
        assert set(re.findall(r'text-anchor="middle" class="soft">([^<]+)<', drawn)) == below


def test_the_page_tells_how_sure_the_best_accuracy_is(tmp_path: Path) -> None:
    history = [
        {"epoch": epoch, "train_loss": 2.0, "validation_loss": 2.1, "validation_accuracy": 0.7, "learning_rate": 0.1}
        for epoch in (1, 2)
    ]
    result = {"metric": "validation_accuracy", "best": 0.7, "best_epoch": 1, "epochs": 2, "seconds": 9.0, "steps": 8}
    part = {"device": "cpu", "processes": 1, "mien": "0", "torch": "0"}
    record = {
        "kind": "expression", "parameters": 5, "parts": [part], "result": {**result, "stopped_by": ""},
        "data": {"validation": {"faces": 1000}},
    }  # fmt: skip
    write_curves(RunFolder(tmp_path), history, "validation_accuracy", page_of=(toy_recipe(), record))
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert "chosen on 1,000 faces: the 95 % interval of its accuracy, after Wilson, is 0.671 to 0.728" in page
    assert page.count("<svg") == 3  # they stand below each other on a phone
