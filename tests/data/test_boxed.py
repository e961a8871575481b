"""Expressions with boxes, in the forms in which datasets for detectors come."""

import json
import os
import pickle
import re
import struct
import sys

import numpy as np
import pytest

from mien.data import import_dataset, importer, stored
from mien.data.faces import open_training
from mien.data.layouts import find_layout
from mien.data.pixels import decode_gray
from mien.errors import InputError, MissingExtraError
from tests.data import layouts_on_disk as disk

FACES = [
    ("train", "angry", (8, 16, 40, 56)),
    ("train", "happy", (48, 8, 88, 48)),
    ("validation", "happy", (10, 20, 50, 60)),
]
FORMS = {
    "yolo": [
        disk.write_yolo,
        lambda root: disk.write_yolo(root, "{kind}/{split}"),
        lambda root: disk.write_yolo(root, "{kind}/{split}2017", "names:\n  0: Anger\n  1: happiness # glad\n  2: sad"),
        lambda root: disk.write_yolo(root, names="names:\n- Anger\n- 'happiness'\n- sad"),
    ],
    "coco": [
        disk.write_coco,
        lambda root: disk.write_coco(root, "annotations/instances_{split}2017.json", "{split}2017"),
        lambda root: disk.write_coco(root, "annotations/{split}.json", "images/{split}"),
        lambda root: disk.write_coco(root, "{split}/annotations.json", "{split}/images"),
    ],
    "voc": [
        disk.write_voc,
        lambda root: disk.write_voc(root, "{split}/annotations", "{split}/images"),
        lambda root: disk.write_voc(root, "annotations/{split}", "images/{split}"),
    ],
}


def faces_of(dataset):
    boxes = [tuple(round(value, 2) for value in box) for box in dataset.column("box_xyxy")]
    return list(zip(dataset.split.tolist(), (dataset.labels[n] for n in dataset.label), boxes, strict=True))


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("layout", "form"), [(layout, n) for layout, forms in FORMS.items() for n in range(len(forms))]
)
def test_each_box_is_a_face_of_its_class(tmp_path, layout, form, wrapped):
    source = FORMS[layout][form](tmp_path / "set" / "inner")
    if wrapped and layout != "voc":
        source = source.parent
    dataset, summary = import_dataset(source, tmp_path / "out.parquet")
    assert summary.layout == layout
    assert faces_of(dataset) == FACES
    assert dataset.labels == (("angry", "happy") if layout == "voc" else ("angry", "happy", "sad")), "as far as listed"
    assert summary.excluded_lines() == ["1 file left out for having no box"]


@pytest.mark.parametrize("write", [disk.write_yolo, disk.write_coco])
def test_several_datasets_in_one_folder_are_all_read(tmp_path, write):
    for name in ("a", "b"):
        write(tmp_path / "set" / name)
    dataset, _ = import_dataset(tmp_path / "set", tmp_path / "out.parquet")
    assert sorted(faces_of(dataset)) == sorted(2 * FACES)


@pytest.mark.parametrize("part", ["data.yaml", "train/images", "train/labels"])
def test_the_whole_folder_is_asked_for(tmp_path, part):
    source = disk.write_yolo(tmp_path / "set")
    whole = (source / part).parent
    with pytest.raises(
        InputError, match=f"is a part of the layout 'yolo'; give the folder of all, {re.escape(str(whole))}"
    ):
        import_dataset(source / part, tmp_path / "out.parquet")


@pytest.mark.parametrize("write", [disk.write_yolo, disk.write_coco, disk.write_voc])
def test_what_lies_beside_a_dataset_is_no_part_of_it(tmp_path, write):
    """Whose table had an unknown header was told to give the folder in which all datasets lay."""
    write(tmp_path / "sets" / "a")
    disk.write_folders(tmp_path / "sets" / "b", ["train"], ["happy", "sad"])
    table = disk.write_table(tmp_path / "sets" / "c" / "list.csv", ["happy", "sad"], header="Bild{0}Art")
    photos = tmp_path / "sets" / "photos"
    photos.mkdir()
    (photos / "1.jpg").write_bytes(disk.jpeg(1))
    for given in (table.parent, photos, table):
        with pytest.raises(InputError, match="its layout is not recognised"):
            import_dataset(given, tmp_path / "out.parquet")


def test_boxes_that_are_cut_out(tmp_path):
    dataset, _ = import_dataset(disk.write_yolo(tmp_path / "set"), tmp_path / "out.parquet", face_px=24)
    assert (dataset.images(24).shape, "box_xyxy" in dataset.info.columns) == ((3, 24, 24), False)
    told, _ = import_dataset(disk.write_coco(tmp_path / "other"), tmp_path / "other.parquet")
    assert np.abs(dataset.images(24).astype(int) - told.images(24)).max() <= 1


def test_faces_that_are_not_imported_are_decoded_once(tmp_path, monkeypatch):
    """Those of YOLO were decoded for their box, and again for what is in it."""
    decoded = []
    monkeypatch.setattr(stored, "decode_gray", lambda *given: decoded.append(given[1]) or decode_gray(*given))
    source = disk.write_yolo(tmp_path / "set")
    found = open_training(source).images(np.arange(2))
    assert ([face.shape for face in found], len(decoded)) == ([(40, 32), (40, 40)], 2)


def test_a_box_that_holds_nothing_is_told_without_an_import_too(tmp_path):
    """The face was the whole photo."""
    source = disk.write_voc(tmp_path / "set")
    listing = source / "train" / "a.xml"
    listing.write_text(listing.read_text().replace("<xmax>40<", "<xmax>8.2<"))
    with pytest.raises(InputError, match=r"train/a\.xml object 0: box \(8, 16, 8.2, 56\) holds nothing of the image"):
        open_training(source).images(np.arange(2))


def test_a_photo_of_several_faces_is_decoded_once(tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(importer, "decode_gray", lambda *given: decoded.append(given[1]) or decode_gray(*given))
    dataset, _ = import_dataset(disk.write_yolo(tmp_path / "set"), tmp_path / "out.parquet")
    assert faces_of(dataset) == FACES
    assert len(decoded) == 2, "of three faces"


@pytest.mark.parametrize("face_px", [None, 24])
@pytest.mark.parametrize("sides", [("100", "140"), ("nan", "50"), ("10", "inf"), ("10.1", "10.4")])
def test_a_box_that_holds_nothing_of_its_photo_is_damaged(tmp_path, sides, face_px):
    """The whole photo was stored as a face where it was to be cut out."""
    source = disk.write_voc(tmp_path / "set")
    listing = source / "valid" / "c.xml"
    text = listing.read_text().replace("<xmin>10<", f"<xmin>{sides[0]}<").replace("<xmax>50<", f"<xmax>{sides[1]}<")
    listing.write_text(text)
    dataset, summary = import_dataset(source, tmp_path / "out.parquet", on_error="skip", face_px=face_px)
    assert (len(dataset), [error.source for error in summary.damaged]) == (2, ["valid/c.xml object 0"])
    assert "holds nothing of the image of 96 x 80 pixels" in summary.damaged[0].problem


def test_splits_of_voc_in_lists(tmp_path):
    source = disk.write_voc(tmp_path / "VOCdevkit" / "VOC2012", "Annotations", "JPEGImages")
    (source / "ImageSets" / "Main").mkdir(parents=True)
    (source / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n")
    (source / "ImageSets" / "Main" / "val.txt").write_text("c\n")
    for given in (source, source.parent):
        dataset, summary = import_dataset(given, tmp_path / "out.parquet")
        assert (summary.layout, faces_of(dataset)) == ("voc", FACES)


@pytest.mark.parametrize(("folder", "line"), [("sub", '"sub/{name} 1"'), (".", "{name} 1.jpg"), (".", "{name} 1  1")])
def test_splits_of_voc_as_cvat_lists_them(tmp_path, folder, line):
    """Photos of its list for validation were training photos: only 'val' was read, and only names without blanks."""
    source = disk.write_voc(tmp_path / "set", f"Annotations/{folder}", f"JPEGImages/{folder}")
    for kind, ending in (("Annotations", "xml"), ("JPEGImages", "jpg")):
        for name in "abc":
            (source / kind / folder / f"{name}.{ending}").rename(source / kind / folder / f"{name} 1.{ending}")
    lists = source / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split, names in (("train", "ab"), ("validation", "c"), ("happy_train", "c"), ("trainval", "abc")):
        (lists / f"{split}.txt").write_text("".join(line.format(name=name) + "\n" for name in names))
    dataset, _ = import_dataset(source, tmp_path / "out.parquet")
    assert faces_of(dataset) == FACES


@pytest.mark.parametrize("place", ["{kind}/train/happy", "train/{kind}/happy", "train/happy"])
def test_boxes_of_voc_in_class_folders_are_faces_and_not_their_photos(tmp_path, place):
    source = disk.write_voc(tmp_path / "set", place.format(kind="annotations"), place.format(kind="images"))
    disk.write_photo(source / place.format(kind="images").replace("happy", "sad") / "d.jpg", 1)
    dataset, summary = import_dataset(source, tmp_path / "out.parquet")
    assert (summary.layout, len(dataset), dataset.labels) == ("voc", 3, ("angry", "happy"))


def test_polygons_and_scores_of_yolo(tmp_path):
    source = disk.write_yolo(tmp_path / "set")
    lines = [
        "0 0.25 0.25 0.5 0.25 0.5 0.75",
        "1 0.5 0.1 0.75 0.2 0.9 0.5 0.75 0.8 0.5 0.9 0.25 0.8 0.1 0.5",  # seven corners
        "1 0.5 0.5 0.5 0.5 0.9",
        "1 0.5 0.5 0.5 0.5 0.4 0.4 0.6 0.4 0.5 0.5 0.4 0.6 0.6 0.6",  # five landmarks
    ]
    (source / "valid" / "labels" / "c_jpg.rf.1.txt").write_text("\r\n".join(lines))
    dataset, _ = import_dataset(source, tmp_path / "out.parquet")
    assert [box for split, _, box in faces_of(dataset) if split == "validation"] == [
        (24, 20, 48, 60), (9.6, 8, 86.4, 72), (24, 20, 72, 60), (24, 20, 72, 60),
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["1 48 40 10 10", "x 0.5 0.5 0.1 0.1", "1 0.5 0.5", "7 0.5 0.5 0.1 0.1"])
def test_damaged_lines_of_yolo_cost_only_themselves(tmp_path, line):
    source = disk.write_yolo(tmp_path / "set")
    listing = source / "train" / "labels" / "a_jpg.rf.1.txt"
    listing.write_text(line + "\n" + listing.read_text())
    with pytest.raises(InputError, match=r"a_jpg\.rf\.1\.txt line 1: .*expected"):
        import_dataset(source, tmp_path / "out.parquet")
    dataset, summary = import_dataset(source, tmp_path / "out.parquet", on_error="skip")
    assert faces_of(dataset) == FACES
    assert [error.source for error in summary.damaged] == ["train/labels/a_jpg.rf.1.txt line 1"]


def test_boxes_of_yolo_that_are_in_pixels_are_told(tmp_path):
    """That the layout was not recognised told nothing."""
    source = disk.write_yolo(tmp_path / "set")
    for listing in source.rglob("*/labels/*.txt"):
        listing.write_text("1 48 40 10 10\n")
    with pytest.raises(InputError, match=r"line 1: '1 48 40 10 10'; expected .* in shares of the photo"):
        import_dataset(source, tmp_path / "out.parquet")


def test_label_files_of_yolo_without_a_photo_or_without_text_are_named(tmp_path):
    source = disk.write_yolo(tmp_path / "set")
    labels = source / "train" / "labels"
    (labels / "b_jpg.rf.1.txt").write_bytes(b"\xff\xfe\xff")
    (labels / "d.txt").write_text("0 0.5 0.5 0.1 0.1")
    (labels / "e.txt").write_text("")
    (labels / "classes.txt").write_text("Anger\nhappiness\nsad\n")
    dataset, summary = import_dataset(source, tmp_path / "out.parquet", on_error="skip")
    assert faces_of(dataset) == FACES
    assert [str(error).split(";")[0] for error in summary.damaged] == [
        f"{labels / 'b_jpg.rf.1.txt'}: is no text",
        "train/labels/d.txt: no photo of this name in images/",
    ]


def test_damaged_parts_of_coco_and_voc_cost_only_themselves(tmp_path):
    source = disk.write_coco(tmp_path / "coco")
    listing = source / "valid" / "_annotations.coco.json"
    values = json.loads(listing.read_text())
    own = values["annotations"][0]
    values["annotations"] += [{**own, "image_id": 9}, {**own, "bbox": [1, 2]}, {**own, "category_id": 77}, "?"]
    values["annotations"] += [{**own, "iscrowd": 1}]
    listing.write_text(json.dumps(values))
    dataset, summary = import_dataset(source, tmp_path / "out.parquet", on_error="skip")
    assert faces_of(dataset) == FACES
    assert [error.source for error in summary.damaged] == [
        f"valid/_annotations.coco.json annotation {number}" for number in (1, 4, 2, 3)
    ]
    assert "is of category_id 77; the file's categories are 0 (emotions), 1 (Anger)" in str(summary.damaged[3])
    assert "1 row left out as crowds or difficult ones, as their labels say" in summary.excluded_lines()
    source = disk.write_voc(tmp_path / "voc")
    (source / "train" / "d.xml").write_text("<annotation>")
    (source / "valid" / "e.xml").write_text("<annotation><filename>e.jpg</filename></annotation>")
    dataset, summary = import_dataset(source, tmp_path / "out.parquet", on_error="skip")
    assert faces_of(dataset) == FACES
    assert [error.source for error in summary.damaged] == ["train/d.xml", "valid/e.xml"]


def test_a_file_of_coco_that_is_cut_off_is_told(tmp_path):
    """Else its split would be missing, and nobody be told."""
    source = disk.write_coco(tmp_path / "set")
    listing = source / "train" / "_annotations.coco.json"
    whole = listing.read_text()
    listing.write_text(whole[:200])
    with pytest.raises(InputError, match=r"_annotations.coco.json: cannot be read as COCO's JSON"):
        import_dataset(source, tmp_path / "out.parquet")
    listing.write_bytes(whole.encode("utf-16"))
    with pytest.raises(InputError, match="cannot be read as COCO's JSON .*: 'utf-8' codec can't decode") as refused:
        import_dataset(source, tmp_path / "out.parquet")
    assert len(str(refused.value)) < 400, "its bytes are not told"


def test_missing_photos_are_named(tmp_path):
    source = disk.write_coco(tmp_path / "set")
    (source / "valid" / "c.jpg").rename(tmp_path / "c.jpg")
    dataset, summary = import_dataset(source, tmp_path / "out.parquet", on_error="skip")
    assert faces_of(dataset) == FACES[:2]
    assert "no such photo beside the list" in str(summary.damaged[0])
    dataset, summary = import_dataset(
        source / "valid" / "_annotations.coco.json", tmp_path / "out.parquet", images=tmp_path
    )
    assert faces_of(dataset) == FACES[2:]


def test_unknown_classes(tmp_path):
    source = disk.write_yolo(tmp_path / "set", names="names: [Anger, content, sad]")
    listing = source / "train" / "labels" / "b_jpg.rf.1.txt"
    listing.write_text(disk.yolo_line("sad", (0, 0, 48, 40)))
    with pytest.raises(InputError, match="unknown class name 'content'.*; expected a spelling of"):
        import_dataset(source, tmp_path / "out.parquet")
    dataset, summary = import_dataset(source, tmp_path / "out.parquet", on_error="skip")
    assert (dataset.labels, len(dataset), summary.damaged_rows) == (("angry", "sad"), 2, 2)
    dataset, _ = import_dataset(source, tmp_path / "out.parquet", classes="content=happy,anger=angry")
    assert faces_of(dataset) == [*FACES[:2], ("train", "sad", (0, 0, 48, 40)), FACES[2]]
    dataset, _ = import_dataset(
        disk.write_yolo(tmp_path / "own", names="names: [Engaged, Bored, no]"), tmp_path / "out.parquet"
    )
    assert dataset.labels == ("bored", "engaged")


def test_classes_that_only_have_numbers(tmp_path):
    source = disk.write_yolo(tmp_path / "set")
    (source / "data.yaml").unlink()
    with pytest.raises(InputError, match=r"have no known names \(0, 1\); say in their order"):
        import_dataset(source, tmp_path / "out.parquet")
    dataset, _ = import_dataset(source, tmp_path / "out.parquet", classes="angry,happy,sad")
    assert faces_of(dataset) == FACES
    (source / "classes.txt").write_text("Anger\r\nhappiness\r\nsad\r\n")
    assert faces_of(import_dataset(source, tmp_path / "out.parquet")[0]) == FACES


def test_faces_without_expressions_are_for_detectors(tmp_path):
    source = disk.write_yolo(tmp_path / "set", names="names: [face, Face, Human faces]")
    with pytest.raises(InputError, match="'mien data photos' reads such photos, for detectors"):
        import_dataset(source, tmp_path / "out.parquet")


@pytest.mark.parametrize(
    ("names", "problem"),
    [("names: [a", "cannot be read as YAML"), ("names: Anger", "no form that is known"), ("names: {0: [a]}", "form")],
)
def test_names_that_cannot_be_read(tmp_path, names, problem):
    with pytest.raises(InputError, match=f"data.yaml.*{problem}"):
        import_dataset(disk.write_yolo(tmp_path / "set", names=names), tmp_path / "out.parquet")


def test_names_need_a_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r'Reading data.yaml needs the library .* pip install "mien\[data\]"'):
        import_dataset(disk.write_yolo(tmp_path / "set"), tmp_path / "out.parquet")


def test_names_of_the_folder_of_one_split_lie_beside_it(tmp_path):
    source = disk.write_yolo(tmp_path / "set")
    assert [face[1:] for face in faces_of(import_dataset(source / "valid", tmp_path / "out.parquet")[0])] == [
        FACES[2][1:]
    ]


def test_photos_that_lie_on_their_side(tmp_path):
    """YOLO's shares are of the photo as it is shown."""
    source = disk.write_yolo(tmp_path / "set")
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, 6, 0, 0)
    data = disk.photo(ord("c"))
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    (source / "valid" / "images" / "c_jpg.rf.1.jpg").write_bytes(turned)
    dataset, _ = import_dataset(source, tmp_path / "out.parquet")
    shares = np.array(FACES[2][2]) / [96, 80, 96, 80]
    assert np.allclose(dataset.column("box_xyxy")[2], shares * [80, 96, 80, 96])


@pytest.mark.parametrize("write", [disk.write_yolo, disk.write_coco, disk.write_voc, disk.write_expw])
def test_faces_are_sent_to_other_processes(tmp_path, write):
    """Those that read for a training are started anew, with what is to be read."""
    faces = pickle.loads(pickle.dumps(open_training(write(tmp_path / "set"))))
    expected = [(80, 70), (88, 80)] if write is disk.write_expw else [(40, 32), (40, 40)]
    assert [image.shape for image in faces.images(np.arange(2))] == expected


def test_other_folders_are_not_taken_for_boxes(tmp_path):
    """Class folders with the files of some tool in them stay class folders."""
    own = disk.write_folders(tmp_path / "own", ["train"], ["engaged", "bored"])
    (own / "train" / "labels").mkdir()
    (own / "train" / "labels" / "notes.txt").write_text("who is in it\n")
    (own / "train" / "engaged" / "settings.xml").write_text("<project></project>")
    (own / "settings.json").write_text(json.dumps({"images": ["a"], "name": "b"}))
    assert find_layout(own).name == "own-folders"
    for name in ("folders", "table"):
        source = tmp_path / name
        if name == "folders":
            disk.write_folders(source, ["train"], ["happy", "sad"])
        else:
            source.mkdir()
            disk.write_table(source / "train.csv", ["happy", "sad"])
        disk.write_yolo(source)
        disk.write_coco(source)
        disk.write_voc(source)
        assert find_layout(source).name == name


def test_names_that_are_not_utf8_are_read(tmp_path):
    source = disk.write_yolo(tmp_path / "set")
    name = os.fsdecode(b"caf\xe9")
    try:
        (source / "valid" / "images" / "c_jpg.rf.1.jpg").rename(source / "valid" / "images" / f"{name}.jpg")
    except OSError:
        pytest.skip("no such names here")
    (source / "valid" / "labels" / "c_jpg.rf.1.txt").rename(source / "valid" / "labels" / f"{name}.txt")
    assert faces_of(import_dataset(source, tmp_path / "out.parquet")[0]) == FACES


def test_tables_with_boxes(tmp_path):
    """As Roboflow writes them: the boxes were passed over, and each whole photo was a face."""
    for split, photos in disk.BOXED.items():
        rows = [
            f"{name}.jpg,96,80,{label},{','.join(map(str, box))}\n" for name, faces in photos for label, box in faces
        ]
        for name, _ in photos:
            disk.write_photo(tmp_path / "set" / split / f"{name}.jpg", ord(name))
        (tmp_path / "set" / split / "_annotations.csv").write_text(
            "filename,width,height,class,xmin,ymin,xmax,ymax\n" + "".join(rows)
        )
    dataset, summary = import_dataset(tmp_path / "set", tmp_path / "out.parquet")
    assert (summary.layout, faces_of(dataset)) == ("table", FACES)
    table = tmp_path / "set" / "valid" / "_annotations.csv"
    dataset, _ = import_dataset(table, tmp_path / "out.parquet")
    assert [face[2] for face in faces_of(dataset)] == [FACES[2][2]]
    table.write_text(table.read_text().replace(",10,", ",ten,"))
    with pytest.raises(InputError, match=r"row 0 \(line 2\): box ten, 20, 50, 60; expected numbers in xmin, ymin"):
        import_dataset(table, tmp_path / "out.parquet")
