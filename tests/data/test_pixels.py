"""Images of datasets, decoded to gray."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.data.pixels import decode_gray
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


def _refuse(data: bytes, source: str) -> None:
    raise InputError(source, "left to the one who checks")
