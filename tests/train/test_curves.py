from __future__ import annotations

import re

from mien.train.curves import curves_svg


def test_the_loss_of_the_labels_is_drawn_against_that_of_validation() -> None:
    """What is minimised also holds the losses of votes and teachers: another scale."""
    row = {"train_loss": 9.0, "train_label_loss": 2.1, "validation_loss": 2.0, "validation_accuracy": 0.5}
    history = [{"epoch": epoch, **row, "learning_rate": 0.1} for epoch in (1, 2)]
    ticks = [
        float(text) for text in re.findall(r'text-anchor="end">([\d.]+)<', curves_svg(history, "validation_accuracy"))
    ]
    assert 2.0 in ticks
    assert max(ticks) < 3
