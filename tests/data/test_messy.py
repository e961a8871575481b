"""Sources as they come from archives, spreadsheets and other machines."""

import json
import shutil
import unicodedata

import numpy as np
import pytest

from mien.data import import_dataset
from mien.data.layouts.places import beside
from mien.data.photos import import_photos
from mien.errors import InputError
from tests.data import layouts_on_disk as disk


def brought_in(source, tmp_path, **options):
    return import_dataset(source, tmp_path / "out.parquet", **options)


def labels_of(dataset):
    return [dataset.labels[label] for label in dataset.label]


def write_rows(tmp_path, *lines, name="table.csv"):
    """A table, and three images beside it."""
    for seed in range(3):
        (tmp_path / "set" / "images").mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / "images" / f"{seed}.jpg").write_bytes(disk.jpeg(seed))
    (tmp_path / "set" / name).write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "set" / name


def test_what_macos_packs_into_archives_is_not_read(tmp_path):
    """A file of resources was taken for data.yaml."""
    for write, count in ((disk.write_yolo, 3), (disk.write_voc, 3), (disk.write_coco, 3)):
        source = write(tmp_path / write.__name__)
        for file in [file for file in source.rglob("*") if file.is_file()]:
            file.with_name(f"._{file.name}").write_bytes(b"\0\5\x16\7Mac OS X")
        dataset, summary = brought_in(source, tmp_path)
        assert (len(dataset), summary.damaged_rows) == (count, 0)


def test_letters_with_accents_as_macos_writes_them(tmp_path):
    """The folder was no class that --classes named, so that it became one of its own."""
    disk.write_folders(tmp_path / "set", ["train"], ["Wut", unicodedata.normalize("NFD", "Überraschung")])
    dataset, _ = brought_in(tmp_path / "set", tmp_path, classes="wut=angry,Überraschung=surprise")
    assert dataset.labels == ("angry", "surprise")


@pytest.mark.parametrize("name", ["Angry_", "1. angry", "01-ANGER", " anger."])
def test_spellings_of_folders(tmp_path, name):
    disk.write_folders(tmp_path / "set", ["train"], [name, "sad"])
    dataset, _ = brought_in(tmp_path / "set", tmp_path)
    assert dataset.labels == ("angry", "sad")


@pytest.mark.parametrize("header", ["emotion,pixels,split", "emotion,pixels,Set"])
def test_other_names_for_the_split_of_pixels(tmp_path, header):
    """All of them were training faces."""
    source = disk.write_fer2013(tmp_path / "fer2013.csv")
    source.write_text(source.read_text().replace("emotion,pixels,Usage", header))
    dataset, _ = brought_in(source, tmp_path)
    assert dataset.splits == {"train": 6, "validation": 1, "test": 1}


def test_a_column_of_splits_beside_the_usage_of_fer2013(tmp_path):
    """As somebody numbers folds: the faces were in splits called 0, 1, ..."""
    source = disk.write_fer2013(tmp_path / "fer2013.csv")
    header, *rows = source.read_text().splitlines()
    numbered = (f"{row},{number % 2}" for number, row in enumerate(rows))
    source.write_text("\n".join([f"{header},split", *numbered]))
    dataset, _ = brought_in(source, tmp_path)
    assert dataset.splits == {"train": 6, "validation": 1, "test": 1}


@pytest.mark.parametrize("value", [["sad"], {"label": "sad"}])
def test_json_lines_with_lists_of_labels(tmp_path, value):
    """The text of the list was the name of a class."""
    rows = [{"file_name": "0.jpg", "label": "happy", "more": [1]}, {"file_name": "1.jpg", "label": value}]
    source = write_rows(tmp_path, *map(json.dumps, rows), name="metadata.jsonl")
    dataset, summary = brought_in(source, tmp_path, on_error="skip")
    assert labels_of(dataset) == ["happy"]
    assert f"label is {json.dumps(value)}; expected a text" in summary.damaged[0].problem


def test_paths_of_another_machine(tmp_path):
    """They could not be found in any way, --images included."""
    paths = ["/kaggle/input/faces/images/0.jpg", "/kaggle/input/faces/images/1.jpg"]
    source = write_rows(tmp_path, "path,label", f"{paths[0]},happy", f"{paths[1]},sad")
    dataset, _ = brought_in(source, tmp_path)
    assert labels_of(dataset) == ["happy", "sad"]
    (tmp_path / "set" / "images").rename(tmp_path / "photos")
    text = source.read_text().replace("/kaggle/input/", "C:\\data\\").replace("/", "\\")
    source.write_text(f"{text}\nC:\\data\\other\\2.jpg,sad")
    dataset, summary = brought_in(source, tmp_path, images=tmp_path / "photos", on_error="skip")
    assert labels_of(dataset) == ["happy", "sad"]
    assert [error.source for error in summary.damaged] == ["table.csv row 2 (line 4), C:/data/other/2.jpg"]


@pytest.mark.parametrize(("told", "kept"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_of_files_may_be_written_in_another_way_than_in_the_table(tmp_path, told, kept):
    """As in archives of macOS: both look alike, and no image was found."""
    listed, there = (unicodedata.normalize(form, "Zoë.jpg") for form in (told, kept))
    source = write_rows(tmp_path, "path,label", f"{listed},happy", "1.jpg,sad")
    (tmp_path / "set" / "images" / "0.jpg").rename(tmp_path / "set" / "images" / there)
    dataset, _ = brought_in(source, tmp_path)
    assert labels_of(dataset) == ["happy", "sad"]


@pytest.mark.parametrize(("told", "kept"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_list_finds_photos_with_accents_too(tmp_path, told, kept):
    listed, there = (unicodedata.normalize(form, "Zoë.jpg") for form in (told, kept))
    (tmp_path / there).write_bytes(b"")
    assert beside(tmp_path / "list.txt", listed).samefile(tmp_path / there)


def test_numbers_of_images_without_an_ending(tmp_path):
    source = write_rows(tmp_path, "image_id,label", "0,happy", "1.jpg,sad", "7,sad")
    dataset, summary = brought_in(source, tmp_path, image_column="image_id", on_error="skip")
    assert (labels_of(dataset), summary.damaged_rows) == (["happy", "sad"], 1)


def test_a_table_that_is_not_read_is_told(tmp_path):
    source = write_rows(tmp_path, "path,label", "0.jpg,happy", "1.jpg,sad", name="train.csv").parent
    write_rows(tmp_path, "path", "2.jpg", name="test.csv")
    _, summary = brought_in(source, tmp_path)
    assert summary.excluded_lines() == ["1 file left out for lacking a column of images or labels, such as test.csv"]


def test_a_number_beyond_the_classes_that_are_given(tmp_path):
    source = write_rows(tmp_path, "path,label", "0.jpg,0", "1.jpg,3")
    with pytest.raises(InputError, match="label '3'; expected one of 0, 1, 2, as --classes has it"):
        brought_in(source, tmp_path, classes="happy,sad,fear")


def test_archives_are_to_be_unpacked(tmp_path):
    disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    for kind in ("zip", "gztar"):
        archive = shutil.make_archive(str(tmp_path / "archive" / "set"), kind, tmp_path / "set")
        with pytest.raises(InputError, match="is an archive; unpack it, and give what was in it$"):
            brought_in(archive, tmp_path)
        with pytest.raises(InputError, match="is an archive"):
            import_photos(archive, tmp_path / "photos.parquet")
    with pytest.raises(InputError, match=r"holds an archive, set\.tar\.gz; unpack it$"):
        brought_in(tmp_path / "archive", tmp_path)
    (tmp_path / "set.7z").write_bytes(b"7z\xbc\xaf")
    with pytest.raises(InputError, match="is an archive"):
        brought_in(tmp_path / "set.7z", tmp_path)


def test_what_was_imported_into_the_folder_of_the_source_does_not_take_its_place(tmp_path):
    """What had been added to the folder since then was not read, and Parquet's rows came twice."""
    source = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    import_dataset(source, source / "a.parquet")
    (source / "train" / "sad" / "new.png").write_bytes(disk.jpeg(9, extension=".png"))
    dataset, summary = brought_in(source, tmp_path)
    assert (len(dataset), summary.layout) == (5, "folders")

    parts = tmp_path / "parts"
    parts.mkdir()
    import_dataset(source, parts / "a.parquet")
    assert len(brought_in(parts, tmp_path)[0]) == 5, "alone it is what is meant"
    write_foreign(parts / "train.parquet")
    assert len(brought_in(parts, tmp_path)[0]) == 2


def test_a_dataset_beside_folders_of_other_images_is_what_is_meant(tmp_path):
    """Drawn photos and curves of runs were taken for two classes."""
    source = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    disk.write_folders(tmp_path / "work", [""], ["drawn", "runs"])
    import_dataset(source, tmp_path / "work" / "train.parquet")
    dataset, summary = brought_in(tmp_path / "work", tmp_path)
    assert (summary.layout, dataset.labels) == ("parquet", ("happy", "sad"))


def test_photos_with_boxes_that_were_imported_into_the_folder_of_the_source_are_no_faces(tmp_path):
    source = disk.write_yolo(tmp_path / "set")
    import_photos(source, source / "photos.parquet")
    assert brought_in(source, tmp_path)[1].layout == "yolo"


def write_foreign(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [disk.jpeg(0), disk.jpeg(1)], "label": ["happy", "sad"]}), path)


def test_pixels_are_those_of_the_photos(tmp_path):
    """The same names in each split and class, and a table of the names alone."""
    for seed, (split, name) in enumerate((s, c) for s in ("train", "test") for c in ("happy", "sad")):
        (tmp_path / "set" / split / name).mkdir(parents=True)
        (tmp_path / "set" / split / name / "1.png").write_bytes(disk.jpeg(seed, extension=".png"))
    rows = [f"1.png,{name},{split}" for split in ("train", "test") for name in ("happy", "sad")]
    (tmp_path / "set" / "table.csv").write_text("\n".join(["file,label,split", *rows]))
    dataset, _ = brought_in(tmp_path / "set" / "table.csv", tmp_path)
    assert (dataset.images(64) == np.stack([disk.pattern(seed, 64) for seed in range(4)])).all()
