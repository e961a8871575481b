from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mien.errors import OutputError, UsageError
from mien.train.expression.sheet import augmentation_sheet, write_augmentation_sheet
from mien.train.options import AugmentOptions, DataOptions, ExpressionRecipe
from tests.sets import smooth_faces, write_dataset


def test_a_row_for_each_augmentation_that_is_on() -> None:
    faces = torch.from_numpy(smooth_faces(3, side_px=36))[:, None]
    sheet = augmentation_sheet(faces, AugmentOptions())
    # Faces as they are, mirror to gamma (8), erasing, mixup, four times everything, and the end.
    rows = sheet.shape[0] / 74
    assert rows == 16
    fewer = augmentation_sheet(faces, AugmentOptions(mirror=0.0, mix_share=0.0))
    assert fewer.shape[0] / 74 == 14
    np.testing.assert_array_equal(sheet[:72:2, 150:222:2, 0], faces[0, 0].numpy())


def test_the_sheet_of_a_recipe(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "a.parquet", smooth_faces(28), splits=("train", "validation"))
    recipe = ExpressionRecipe(data=DataOptions(dataset=data), augment=AugmentOptions(low_resolution=0.2))
    path = write_augmentation_sheet(recipe, tmp_path / "sheet.png", count=5)
    first = path.read_bytes()
    assert cv2.imread(str(path)).shape == (17 * 74, 150 + 5 * 74, 3)
    assert write_augmentation_sheet(recipe, path, count=5).read_bytes() == first
    with pytest.raises(UsageError, match=r"ends in \.png"):
        write_augmentation_sheet(recipe, tmp_path / "sheet.jpg")
    with pytest.raises(OutputError, match="cannot be written"):
        write_augmentation_sheet(recipe, tmp_path / "missing" / "sheet.png")
