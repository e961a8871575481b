"""Damage to a dataset is told, and never becomes other pictures or labels."""

import contextlib

import numpy as np
import pytest

from mien.data import Dataset
from mien.data.parquet_file import ParquetFile
from mien.data.photos.dataset import Photo, PhotoDataset, write_photos
from mien.errors import InputError, MienError
from tests.data.layouts_on_disk import jpeg, pattern
from tests.data.made import make_dataset


def read_whole(path):
    dataset = Dataset(path)
    for name in ("label", "split", "source", "row", "votes"):
        yield dataset.column(name)
    yield dataset.encoded(range(len(dataset)))
    yield dataset.images()


def test_a_bit_that_flips_anywhere_is_told_or_changes_nothing(tmp_path):
    images = [pattern(i) for i in range(4)]
    path = make_dataset(tmp_path / "a.parquet", images, [0, 1, 2, 3], ["train"] * 3 + ["test"]).path
    whole, sound = path.read_bytes(), [np.asarray(values) for values in read_whole(path)]
    end_of_rows = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    told = []
    for place in range(4, end_of_rows, 23):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        (tmp_path / "b.parquet").write_bytes(damaged)
        try:
            found = list(read_whole(tmp_path / "b.parquet"))
        except InputError as error:
            told.append(str(error))
        else:
            assert all(np.array_equal(a, b) for a, b in zip(found, sound, strict=True)), place
    assert len(told) > 200
    assert all("b.parquet: is damaged or cannot be read (" in why and "\n" not in why for why in told)


def test_a_damaged_end_is_told_on_opening(tmp_path):
    path = make_dataset(tmp_path / "a.parquet", [pattern(0)], [0]).path
    whole = path.read_bytes()
    for place in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole), 11):
        damaged = bytearray(whole)
        damaged[place] = 0xFF
        path.write_bytes(damaged)
        with contextlib.suppress(MienError):  # and no other
            list(read_whole(path))


def test_photos_are_checked_too(tmp_path):
    path = tmp_path / "photos.parquet"
    write_photos(path, [Photo(jpeg(0), "a.jpg"), Photo(jpeg(1), "b.jpg")], {})
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"JFIF") + 400] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"photos.parquet: is damaged or cannot be read \(.*checksum"):
        list(PhotoDataset(path).photos())


def test_what_is_done_with_a_batch_is_not_the_files_fault(tmp_path):
    path = make_dataset(tmp_path / "a.parquet", [pattern(0)], [0]).path
    with pytest.raises(OSError, match="disk full"):
        for _ in ParquetFile(path).batches(10):
            raise OSError("disk full")
