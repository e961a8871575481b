"""Every layout, from files in the exact format to the one form, and what is said of damaged rows."""

import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.data import Dataset, ImportOptions, import_dataset, read_plan, report_dataset, report_page, write_plan
from mien.data.faces import is_dataset, open_training
from mien.data.layouts import LAYOUTS, find_layout
from mien.data.photos import Photo, import_photos, write_photos
from mien.errors import InputError, UsageError
from mien.labels import EXPRESSIONS, FER7
from tests.conftest import ROOT
from tests.data import layouts_on_disk as disk


def brought_in(source, tmp_path, **options):
    return import_dataset(source, tmp_path / "out.parquet", **options)


@pytest.mark.parametrize("write", [disk.write_fer2013, disk.write_icml])
def test_fer2013_comes_in_pixel_by_pixel(tmp_path, write):
    dataset, summary = brought_in(write(tmp_path / "any name.csv"), tmp_path)
    assert summary.layout == "fer2013"
    assert dataset.labels == FER7
    assert dataset.label.tolist() == disk.FER_LABELS
    assert dataset.split.tolist() == ["train"] * 5 + ["validation", "test", "train"]
    assert dataset.column("row") == list(range(8))
    assert np.array_equal(dataset.images(), [disk.pattern(i) for i in range(8)])


def test_an_eighth_class_makes_it_ckplus(tmp_path):
    labels = [0, 1, 2, 3, 4, 5, 6, 7]
    dataset, summary = brought_in(disk.write_fer2013(tmp_path / "ckextended.csv", labels), tmp_path)
    assert summary.layout == "ckplus"
    assert dataset.labels == EXPRESSIONS
    assert dataset.labels[dataset.label[7]] == "contempt"


@pytest.mark.parametrize(("delimiter", "encoding"), [(";", "utf-8"), ("\t", "utf-16")])
def test_pixels_as_spreadsheets_save_them(tmp_path, delimiter, encoding):
    source = disk.write_fer2013(tmp_path / "f.csv")
    source.write_text(source.read_text().replace(",", delimiter), encoding=encoding)
    dataset, summary = brought_in(source, tmp_path)
    assert (summary.layout, dataset.label.tolist()) == ("fer2013", disk.FER_LABELS)
    assert np.array_equal(dataset.images(), [disk.pattern(i) for i in range(8)])


@pytest.mark.parametrize(("last", "layout"), [("Natural", "fer2013"), ("contempt", "ckplus")])
def test_pixels_with_class_names(tmp_path, last, layout):
    labels = ["anger", "Disgust", "fear", "happiness", "sad", "surprise", 6, last]
    dataset, summary = brought_in(disk.write_fer2013(tmp_path / "f.csv", labels), tmp_path)
    assert (summary.layout, dataset.label.tolist()) == (layout, [0, 1, 2, 3, 4, 5, 6, 7 if last == "contempt" else 6])


def test_pixels_with_whole_numbers_of_a_data_frame(tmp_path):
    labels = [f"{label}.0" for label in disk.FER_LABELS]
    dataset, summary = brought_in(disk.write_fer2013(tmp_path / "f.csv", labels), tmp_path)
    assert (summary.layout, dataset.label.tolist()) == ("fer2013", disk.FER_LABELS)
    labels[0] = "7.0"
    assert brought_in(disk.write_fer2013(tmp_path / "f.csv", labels), tmp_path)[1].layout == "ckplus"
    labels[0] = "0.5"
    with pytest.raises(InputError, match="row 0 .*label '0.5'; expected a whole number"):
        brought_in(disk.write_fer2013(tmp_path / "f.csv", labels), tmp_path)


VOTES = [
    [0, 0, 0, 0, 9, 1, 0, 0, 0, 0],  # angry
    [0, 0, 0, 4, 0, 6, 0, 0, 0, 0],  # disgust by majority
    [0, 0, 3, 0, 0, 0, 3, 0, 4, 0],  # spread, unknown leads: left out
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],  # not a face: left out
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],  # single votes only: left out
    [0, 0, 5, 0, 0, 0, 5, 0, 0, 0],  # a draw: no majority, but a distribution
    [8, 0, 0, 1, 0, 0, 0, 1, 0, 0],  # neutral
    [0, 2, 0, 0, 0, 0, 0, 8, 0, 0],  # contempt
]


def test_ferplus_votes_are_kept_beside_the_labels(tmp_path):
    votes = disk.write_ferplus(tmp_path / "fer2013new.csv", VOTES)
    dataset, _ = brought_in(disk.write_fer2013(tmp_path / "f.csv"), tmp_path, votes=votes)
    assert dataset.votes.tolist() == VOTES
    assert dataset.label.tolist() == disk.FER_LABELS
    assert dataset.info.protocol == ""


def test_ferplus_majority(tmp_path):
    votes = disk.write_ferplus(tmp_path / "fer2013new.csv", VOTES)
    dataset, summary = brought_in(disk.write_fer2013(tmp_path / "f.csv"), tmp_path, votes=votes, ferplus="majority")
    assert [dataset.labels[i] for i in dataset.label] == ["angry", "disgust", "neutral", "contempt"]
    assert dataset.column("row") == [0, 1, 6, 7]
    assert summary.excluded_lines() == ["4 rows left out by FER+ majority"]
    assert "majority" in dataset.info.protocol
    assert "1608.01041" in dataset.info.protocol


def test_ferplus_distribution(tmp_path):
    votes = disk.write_ferplus(tmp_path / "fer2013new.csv", VOTES)
    dataset, _ = brought_in(disk.write_fer2013(tmp_path / "f.csv"), tmp_path, votes=votes, ferplus="distribution")
    assert dataset.column("row") == [0, 1, 5, 6, 7]
    rows = np.array(dataset.column("distribution"))
    assert np.allclose(rows.sum(axis=1), 1)
    at = {name: i for i, name in enumerate(EXPRESSIONS)}
    assert rows[2, at["surprise"]] == rows[2, at["fear"]] == 0.5
    assert rows[1, at["disgust"]] == pytest.approx(0.6)
    assert rows[4, at["contempt"]] == 1, "eight of ten are more than three quarters: the rest is dropped"
    assert rows[3, at["neutral"]] == 1


def test_votes_of_another_file_are_refused(tmp_path):
    source = disk.write_fer2013(tmp_path / "f.csv")
    votes = disk.write_ferplus(tmp_path / "v.csv", VOTES[:-1], disk.USAGES[:-1])
    with pytest.raises(InputError, match="ends before it, after 7 rows"):
        brought_in(source, tmp_path, votes=votes)
    votes = disk.write_ferplus(tmp_path / "v.csv", VOTES, ["PublicTest", *disk.USAGES[1:]])
    with pytest.raises(InputError, match=r"row 0 .*Usage is 'Training', but the votes .* are for 'PublicTest'"):
        brought_in(source, tmp_path, votes=votes)
    with pytest.raises(UsageError, match="needs FER\\+ votes"):
        brought_in(source, tmp_path, ferplus="majority")


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (["train", "test"], {"train": 6, "test": 6}),  # msambare
        (["images/train", "images/validation"], {"train": 6, "validation": 6}),  # jonathanoheix
        ([""], {"train": 6}),
        (["first", "second"], {"first": 6, "second": 6}),
        (["Train/Train_Aligned_Faces", "Val/Val_Aligned_Faces_new"], {"train": 6, "validation": 6}),  # SFEW
        (["Train_Aligned_Faces", "Val_Aligned_Faces"], {"train": 6, "validation": 6}),
        (["val_easy", "val_hard"], {"val_easy": 6, "val_hard": 6}),
        (["wrapped/deeply"], {"train": 6}),
        (["A/train", "A/test", "B/Training"], {"train": 12, "test": 6}),
        (["train/images", "valid/images"], {"train": 6, "validation": 6}),
    ],
)
def test_class_folders(tmp_path, splits, expected):
    root = disk.write_folders(tmp_path / "set", splits, ["Anger", "happiness", "natural"])
    dataset, summary = brought_in(root, tmp_path)
    assert summary.layout == "folders"
    assert dataset.labels == ("angry", "happy", "neutral")
    assert dataset.splits == expected
    assert dataset.column("row") == [None] * len(dataset)
    first = dataset.column("image")[0]
    assert first["bytes"] == (root / dataset.column("source")[0]).read_bytes(), "files are stored as they are"


def test_an_unknown_class_folder_is_named(tmp_path):
    root = disk.write_folders(tmp_path / "set", ["train"], ["angry", "happy", "bored"])
    with pytest.raises(InputError, match=r"train/bored: unknown class name 'bored'; expected a spelling of angry"):
        brought_in(root, tmp_path)
    assert not (tmp_path / "out.parquet").exists()
    (root / "train" / "bored").rename(root / "train" / "saad")
    with pytest.raises(InputError, match=r"unknown class name 'saad' \(did you mean 'sad'\?\); expected a spelling"):
        brought_in(root, tmp_path)
    dataset, summary = brought_in(root, tmp_path, on_error="skip")
    assert summary.damaged_rows == 2
    assert [error.problem.endswith("(2 images in this folder)") for error in summary.damaged] == [True]
    assert dataset.info.history[0]["damaged_rows"] == 2
    assert len(dataset) == 4


def test_numbers_before_the_names_of_classes(tmp_path):
    names = ["0 angry", "1_Happiness", "2-sad", "03. natural"]
    expected = ("angry", "happy", "sad", "neutral")
    root = disk.write_folders(tmp_path / "set", ["train", "test"], names)
    dataset, summary = brought_in(root, tmp_path)
    assert (summary.layout, dataset.labels) == ("folders", expected)
    features = json.dumps({"info": {"features": {"label": {"names": names}}}})
    table = pa.table({"image": [disk.jpeg(0)], "label": [3]}).replace_schema_metadata({"huggingface": features})
    pq.write_table(table, tmp_path / "in.parquet")
    assert brought_in(tmp_path / "in.parquet", tmp_path)[0].labels == expected
    dataset, _ = brought_in(disk.write_table(tmp_path / "t.csv", names), tmp_path)
    assert (dataset.labels, dataset.label.tolist()) == (expected, [0, 1, 2, 3])


def test_classes_of_other_names_are_their_own(tmp_path):
    root = disk.write_folders(tmp_path / "set", ["train", "val"], ["Engaged", "bored", "happy"])
    dataset, summary = brought_in(root, tmp_path)
    assert summary.layout == "own-folders"
    assert dataset.labels == ("happy", "bored", "engaged")
    assert dataset.splits == {"train": 6, "validation": 6}
    assert np.bincount(dataset.label).tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    "folders",
    [
        ["photos/train", "photos/val"],  # splits without classes
        ["train2017", "val2017"],
        ["train/1", "train/2"],  # what do they mean?
        ["2019/rome", "2019/paris", "2020/berlin"],  # other names in each
        ["holidays"],
        ["engaged/anna", "bored/anna"],  # classes of persons, or persons of classes?
    ],
)
def test_not_every_folder_of_images_is_a_class(tmp_path, folders):
    for folder in folders:
        disk.write_folders(tmp_path / "set", [Path(folder).parent], [Path(folder).name])
    with pytest.raises(InputError, match="layout is not recognised"):
        brought_in(tmp_path / "set", tmp_path)


@pytest.mark.parametrize(
    ("splits", "layout"), [([""], "own-folders"), (["train", "val"], None), (["A/train", "A/val"], None)]
)
def test_persons_inside_of_own_classes_are_no_classes(tmp_path, splits, layout):
    persons = ["engaged/anna", "bored/anna", "engaged/bert"]
    dataset, summary = brought_in(disk.write_folders(tmp_path / "set", splits, persons), tmp_path, layout=layout)
    assert (summary.layout, dataset.labels) == ("own-folders", ("bored", "engaged"))
    assert dataset.splits == ({"train": 6} if layout else {"train": 6, "validation": 6})
    assert np.bincount(dataset.label[dataset.split == "train"]).tolist() == [2, 4]


def test_files_that_are_no_images_are_counted(tmp_path):
    root = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    for name in ("a.mov", "b.MOV", "Thumbs.db", ".hidden", "notes.txt"):
        (root / "train" / "sad" / name).write_bytes(b"x")
    (root / "train" / "sad" / "saved by a browser.jfif").write_bytes(disk.jpeg(1))
    _, summary = brought_in(root, tmp_path)
    assert summary.rows == 5
    assert summary.excluded == {"left out for the ending .mov": 2, "left out for the ending .txt": 1}
    assert summary.excluded_lines()[0] == "2 files left out for the ending .mov"


def test_a_source_without_a_usable_file_says_what_it_has(tmp_path):
    for name in ("happy", "sad"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "a.mov").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no row can be read; 2 files left out for the ending \.mov"):
        brought_in(tmp_path / "set", tmp_path)


def test_a_folder_without_the_list_of_its_layout_says_what_is_missing(tmp_path):
    root = disk.write_folders(tmp_path / "set", [""], ["happy", "sad"])
    with pytest.raises(InputError, match=r"is a folder; expected RAF-DB's list_patition_label\.txt$"):
        brought_in(root, tmp_path, layout="rafdb")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_a_damaged_row(tmp_path):
    """The import waited for ever."""
    root = disk.write_folders(tmp_path / "set", [""], ["happy", "sad"])
    os.mkfifo(root / "sad" / "a.jpg")
    _, summary = brought_in(root, tmp_path, on_error="skip")
    assert (summary.rows, summary.damaged_rows) == (4, 1)


def test_photos_that_cannot_be_decoded_are_damaged_rows(tmp_path):
    root = disk.write_folders(tmp_path / "set", [""], ["happy", "sad"])
    (root / "sad" / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(InputError, match="sad/a.HEIC: the HEIC file is damaged"):
        brought_in(root, tmp_path)
    _, summary = brought_in(root, tmp_path, on_error="skip")
    assert (summary.rows, summary.damaged_rows, summary.excluded) == (4, 1, {})


def test_folders_inside_a_class_folder_belong_to_the_class(tmp_path):
    root = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    disk.write_folders(root / "train", ["happy", "sad"], ["anna", "bert"])
    (root / "train" / "happy" / "anna" / ".hidden").mkdir()
    (root / "train" / "happy" / "anna" / ".hidden" / "im.png").write_bytes(b"x")
    (root / "train" / "sad" / "anna" / "a.mov").write_bytes(b"x")
    dataset, summary = brought_in(root, tmp_path)
    assert summary.counts == {"train": {"happy": 6, "sad": 6}}
    assert summary.excluded == {"left out for the ending .mov": 1}
    assert "train/happy/anna/im0.png" in dataset.column("source")


def test_thumbnails_that_others_put_beside_images_are_not_read(tmp_path):
    root = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    for folder in ("__MACOSX/train/happy", "train/sad/@eaDir/im0.png", "train/@eaDir/sad", "@eaDir/x"):
        (root / folder).mkdir(parents=True)
        (root / folder / "thumb.jpg").write_bytes(disk.jpeg(1))
    _, summary = brought_in(root, tmp_path)
    assert (summary.rows, summary.excluded) == (4, {})


def test_names_that_are_not_utf8(tmp_path):
    """As old archives leave them."""
    root = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        disk.write_folders(root, ["train", os.fsdecode(b"\xfcbung")], [os.fsdecode(b"m\xfcde"), "wach"])
        (root / "train" / "wach" / os.fsdecode(b"\xe9.png")).write_bytes(disk.jpeg(1, extension=".png"))
        (root / os.fsdecode(b"\xe9.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system refuses such names")
    dataset, summary = brought_in(root, tmp_path)
    assert (summary.rows, dataset.splits) == (9, {"train": 5, "\\udcfcbung": 4})
    assert "train/wach/\\udce9.png" in dataset.column("source")
    assert report_page(report_dataset(dataset)).encode()
    again = Dataset(import_dataset(tmp_path / "out.parquet", tmp_path / "again.parquet")[0].path)
    assert again.labels == dataset.labels


def test_datasets_whose_own_names_are_not_utf8(tmp_path):
    name = os.fsdecode(b"L\xe9.parquet")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system refuses such names")
    dataset, _ = import_dataset(disk.write_folders(tmp_path / "set", [""], ["happy", "sad"]), tmp_path / name)
    assert report_page(report_dataset(dataset)).encode()
    again, _ = import_dataset(dataset.path, tmp_path / "again.parquet")
    assert again.labels == dataset.labels
    assert is_dataset(dataset.path)
    write_plan(tmp_path / name, [])
    assert read_plan(tmp_path / name, dataset.labels) == []
    write_photos(tmp_path / name, [Photo(disk.jpeg(0), "a.jpg")], {})
    assert import_photos(tmp_path / name, tmp_path / "photos.parquet")[1].layout == "parquet"


def test_linked_folders_are_followed_but_not_in_circles(tmp_path):
    disk.write_folders(tmp_path, ["elsewhere"], ["anna"])
    root = disk.write_folders(tmp_path / "set", [""], ["happy", "sad"])
    try:
        (root / "happy" / "a").symlink_to(tmp_path / "elsewhere" / "anna", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    (root / "sad" / "around").symlink_to(root, target_is_directory=True)
    (root / "itself").symlink_to(root / "itself")
    (root / "happy" / "again").symlink_to(root / "happy" / "a", target_is_directory=True)
    (tmp_path / "elsewhere" / "anna" / "back").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert brought_in(root, tmp_path)[1].counts == {"train": {"happy": 4, "sad": 2}}


@pytest.mark.parametrize("folder", ["train", "train/happy", "train/happy/deep"])
def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path, monkeypatch, folder):
    root = disk.write_folders(tmp_path / "set", ["train", "test"], ["happy", "sad"])
    (root / "train" / "happy" / "deep").mkdir()
    real = os.scandir

    def scandir(path="."):  # permissions are nothing to root, as who tests may run
        if Path(path) == root / folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=r"cannot be looked into \(Permission denied\)"):
        brought_in(root, tmp_path, on_error="skip")


def test_images_in_no_class_folder_are_counted(tmp_path):
    root = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    disk.write_folders(root, ["test"], ["freude", "trauer"])
    (root / "train" / "loose.png").write_bytes(disk.jpeg(1, extension=".png"))
    _, summary = brought_in(root, tmp_path)
    assert summary.rows == 4
    assert summary.excluded == {"left out for lying in no class folder, such as test/freude/im0.png": 5}


def test_a_table_beside_class_folders_is_told(tmp_path):
    root = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    image = next((root / "train" / "sad").iterdir()).relative_to(root).as_posix()
    (root / "labels.csv").write_text(f"pth,label,split\n{image},fear,test\n")
    (root / "notes.csv").write_text("person,age\nanna,20\n")
    _, summary = brought_in(root, tmp_path)
    assert (summary.layout, summary.rows) == ("folders", 4)
    assert summary.excluded_lines() == [
        "1 file left out for being a table, such as labels.csv; --layout table reads it, and not the folders' names"
    ]
    dataset, _ = brought_in(root, tmp_path, layout="table")
    assert (dataset.labels, dataset.splits) == (("fear",), {"test": 1})


def test_rafdb_counts_from_one_and_takes_the_aligned_images(tmp_path):
    dataset, summary = brought_in(disk.write_rafdb(tmp_path / "raf"), tmp_path)
    assert summary.layout == "rafdb"
    assert [dataset.labels[i] for i in dataset.label] == ["sad", "surprise", "neutral"]
    assert dataset.split.tolist() == ["train", "train", "test"]
    assert dataset.column("source")[0] == "train_00001_aligned.jpg"
    assert dataset.info.columns == ()


@pytest.mark.parametrize("given", [".", "DATASET"])
def test_rafdb_in_numbered_folders(tmp_path, given):
    """The tables beside them were read, and no image was found."""
    source = disk.write_rafdb_folders(tmp_path / "raf-db-dataset") / given
    dataset, summary = brought_in(source, tmp_path)
    assert (summary.layout, dataset.splits) == ("rafdb", {"train": 7, "test": 7})
    told = {
        name.split("/")[1]: dataset.labels[n] for name, n in zip(dataset.column("source"), dataset.label, strict=True)
    }
    assert [told[str(number)] for number in range(1, 8)] == [
        "surprise", "fear", "disgust", "happy", "sad", "angry", "neutral",
    ]  # fmt: skip


def test_other_numbered_folders_are_not_rafdb(tmp_path):
    disk.write_folders(tmp_path / "set", ["train", "test"], map(str, range(1, 8)))
    with pytest.raises(InputError, match="its layout is not recognised"):
        find_layout(tmp_path / "set")


def test_rafdb_originals_bring_landmarks_and_boxes(tmp_path):
    dataset, _ = brought_in(disk.write_rafdb(tmp_path / "raf", aligned=False) / "basic", tmp_path)
    assert dataset.column("landmarks_xy")[0][:2] == [[30, 40], [60, 41]]
    assert dataset.column("box_xyxy")[0] == [20.5, 25, 75, 85]


@pytest.mark.parametrize("header", [True, False])
def test_affectnet(tmp_path, header):
    dataset, summary = brought_in(disk.write_affectnet(tmp_path / "aff", header), tmp_path)
    assert summary.layout == "affectnet"
    assert [dataset.labels[i] for i in dataset.label] == ["happy", "contempt", "neutral"]
    assert dataset.split.tolist() == ["train", "train", "validation"]
    assert summary.excluded == {"none": 0, "uncertain": 0, "no face": 1}
    assert dataset.column("box_xyxy")[0] == [10, 12, 70, 73]
    assert dataset.column("valence") == pytest.approx([0.78, -0.5, None])
    assert len(dataset.column("landmarks_xy")[0]) == 68


def test_affectnet_with_numpy_files(tmp_path):
    root = disk.write_affectnet_sets(tmp_path / "aff")
    dataset, summary = brought_in(root, tmp_path)
    assert summary.layout == "affectnet"
    assert [dataset.labels[i] for i in dataset.label] == ["happy", "contempt", "neutral"]
    assert dataset.split.tolist() == ["train", "train", "validation"]
    assert summary.excluded == {"none": 0, "uncertain": 0, "no face": 1}
    assert dataset.column("valence") == pytest.approx([0.78, -0.5, None])
    assert dataset.column("landmarks_xy")[0][-1] == [134.5, 135.5]
    (root / "val_set" / "images" / "1.jpg").write_bytes(disk.jpeg(1))
    landmarks = root / "train_set" / "annotations" / "2_lnd.npy"
    landmarks.write_bytes(landmarks.read_bytes().replace(b"}", b"{", 1))  # NumPy raises an error of Python's tokenizer
    for path, problem in ((root / "val_set", "1.jpg: has no label"), (root / "train_set", "2.jpg: .* cannot be read")):
        _, summary = brought_in(path, tmp_path, on_error="skip")
        assert re.search(problem, str(summary.damaged[0]))
        assert (summary.rows, summary.damaged_rows) == (1, 1)


def test_kdef_and_jaffe_tell_the_expression_in_their_names(tmp_path):
    """Folders of persons are no classes."""
    dataset, summary = brought_in(disk.write_kdef(tmp_path / "k"), tmp_path)
    assert [dataset.labels[i] for i in dataset.label] == ["fear", "happy", "neutral"]
    assert dataset.splits == {"train": 2, "test": 1}
    assert summary.excluded_lines() == ["1 file left out for a name that tells no expression"]
    assert {name: values.tolist() for name, values in dataset.attributes.items()} == {
        "person": ["F01", "F01", "M02"],
        "gender": ["female", "female", "male"],
        "view": ["front", "half left", "full right"],
    }
    dataset, _ = brought_in(disk.write_jaffe(tmp_path / "j"), tmp_path)
    assert [dataset.labels[i] for i in dataset.label] == ["angry", "fear", "neutral"]
    assert dataset.attributes["person"].tolist() == ["KA", "KA", "YM"]
    with pytest.raises(InputError, match="has no photos as KDEF names them"):
        brought_in(tmp_path / "j", tmp_path, layout="kdef")


def test_rafd_tells_more_in_its_names(tmp_path):
    dataset, summary = brought_in(disk.write_rafd(tmp_path / "RafD"), tmp_path)
    assert (summary.layout, dataset.labels, dataset.label.tolist()) == ("rafd", ("angry", "contempt"), [1, 0])
    assert {name: values.tolist() for name, values in dataset.attributes.items()} == {
        "view": ["045", "090"], "person": ["01", "28"], "ethnicity": ["Caucasian", "Caucasian"],
        "gender": ["female", "male"], "gaze": ["left", "frontal"],
    }  # fmt: skip


@pytest.mark.parametrize("place", [".", "data"])
def test_ferplus_as_its_program_writes_it(tmp_path, place):
    """The folders were taken for three classes of faces."""
    disk.write_ferplus_folders(tmp_path / "FERPlus" / place)
    dataset, summary = brought_in(tmp_path / "FERPlus", tmp_path)
    assert (summary.layout, dataset.splits) == ("ferplus", {"train": 1, "validation": 1, "test": 1})
    assert [dataset.labels[n] for n in dataset.label] == ["happy", "contempt", "neutral"]
    assert dataset.votes.tolist()[2] == [4, 0, 0, 0, 1, 0, 0, 4, 1, 0]
    assert summary.excluded_lines() == ["1 row left out as unknown or not a face, by most votes"]
    dataset, summary = brought_in(tmp_path / "FERPlus", tmp_path, ferplus="majority")
    assert [dataset.labels[n] for n in dataset.label] == ["happy", "contempt"]
    assert "1 row left out by FER+ majority" in summary.excluded_lines()


def test_ferplus_with_its_images_elsewhere(tmp_path):
    tables = disk.write_ferplus_folders(tmp_path / "labels", images=False)
    with pytest.raises(
        InputError, match=r"FER2013Train/label.csv line 2: no image fer0000001.png beside it; .*--images"
    ):
        brought_in(tables, tmp_path)
    disk.write_ferplus_folders(tmp_path / "images")
    assert len(brought_in(tables, tmp_path, images=tmp_path / "images")[0]) == 3
    (tables / "FER2013Test" / "label.csv").write_text(
        'fer0032220.png,"(0, 0, 48, 48)",1,0,0,1,0,2,0,6,0,0\na.png,"",1\n'
    )
    _, summary = brought_in(tables, tmp_path, images=tmp_path / "images", on_error="skip")
    assert [error.source for error in summary.damaged] == ["FER2013Test/label.csv line 2"]


def test_expw_has_several_faces_a_photo(tmp_path):
    dataset, summary = brought_in(disk.write_expw(tmp_path / "expw"), tmp_path)
    assert summary.layout == "expw"
    assert [dataset.labels[i] for i in dataset.label] == ["happy", "neutral", "angry"]
    assert dataset.column("box_xyxy")[1] == [95, 0, 175, 88], "left, top, right, bottom; the list has top first"
    encoded = [image["bytes"] for image in dataset.column("image")]
    assert encoded[0] == encoded[1]
    left, right = dataset.images()[:2]
    assert np.corrcoef(left.ravel(), disk.pattern(1).ravel())[0, 1] > 0.8
    assert np.corrcoef(right.ravel(), disk.pattern(2).ravel())[0, 1] > 0.8


def test_faces_can_be_cut_out(tmp_path):
    dataset, _ = brought_in(disk.write_expw(tmp_path / "expw"), tmp_path, face_px=32)
    assert "box_xyxy" not in dataset.info.columns
    image = cv2.imdecode(np.frombuffer(dataset.column("image")[0]["bytes"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.shape == (32, 32)


def test_sequences_of_cohn_kanade_give_their_first_and_last_frames(tmp_path):
    dataset, summary = brought_in(disk.write_cohn_kanade(tmp_path / "ck", landmarks=True), tmp_path)
    assert summary.layout == "cohn-kanade"
    assert dataset.labels == ("disgust", "surprise", "neutral")
    assert [dataset.labels[i] for i in dataset.label] == [
        "neutral", "disgust", "disgust", "disgust", "neutral", "surprise", "surprise",
    ]  # fmt: skip
    assert [Path(name).stem[-2:] for name in dataset.column("source")] == ["01", "04", "05", "06", "01", "02", "03"]
    assert [row["person"] for row in dataset.column("attributes")] == ["S005"] * 7
    assert list(summary.excluded.values()) == [2 + 4]
    np.testing.assert_allclose(dataset.column("box_xyxy")[0], [20, 20, 60, 70])
    assert "box_xyxy" not in brought_in(disk.write_cohn_kanade(tmp_path / "no"), tmp_path)[0].info.columns


def test_damaged_labels_of_cohn_kanade_are_told(tmp_path):
    root = disk.write_cohn_kanade(tmp_path / "ck", landmarks=True)
    (root / "Emotion" / "S005" / "002" / "S005_002_00000003_emotion.txt").write_text("8.0")
    (root / "Landmarks" / "S005" / "001" / "S005_001_00000006_landmarks.txt").write_text("1 2 3")
    with pytest.raises(InputError, match=r"S005_001_00000006_landmarks.txt: 3 numbers; expected 68 pairs"):
        brought_in(root, tmp_path)
    dataset, summary = brought_in(root, tmp_path, on_error="skip")
    assert (len(dataset), summary.damaged_rows) == (3, 2)
    assert any("002_00000003_emotion.txt: 8; expected a whole number from 0 to 7" in str(e) for e in summary.damaged)
    shutil.rmtree(root / "Emotion")
    with pytest.raises(InputError, match="has no cohn-kanade-images/ with Emotion/ beside it"):
        brought_in(root, tmp_path, layout="cohn-kanade")


def test_parquet_of_hugging_face(tmp_path):
    image = pa.array([{"bytes": disk.jpeg(i), "path": None} for i in range(2)])
    table = pa.table({"image": image, "label": [1, 0]})
    names = b'{"info": {"features": {"label": {"names": ["happiness", "Sad"], "_type": "ClassLabel"}}}}'
    pq.write_table(table.replace_schema_metadata({"huggingface": names}), tmp_path / "test-00000-of-00001.parquet")
    dataset, summary = brought_in(tmp_path / "test-00000-of-00001.parquet", tmp_path)
    assert summary.layout == "parquet"
    assert [dataset.labels[i] for i in dataset.label] == ["sad", "happy"]
    assert dataset.splits == {"test": 2}


def save_to_disk(folder: Path, names: list[str], split: str | None, *, files: int = 1) -> None:
    """As `datasets.Dataset.save_to_disk` does: a stream of Arrow, class names in its schema, its split beside it."""
    folder.mkdir(parents=True)
    features = {"info": {"features": {"label": {"names": ["happiness", "Sad"], "_type": "ClassLabel"}}}}
    schema = pa.schema(
        [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())],
        metadata={"huggingface": json.dumps(features)},
    )
    written = []
    for number in range(files):
        own = range(number, len(names), files)
        rows = [{"image": {"bytes": disk.jpeg(i), "path": None}, "label": int(names[i] == "sad")} for i in own]
        written.append(f"data-{number:05d}-of-{files:05d}.arrow")
        with pa.OSFile(str(folder / written[-1]), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            # Several batches in a file, as `datasets` writes them.
            for row in rows:
                writer.write_table(pa.Table.from_pylist([row], schema))
    state = {"_data_files": [{"filename": name} for name in written], "_fingerprint": "0", "_split": split}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "cache-1234.arrow").write_bytes(b"\xff\xff\xff\xff")


def test_what_hugging_face_saves_to_disk(tmp_path):
    save_to_disk(tmp_path / "set" / "train", ["happy", "sad", "sad", "happy", "sad"], "train", files=2)
    save_to_disk(tmp_path / "set" / "held", ["sad"], "test")
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "held"]}')
    dataset, summary = brought_in(tmp_path / "set", tmp_path)
    assert (summary.layout, summary.damaged_rows) == ("parquet", 0)
    assert [dataset.labels[i] for i in dataset.label] == ["happy", "sad", "sad", "sad", "happy", "sad"]
    assert dataset.splits == {"train": 5, "test": 1}
    alone, _ = import_dataset(tmp_path / "set" / "held", tmp_path / "alone.parquet")
    assert alone.splits == {"test": 1}
    file = tmp_path / "set" / "train" / "data-00000-of-00002.arrow"
    assert import_dataset(file, tmp_path / "file.parquet")[0].splits == {"train": 3}


def test_what_is_saved_to_disk_without_a_split_takes_its_folders(tmp_path):
    save_to_disk(tmp_path / "set" / "validation", ["happy"], None)
    save_to_disk(tmp_path / "part", ["happy", "sad"], "train[:90%]")
    assert brought_in(tmp_path / "set", tmp_path)[0].splits == {"validation": 1}
    assert brought_in(tmp_path / "part", tmp_path)[0].splits == {"train": 2}


def test_arrow_files_with_class_names_as_text(tmp_path):
    table = pa.table({"image": [disk.jpeg(0), disk.jpeg(1)], "label": ["Fear", "natural"]})
    with pa.OSFile(str(tmp_path / "data-0.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    dataset, _ = brought_in(tmp_path / "data-0.arrow", tmp_path)
    assert [dataset.labels[i] for i in dataset.label] == ["fear", "neutral"]


def test_parquet_files_that_do_not_have_all_classes_each(tmp_path):
    images = [{"bytes": disk.jpeg(i), "path": None} for i in range(2)]
    for split, names in (("train", ["joy", "fear"]), ("test", ["joy", "sadness"])):
        (tmp_path / "set" / split).mkdir(parents=True)
        pq.write_table(pa.table({"image": images, "label": names}), tmp_path / "set" / split / "0000.parquet")
    dataset, summary = brought_in(tmp_path / "set", tmp_path)
    assert dataset.labels == ("fear", "happy", "sad")
    alone = import_dataset(tmp_path / "set" / "test" / "0000.parquet", tmp_path / "alone.parquet")[0]
    assert alone.splits == {"test": 2}
    assert summary.counts == {
        "train": {"fear": 1, "happy": 1, "sad": 0}, "test": {"fear": 0, "happy": 1, "sad": 1},
    }  # fmt: skip


def test_whole_numbers_of_a_data_frame_are_labels(tmp_path):
    images = [{"bytes": disk.jpeg(i), "path": None} for i in range(3)]
    pq.write_table(pa.table({"image": images, "label": [1.0, 0.0, None]}), tmp_path / "a.parquet")
    dataset, summary = brought_in(tmp_path / "a.parquet", tmp_path, classes="sad,happy", on_error="skip")
    assert (dataset.label.tolist(), dataset.labels, summary.damaged_rows) == ([0, 1], ("happy", "sad"), 1)


def test_parquet_with_class_names_as_text(tmp_path):
    table = pa.table({"img": [disk.jpeg(0), disk.jpeg(1)], "emotion": ["Fear", "natural"]})
    pq.write_table(table, tmp_path / "in.parquet")
    dataset, _ = brought_in(tmp_path / "in.parquet", tmp_path)
    assert [dataset.labels[i] for i in dataset.label] == ["fear", "neutral"]


@pytest.mark.parametrize("kind", ["table", "names", "numbers"])
def test_classes_of_ones_own_in_tables_and_parquet(tmp_path, kind):
    names = ["Engaged", "bored", "Engaged", "confused"]
    if kind == "table":
        source = disk.write_table(tmp_path / "t.csv", names)
    else:
        label = names if kind == "names" else [2, 0, 2, 1]
        features = b'{"info": {"features": {"label": {"names": ["bored", "confused", "Engaged"]}}}}'
        table = pa.table({"img_bytes": [disk.jpeg(i) for i in range(4)], "label": label})
        source = tmp_path / "in.parquet"
        pq.write_table(table.replace_schema_metadata({"huggingface": features}), source)
    dataset, _ = brought_in(source, tmp_path)
    assert (dataset.labels, dataset.label.tolist()) == (("bored", "confused", "engaged"), [2, 0, 2, 1])


@pytest.mark.parametrize("names", ['["happy", "joy"]', '["0", "1"]', '["happy", "sad", "puzzled"]'])
def test_class_names_that_make_no_sense(tmp_path, names):
    table = pa.table({"image": [disk.jpeg(0)], "label": [0]})
    features = f'{{"info": {{"features": {{"label": {{"names": {names}}}}}}}}}'
    pq.write_table(table.replace_schema_metadata({"huggingface": features}), tmp_path / "in.parquet")
    with pytest.raises(InputError, match="class names of column 'label'"):
        brought_in(tmp_path / "in.parquet", tmp_path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_image_files(tmp_path, delimiter):
    source = disk.write_table(tmp_path / "val.csv", ["Happiness", "sad", "Happiness"], delimiter)
    dataset, summary = brought_in(source, tmp_path)
    assert (summary.layout, dataset.labels, dataset.label.tolist()) == ("table", ("happy", "sad"), [0, 1, 0])
    assert dataset.splits == {"validation": 3}
    assert dataset.names() == ["sub/0.png row 0", "sub/1.png row 1", "sub/2.png row 2"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_table_says_how_it_is_written(tmp_path, encoding, delimiter):
    source = disk.write_table(tmp_path / "val.csv", ["fröhlich", "sad", "fröhlich"], delimiter)
    text = source.read_text(encoding="utf-8-sig")
    source.write_bytes((b"\xfe\xff" if encoding == "utf-16-be" else b"") + text.encode(encoding))
    for path in (source, tmp_path):
        dataset, _ = brought_in(path, tmp_path, classes="fröhlich=happy", layout=None if path == source else "table")
        assert dataset.label.tolist() == [0, 1, 0]
        (tmp_path / "out.parquet").unlink()


@pytest.mark.parametrize("layout", [None, "table"])
def test_a_table_that_is_not_utf8_is_told_what_to_do(tmp_path, layout):
    source = disk.write_table(tmp_path / "t.csv", ["happy", "sad", "fröhlich"])
    text = source.read_text(encoding="utf-8-sig")
    line = text[: text.index("fröhlich")].count("\n") + 1
    for data, problem in (
        (text.encode("latin-1"), rf"is not UTF-8 \(line {line}\); save it as 'CSV UTF-8', or .*iconv -f cp1252"),
        ("path,label\n".encode("utf-16-le"), "is not UTF-8; save it as 'CSV UTF-8'"),
        (b"\xff\xfe" + text.encode("utf-16-le")[:-1], "is not UTF-16.*; save it as 'CSV UTF-8'"),
        ("größe;x\n".encode("latin-1"), r"is not UTF-8.*; save it as 'CSV UTF-8'"),
    ):
        source.write_bytes(data)
        with pytest.raises(InputError, match=problem):
            brought_in(source, tmp_path, layout=layout)
    (tmp_path / "x.bin").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="a file that is no text"):
        brought_in(tmp_path / "x.bin", tmp_path)
    with pytest.raises(
        InputError, match=r"is a single image; expected a dataset: .* \('mien recognize' reads photos\)"
    ):
        brought_in(ROOT / "examples" / "astronaut.jpg", tmp_path)


def test_a_table_of_images_in_folders_of_their_split_and_class(tmp_path):
    """As RAF-DB is passed on: train_labels.csv beside train/5/train_00001_aligned.jpg."""
    root = disk.write_folders(tmp_path / "set", ["train", "val"], ["1", "2"])
    for split in ("train", "val"):
        names = [f"{file.name},{file.parent.name}\n" for file in sorted((root / split).glob("*/*.png"))]
        (root / f"{split}_labels.csv").write_text("image,label\n" + "".join(names), encoding="utf-8")
    dataset, summary = brought_in(root, tmp_path, classes="1=surprise,2=fear")
    assert (summary.layout, dataset.splits) == ("table", {"train": 4, "validation": 4})
    direct, _ = import_dataset(root, tmp_path / "direct.parquet", layout="folders", classes="1=surprise,2=fear")
    assert dataset.encoded(range(8)) == direct.encoded(range(8))
    assert [dataset.labels[i] for i in dataset.label] == [direct.labels[i] for i in direct.label]


@pytest.mark.parametrize(("row", "count"), [('a.png,"sad,', 1), ('a.png,sad,"a note', 300), ('a.png,"sad,', 40_000)])
def test_a_quotation_mark_that_stays_open_swallows_no_rows(tmp_path, row, count):
    (tmp_path / "a.png").write_bytes(disk.jpeg(0, extension=".png"))
    good = ["image,label,note", "a.png,happy,", 'a.png,sad,"a note\nof two lines"']
    (tmp_path / "t.csv").write_text("\n".join(good), encoding="utf-8")
    assert brought_in(tmp_path / "t.csv", tmp_path)[1].rows == 2
    (tmp_path / "t.csv").write_text("\n".join([*good, row, *["a.png,happy,"] * count]), encoding="utf-8")
    with pytest.raises(InputError, match="t.csv line 5: a quotation mark opens a cell that does not end here"):
        brought_in(tmp_path / "t.csv", tmp_path, on_error="skip")


def test_image_folders_of_hugging_face(tmp_path):
    for split, names in (("train", ["happy", "sad"]), ("test", ["sad"])):
        source = disk.write_table(
            tmp_path / "set" / split / "metadata.csv", names, folder=".", header="file_name{0}label"
        )
        assert import_dataset(source, tmp_path / "one.parquet")[0].splits == {split: len(names)}
    dataset, summary = brought_in(tmp_path / "set", tmp_path)
    assert (summary.layout, dataset.splits) == ("table", {"train": 2, "test": 1})
    assert dataset.column("source") == ["train/sub/0.png", "train/sub/1.png", "test/sub/0.png"]
    (tmp_path / "set" / "test" / "sub" / "0.png").unlink()
    with pytest.raises(InputError, match="test/metadata.csv row 0 .*, test/sub/0.png: no such image"):
        brought_in(tmp_path / "set", tmp_path)


def test_image_folders_of_hugging_face_with_json_lines(tmp_path):
    for split, names in (("train", ["happy", None, "sad"]), ("test", ["sad"])):
        rows = []
        for i, name in enumerate(names):
            image = tmp_path / "set" / split / "sub" / f"{i}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(disk.jpeg(i, extension=".png"))
            rows.append({"file_name": f"sub/{i}.png", "label": name, "Age": 20.0 + i} if name else [1])
        text = "\n".join(json.dumps(row) for row in rows) + "\n\n"
        (tmp_path / "set" / split / "metadata.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(
        InputError, match=r"train/metadata.jsonl row 1 \(line 2\): '\[1\]' is no object; expected a JSON"
    ):
        brought_in(tmp_path / "set", tmp_path)
    dataset, summary = brought_in(tmp_path / "set", tmp_path, on_error="skip", attributes="age")
    assert (summary.layout, dataset.splits, summary.damaged_rows) == ("table", {"train": 2, "test": 1}, 1)
    assert [dataset.labels[i] for i in dataset.label] == ["happy", "sad", "sad"]
    assert [row["age"] for row in dataset.column("attributes")] == ["20", "22", "20"]
    alone, _ = import_dataset(tmp_path / "set" / "test" / "metadata.jsonl", tmp_path / "alone.parquet")
    assert alone.splits == {"test": 1}


def test_json_lines_of_numbers_and_missing_keys(tmp_path):
    (tmp_path / "a.png").write_bytes(disk.jpeg(0, extension=".png"))
    (tmp_path / "faces.jsonl").write_text('{"image": "a.png", "label": 3}\n{"image": "a.png"}\n', encoding="utf-8")
    dataset, summary = brought_in(tmp_path / "faces.jsonl", tmp_path, classes="3=happy", on_error="skip")
    assert ([dataset.labels[i] for i in dataset.label], summary.damaged_rows) == (["happy"], 1)
    (tmp_path / "other.jsonl").write_text('{"text": "happy"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="its layout is not recognised"):
        brought_in(tmp_path / "other.jsonl", tmp_path)


def test_tables_with_images_in_common_are_refused(tmp_path):
    """A table of all rows beside one of each split: every row came twice, and those of the test were in training."""
    disk.write_table(tmp_path / "set" / "test.csv", ["happy", "sad"])
    shutil.copy(tmp_path / "set" / "test.csv", tmp_path / "set" / "labels.csv")
    with pytest.raises(InputError, match=r"test.csv row 0 .*: sub/0.png is also in labels.csv row 0 \(line 2\)"):
        brought_in(tmp_path / "set", tmp_path, on_error="skip")


def test_damaged_rows_of_a_table_are_named(tmp_path):
    source = disk.write_table(tmp_path / "t.csv", ["happy", "sad", "puzzled", "fear"])
    (tmp_path / "images" / "sub" / "3.png").unlink()
    source.write_bytes(source.read_bytes() + b"a.png\r\nb.png,\r\n")
    _, summary = brought_in(source, tmp_path, on_error="skip")
    assert [(error.source, re.split(";| that", error.problem)[0]) for error in summary.damaged] == [
        ("t.csv row 2 (line 4)", "unknown class name 'puzzled'"),
        (
            "t.csv row 3 (line 5), sub/3.png",
            "no such image beside the table, in images/, or in a folder there",
        ),
        ("t.csv row 4 (line 6)", "1 cells"),
        ("t.csv row 5 (line 7)", "no label"),
    ]


def test_classes_by_number_or_by_a_name_of_their_own(tmp_path):
    folders = disk.write_folders(tmp_path / "f", ["train"], ["1", "2", "Wut"])
    with pytest.raises(InputError, match=r"it holds train/.*--classes"):
        brought_in(folders, tmp_path)
    dataset, _ = brought_in(folders, tmp_path, classes="1=surprise, 2=fear, wut=anger")
    assert (dataset.labels, dataset.label.tolist()) == (("angry", "fear", "surprise"), [2, 2, 1, 1, 0, 0])
    assert dataset.info.history[0]["classes"] == {"1": "surprise", "2": "fear", "wut": "angry"}
    dataset, _ = brought_in(
        disk.write_folders(tmp_path / "g", [""], ["Wut", "Freude", "Ruhe"]), tmp_path, classes="wut=anger,freude=joy"
    )
    assert dataset.labels == ("angry", "happy", "ruhe")
    pq.write_table(pa.table({"image": [disk.jpeg(0), disk.jpeg(1)], "label": [1, 0]}), tmp_path / "in.parquet")
    dataset, _ = brought_in(tmp_path / "in.parquet", tmp_path, classes="sad,happy")
    assert [dataset.labels[i] for i in dataset.label] == ["happy", "sad"]
    table = disk.write_table(tmp_path / "t.csv", ["0", "1.0"])
    dataset, _ = brought_in(table, tmp_path, classes="sad,happy")
    assert [dataset.labels[i] for i in dataset.label] == ["sad", "happy"]


@pytest.mark.parametrize("classes", ["sad,1=happy", "1=sad,1=happy", "sad,glad"])
def test_classes_that_make_no_sense(tmp_path, classes):
    with pytest.raises(UsageError, match=r"--classes|unknown expression"):
        brought_in(disk.write_folders(tmp_path / "f", [""], ["0", "1"]), tmp_path, classes=classes)


def test_classes_of_a_layout_that_has_its_own(tmp_path):
    with pytest.raises(UsageError, match="layout 'fer2013'"):
        brought_in(disk.write_fer2013(tmp_path / "f.csv"), tmp_path, classes="sad,happy")


def test_a_folder_of_images_must_make_sense(tmp_path):
    root = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    with pytest.raises(UsageError, match="--images is for ferplus, rafdb, .*; .* has the layout 'folders'"):
        brought_in(root, tmp_path, images=root)
    with pytest.raises(UsageError, match="--images is .*nowhere, which is no folder"):
        brought_in(disk.write_expw(tmp_path / "e"), tmp_path, images=tmp_path / "nowhere")


def test_a_row_without_a_split_is_damaged(tmp_path):
    table = pa.table({"image": [disk.jpeg(0), disk.jpeg(1)], "label": ["sad", "sad"], "split": ["train", None]})
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(InputError, match="row 1: no split"):
        brought_in(tmp_path / "in.parquet", tmp_path)


def test_a_source_is_never_written_over(tmp_path):
    brought_in(disk.write_fer2013(tmp_path / "f.csv"), tmp_path)
    with pytest.raises(UsageError, match="is the source itself"):
        brought_in(tmp_path / "out.parquet", tmp_path)


def test_parquet_files_are_not_joined_by_what_is_made_of_them(tmp_path):
    image = [{"bytes": disk.jpeg(0), "path": None}]
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table({"image": image, "label": ["sad"]}), tmp_path / "set" / "0000.parquet")
    assert import_dataset(tmp_path / "set", tmp_path / "set" / "out.parquet")[1].rows == 1
    with pytest.raises(UsageError, match="is in the folder of the source"):
        import_dataset(tmp_path / "set", tmp_path / "set" / "out.parquet")


def test_parquet_with_unexplained_numbers_is_refused(tmp_path):
    pq.write_table(pa.table({"image": [disk.jpeg(0)], "label": [3]}), tmp_path / "in.parquet")
    with pytest.raises(InputError, match="nothing says what they mean"):
        brought_in(tmp_path / "in.parquet", tmp_path)


def test_the_projects_own_parquet(tmp_path):
    encoded = [cv2.imencode(".webp", disk.pattern(i), [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes() for i in range(2)]
    encoded.append(cv2.imencode(".webp", np.zeros((48, 48), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes())
    table = pa.table(
        {
            "row": pa.array([7, 8, 9], pa.int32()),
            "image": [{"bytes": data, "path": "x.webp"} for data in encoded],
            "label": pa.array([0, 6, 3], pa.int8()),
            "ferplus_votes": pa.array([VOTES[0], VOTES[6], VOTES[3]], pa.list_(pa.uint8(), 10)),
        }
    )
    metadata = {
        "label_names": ",".join(FER7),
        "ferplus_names": "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,not_face",
        "usage": "PublicTest",
    }
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "in.parquet")
    dataset, _ = brought_in(tmp_path, tmp_path, layout="parquet")
    assert dataset.splits == {"validation": 3}
    assert dataset.column("row") == [7, 8, 9]
    assert dataset.votes.tolist() == [VOTES[0], VOTES[6], VOTES[3]]
    assert np.array_equal(dataset.images()[:2], [disk.pattern(0), disk.pattern(1)])


def test_its_own_form_comes_in_again_unchanged(tmp_path):
    votes = disk.write_ferplus(tmp_path / "fer2013new.csv", VOTES)
    first, _ = brought_in(disk.write_fer2013(tmp_path / "f.csv"), tmp_path, votes=votes)
    second, _ = import_dataset(first.path, tmp_path / "again.parquet")
    for name in ("image", "label", "split", "source", "row", "votes"):
        if name != "image":
            assert second.column(name) == first.column(name)
    assert [a["bytes"] for a in second.column("image")] == [a["bytes"] for a in first.column("image")]
    majority, _ = import_dataset(first.path, tmp_path / "m.parquet", ferplus="majority")
    assert len(majority) == 4


def test_hugging_face_datasets_reads_it(tmp_path):
    import datasets

    dataset, _ = brought_in(disk.write_fer2013(tmp_path / "f.csv"), tmp_path)
    loaded = datasets.load_dataset(
        "parquet", data_files=str(dataset.path), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.features["label"].names == list(FER7)
    assert loaded["label"] == dataset.column("label")
    assert (loaded[0]["image"].size, loaded[0]["image"].mode) == ((48, 48), "L")
    streamed = datasets.load_dataset("parquet", data_files=str(dataset.path), split="train", streaming=True)
    assert [row["label"] for row in streamed] == dataset.column("label")


DAMAGE = {
    "pixels missing": ("0,1 2 3,Training", "3 pixel values; expected 2304 pixels"),
    "no pixels": ("0,,Training", "no pixel values; expected 2304"),
    "pixel too large": (f"0,{'300 ' * 2304},Training", "pixel values from 300 to 300; expected 0 to 255"),
    "a word": (f"0,{'1 ' * 2303}x,Training", "pixel value 'x' is no number"),
    "label out of range": (f"9,{'1 ' * 2304},Training", "label '9'; expected a whole number from 0 to 6"),
    "label of another class": (f"bored,{'1 ' * 2304},Training", "label 'bored'"),
    "cell missing": (f"0,{'1 ' * 2304}", "2 cells; expected 3"),
    "no split": (f"0,{'1 ' * 2304},", "no Usage; expected a name such as Training"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_row_is_named_or_left_out(tmp_path, damage):
    line, problem = DAMAGE[damage]
    source = disk.write_fer2013(tmp_path / "f.csv")
    lines = source.read_text().splitlines()
    lines[3] = line
    source.write_text("\n".join(lines) + "\n")
    dest = tmp_path / "out.parquet"
    dest.write_bytes(b"what was there before")
    with pytest.raises(InputError) as error:
        import_dataset(source, dest)
    assert str(error.value).startswith("f.csv row 2 (line 4): ")
    assert problem in str(error.value)
    assert str(error.value).endswith("; --on-error skip leaves out what is damaged")
    assert dest.read_bytes() == b"what was there before", "stopped: nothing half-written"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.csv", "out.parquet"]
    dataset, summary = import_dataset(source, dest, on_error="skip")
    assert summary.damaged_rows == 1
    assert dataset.column("row") == [0, 1, 3, 4, 5, 6, 7]
    assert dataset.info.history[0]["damaged_rows"] == 1


@pytest.mark.parametrize("content", [b"", b"no image at all", disk.jpeg(5)[:200]])
def test_an_unreadable_image_is_named(tmp_path, content):
    root = disk.write_folders(tmp_path / "set", ["train"], ["sad", "happy"], ".jpg")
    (root / "train" / "sad" / "im1.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"^train/sad/im1.jpg: "):
        brought_in(root, tmp_path)
    assert len(brought_in(root, tmp_path, on_error="skip")[0]) == 3


def test_what_opencv_says_of_a_broken_image_is_said_once(tmp_path, capfd):
    root = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    (root / "train" / "sad" / "a.gif").write_bytes(b"GIF")
    brought_in(root, tmp_path, on_error="skip")
    assert capfd.readouterr().err == ""


def test_a_missing_image_and_a_box_beside_it_are_named(tmp_path):
    root = disk.write_expw(tmp_path / "expw")
    (root / "image" / "origin" / "one.jpg").unlink()
    with pytest.raises(InputError, match=r"label.lst line 3, one.jpg: .*--images"):
        brought_in(root, tmp_path)
    listing = root / "label" / "label.lst"
    listing.write_text("two_faces.jpg 0 500 510 580 585 57.5 3\n")
    with pytest.raises(InputError, match="holds nothing of the image of 180 x 90 pixels"):
        brought_in(root, tmp_path)


def test_a_rafdb_label_of_zero_is_out_of_range(tmp_path):
    root = disk.write_rafdb(tmp_path / "raf")
    listing = root / "basic" / "EmoLabel" / "list_patition_label.txt"
    listing.write_text("train_00001.jpg 0\n")
    with pytest.raises(InputError, match="label '0'; expected a whole number from 1 to 7"):
        brought_in(root, tmp_path)


def test_one_class_folder_is_told_as_one(tmp_path, monkeypatch):
    disk.write_folders(tmp_path / "flat", [Path()], ["happy", "sad", "neutral"])
    with pytest.raises(InputError, match="happy: holds the faces of one class; give the folder of all .*flat$"):
        brought_in(tmp_path / "flat" / "happy", tmp_path)
    monkeypatch.chdir(tmp_path / "flat")
    with pytest.raises(InputError, match="of all class folders, .*flat$"):
        brought_in(Path("happy"), tmp_path)
    monkeypatch.chdir(tmp_path / "flat" / "happy")
    with pytest.raises(InputError, match="holds the faces of one class"):
        open_training(".")


def test_what_is_no_dataset_is_refused_with_the_known_layouts(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"layout is not recognised.*--layout NAME one of .*rafdb"):
        brought_in(tmp_path / "x.csv", tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        brought_in(tmp_path / "nothing", tmp_path)
    shutil.make_archive(str(tmp_path / "faces"), "zip", tmp_path, "x.csv")
    disk.write_ferplus(tmp_path / "fer2013new.csv", VOTES)
    with pytest.raises(InputError, match=r"FER\+'s votes, and no faces; give fer2013.csv, with --votes and this file"):
        brought_in(tmp_path / "fer2013new.csv", tmp_path)
    with pytest.raises(InputError, match="an archive; unpack it"):
        brought_in(tmp_path / "faces.zip", tmp_path)
    (tmp_path / "saved" / "train").mkdir(parents=True)
    (tmp_path / "saved" / "train" / "data-00000-of-00001.arrow").write_bytes(b"\xff\xff\xff\xff\x10")
    with pytest.raises(InputError, match=r"data-00000-of-00001\.arrow: cannot be read as Arrow"):
        brought_in(tmp_path / "saved", tmp_path)
    (tmp_path / "fer2013").mkdir()
    (tmp_path / "fer2013" / "README").write_text("The data are in fer2013.csv.\n")
    disk.write_fer2013(tmp_path / "fer2013" / "fer2013.csv")
    with pytest.raises(InputError, match=r"is a folder; give the file in it of the layout 'fer2013', .*fer2013\.csv$"):
        brought_in(tmp_path / "fer2013", tmp_path)
    with pytest.raises(UsageError, match="unknown layout 'fer'"):
        brought_in(tmp_path / "x.csv", tmp_path, layout="fer")


def test_every_layout_is_told_from_all_others(tmp_path):
    sources = {
        "fer2013": disk.write_icml(tmp_path / "a.csv"),
        "ckplus": disk.write_fer2013(tmp_path / "b.csv", [0, 1, 2, 3, 4, 5, 6, 7]),
        "ferplus": disk.write_ferplus_folders(tmp_path / "p"),
        "rafdb": disk.write_rafdb(tmp_path / "c"),
        "affectnet": disk.write_affectnet(tmp_path / "d"),
        "expw": disk.write_expw(tmp_path / "e"),
        "cohn-kanade": disk.write_cohn_kanade(tmp_path / "s"),
        "kdef": disk.write_kdef(tmp_path / "k"),
        "jaffe": disk.write_jaffe(tmp_path / "j"),
        "rafd": disk.write_rafd(tmp_path / "r"),
        "folders": disk.write_folders(tmp_path / "f", ["train"], ["sad", "happy"]),
        "table": disk.write_table(tmp_path / "g.csv", ["sad", "happy"]),
        "yolo": disk.write_yolo(tmp_path / "y"),
        "coco": disk.write_coco(tmp_path / "o"),
        "voc": disk.write_voc(tmp_path / "v"),
        "own-folders": disk.write_folders(tmp_path / "h", ["train"], ["engaged", "bored"]),
    }
    brought_in(sources["fer2013"], tmp_path)
    sources["parquet"] = tmp_path / "out.parquet"
    assert set(sources) == set(LAYOUTS)
    assert list(LAYOUTS)[-8:-4] == ["table", "kdef", "jaffe", "rafd"]
    assert list(LAYOUTS)[-4:] == ["yolo", "coco", "voc", "own-folders"], "what says least is tried last"
    assert list(LAYOUTS).index("folders") > list(LAYOUTS).index("parquet")
    for name, source in sources.items():
        assert find_layout(source).name == name


def test_the_destination_must_make_sense(tmp_path):
    source = disk.write_fer2013(tmp_path / "f.csv")
    with pytest.raises(UsageError, match="ends in .parquet"):
        import_dataset(source, tmp_path / "out.csv")
    with pytest.raises(UsageError, match="folder does not exist"):
        import_dataset(source, tmp_path / "no" / "out.parquet")
    with pytest.raises(UsageError, match="on_error"):
        ImportOptions(on_error="ignore")


def test_opening_what_is_no_dataset(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Dataset(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="is a folder; 'mien data import SOURCE DEST' makes a dataset"):
        Dataset(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        Dataset(tmp_path / "x.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="is not a dataset of mien"):
        Dataset(tmp_path / "x.parquet")
