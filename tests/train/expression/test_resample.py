from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mien.train.expression.resample import apply_matrices, area_weights, blur_matrices, resolution_bank
from tests.sets import smooth_faces

FACES = smooth_faces(4, side_px=48).astype(np.float32)


@pytest.mark.parametrize("side", [1, 7, 12, 20, 31, 47])
def test_a_resolution_is_what_opencv_makes_of_it(side: int) -> None:
    (matrix,) = resolution_bank(48, (side,))
    got = apply_matrices(torch.from_numpy(FACES)[:, None], matrix.expand(4, -1, -1))[:, 0].numpy()
    for image, picture in zip(FACES, got, strict=True):
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(picture, cv2.resize(small, (48, 48), interpolation=cv2.INTER_CUBIC), atol=0.02)


@pytest.mark.parametrize(("side", "to"), [(48, 1), (48, 12), (48, 31), (48, 47), (64, 48), (112, 100)])
def test_area_averages_are_those_of_opencv(side: int, to: int) -> None:
    wanted = cv2.resize(np.eye(side, dtype=np.float32), (side, to), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(area_weights(side, to).numpy(), wanted, atol=1e-6)


def test_the_full_side_changes_nothing() -> None:
    bank = resolution_bank(48, (12, 48))
    assert torch.equal(bank[1], torch.eye(48))
    np.testing.assert_allclose(bank.sum(dim=2).numpy(), 1.0, atol=1e-5)


def test_blur_is_gaussian_inside_the_image() -> None:
    matrices = blur_matrices(torch.tensor([0.0, 0.8, 1.5, 3.0]), 48)
    assert torch.equal(matrices[0], torch.eye(48))
    np.testing.assert_allclose(matrices.sum(dim=2).numpy(), 1.0, atol=1e-5)
    got = apply_matrices(torch.from_numpy(FACES)[:, None], matrices)[:, 0].numpy()
    for image, picture, sigma in zip(FACES[1:], got[1:], (0.8, 1.5, 3.0), strict=True):
        wanted = cv2.GaussianBlur(image, (31, 31), sigma)
        np.testing.assert_allclose(picture[16:-16, 16:-16], wanted[16:-16, 16:-16], atol=0.5)
