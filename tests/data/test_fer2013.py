from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from mien.data.fer2013 import read_fer2013_parquet
from mien.errors import InputError


def encode(image: np.ndarray) -> dict[str, Any]:
    return {"bytes": cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes(), "path": "a"}


def write(path: Path, **change: Any) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48)).astype(np.uint8)
    columns = {
        "row": pa.array([5, 6, 7], pa.int32()),
        "image": [encode(image) for image in images],
        "label": pa.array([0, 6, 3], pa.int8()),
        "ferplus_votes": [[10, *[0] * 9]] * 3,
    } | change
    pyarrow.parquet.write_table(pa.table({k: v for k, v in columns.items() if v is not None}), path)
    return path


def test_a_split_comes_back(tmp_path: Path) -> None:
    split = read_fer2013_parquet(write(tmp_path / "a"))
    expected = np.random.default_rng(0).integers(0, 256, (3, 48, 48)).astype(np.uint8)
    np.testing.assert_array_equal(split.images, expected)
    assert (split.labels.dtype, split.votes.dtype, split.row.dtype) == (np.int64, np.uint8, np.int32)
    assert split.labels.tolist() == [0, 6, 3]
    assert split.row.tolist() == [5, 6, 7]
    assert split.votes.shape == (3, 10)


def test_a_webp_shorter_than_opencv_likes_is_read(tmp_path: Path) -> None:
    # The shortest lossless WebP of one colour: no transforms, and five prefix codes of one symbol each (0, but 255
    # for alpha), in bits from the lowest.
    bits = "000" + "1000" * 3 + "101" + "1" * 8 + "1000"
    pixels = int(bits[::-1], 2).to_bytes(5, "little")
    header = (47 | 47 << 14).to_bytes(4, "little")
    data = b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + header + pixels
    assert len(data) == 30
    split = read_fer2013_parquet(write(tmp_path / "a", image=[{"bytes": data, "path": ""}] * 3))
    assert not split.images.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": None}, "label"),
        ({"label": [0, 7, 1]}, "0 to 6"),
        ({"ferplus_votes": [[1, 2]] * 3}, "ten"),
        ({"image": [encode(np.zeros((40, 48), np.uint8))] * 3}, "48x40"),
        ({"image": [{"bytes": b"no picture at all", "path": ""}] * 3}, "record 0 holds no picture"),
        ({"image": [{"bytes": None, "path": ""}] * 3}, "no picture"),
    ],
)
def test_what_is_no_fer2013_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_fer2013_parquet(write(tmp_path / "a", **change))


def test_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_fer2013_parquet(tmp_path / "missing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError, match="cannot read"):
        read_fer2013_parquet(tmp_path / "text")
