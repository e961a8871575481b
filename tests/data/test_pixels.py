"""Images of datasets, decoded to gray."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from mien.data.pixels import decode_gray, fit_square
from mien.errors import InputError


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".jp2", ".pgm"])
def test_what_is_too_large_is_not_decoded(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = cv2.imencode(suffix, np.zeros((300, 400), np.uint8))[1].tobytes()
    assert decode_gray(data, "a").shape == (300, 400)
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr("mien.data.pixels.DEFAULT_MAX_MEGAPIXELS", 0.1)
    monkeypatch.setattr("mien.data.pixels.decode_image", _refuse)
    with pytest.raises(InputError, match="left to the one who checks"):
        decode_gray(data, "a")


@pytest.mark.parametrize("shape", [(4, 15_000), (15_000, 4), (1, 200_000)])
def test_a_strip_becomes_a_small_square(shape: tuple[int, int]) -> None:
    """The square of its length was made first: of the third 40 GB, which ended the program."""
    tracemalloc.start()
    try:
        square = fit_square(np.full(shape, 80, np.uint8), 48)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(square, np.full((48, 48), 80))
    assert peak_bytes < 10e6


def _refuse(data: bytes, source: str) -> None:
    raise InputError(source, "left to the one who checks")
