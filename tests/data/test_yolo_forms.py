"""YOLO's labels as LabelImg, Darknet, CVAT and Roboflow write them: beside the photos, with lists of splits."""

import pytest

from mien.data import import_dataset
from mien.data.layouts import find_layout
from mien.data.photos import import_photos
from mien.errors import InputError
from tests.data import layouts_on_disk as disk
from tests.data.test_boxed import FACES, faces_of

NAMES = "\n".join(disk.BOXED_CLASSES) + "\n"


def write_beside(root, place="{split}", names="classes.txt", lists=""):
    """Labels beside their photos; `lists` is where a list says that a photo is."""
    for split, name, faces in ((split, *photo) for split, photos in disk.BOXED.items() for photo in photos):
        image = disk.write_photo(root / place.format(split=split) / f"{name}.jpg", ord(name))
        image.with_suffix(".txt").write_text("\n".join(disk.yolo_line(label, box) for label, box in faces))
        if lists:
            with (root / f"{split}.txt").open("a") as told:
                told.write(f"{lists.format(split=split, name=name)}\n")
    (root / names).parent.mkdir(exist_ok=True)
    (root / names).write_text(NAMES)
    return root


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (".", {}),  # LabelImg in folders of splits
        (".", {"place": ".", "lists": "C:\\Users\\me\\faces\\{name}.jpg"}),  # in one folder
        (".", {"place": "obj_{split}_data", "names": "obj.names", "lists": "data/obj_{split}_data/{name}.jpg"}),  # CVAT
        ("..", {"place": "obj_train_data", "names": "obj.names", "lists": "data/obj_train_data/{name}.jpg"}),
        (".", {"place": "data/obj", "names": "data/obj.names", "lists": "/content/darknet/data/obj/{name}.jpg"}),
        ("obj", {"place": "obj", "names": "obj.names", "lists": "data/obj/{name}.jpg"}),
        (".", {"names": "train/_darknet.labels"}),  # Roboflow
    ],
)
def test_labels_beside_their_photos(tmp_path, given, options):
    root = write_beside(tmp_path / "sets" / "set", **options)
    if "_darknet" in options.get("names", ""):
        (root / "valid" / "_darknet.labels").write_text(NAMES)
    (root / "README.txt").write_text("5 photos\n")
    dataset, summary = import_dataset(root / given, tmp_path / "out.parquet")
    assert (summary.layout, faces_of(dataset)) == ("yolo", FACES)
    assert summary.excluded_lines() == ["1 file left out for having no box"]
    found, _ = import_photos(root / given, tmp_path / "photos.parquet")
    assert sorted((photo.split, len(photo.box_xyxy)) for photo in found.photos()) == [
        ("train", 0), ("train", 2), ("validation", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["{split}/{kind}/{name}", "{kind}/{split}/{name}", "{split}/{name}/{kind}"])
def test_boxes_in_class_folders_are_faces_and_not_their_photos(tmp_path, place):
    """They were read as class folders of whole photos."""
    for split in ("train", "val"):
        for number, name in enumerate(("happy", "sad")):
            disk.write_photo(tmp_path / "set" / place.format(split=split, name=name, kind="images") / "a.jpg", number)
            labels = tmp_path / "set" / place.format(split=split, name=name, kind="labels")
            labels.mkdir(parents=True)
            (labels / "a.txt").write_text(f"{1 - number} 0.5 0.5 0.5 0.5\n")
    (tmp_path / "set" / "data.yaml").write_text("names: [sad, happy]\n")
    dataset, summary = import_dataset(tmp_path / "set", tmp_path / "out.parquet")
    box = (24, 20, 72, 60)
    assert summary.layout == "yolo"
    assert sorted(faces_of(dataset)) == [
        (split, name, box) for split in ("train", "validation") for name in ("happy", "sad")
    ]
    (tmp_path / "set" / "data.yaml").unlink()
    with pytest.raises(InputError, match=r"have no known names \(0, 1\).*--layout folders takes the names of the fold"):
        import_dataset(tmp_path / "set", tmp_path / "out.parquet")


def test_a_single_box_beside_photos_in_class_folders(tmp_path):
    source = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    (source / "train" / "sad" / "im0.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    with pytest.raises(InputError, match="have no known names.*--layout folders takes the names of the folders"):
        import_dataset(source, tmp_path / "out.parquet")
    dataset, summary = import_dataset(source, tmp_path / "out.parquet", layout="folders")
    assert (len(dataset), summary.excluded_lines()) == (4, ["1 file left out for the ending .txt"])


def test_each_folder_has_names_of_its_own(tmp_path):
    """As LabelImg writes them, in the order in which the classes were first used there."""
    for folder, names in (("a", "happy\nsad\n"), ("b", "sad\nhappy\n")):
        image = disk.write_photo(tmp_path / "set" / folder / "1.jpg", ord(folder))
        image.with_suffix(".txt").write_text("0 0.5 0.5 0.5 0.5\n")
        (image.parent / "classes.txt").write_text(names)
    dataset, _ = import_dataset(tmp_path / "set", tmp_path / "out.parquet")
    assert [dataset.labels[label] for label in dataset.label] == ["happy", "sad"]


def test_splits_that_only_data_yaml_names(tmp_path):
    for folder in ("first", "second"):
        image = disk.write_photo(tmp_path / "set" / folder / "images" / "1.jpg", len(folder))
        labels = tmp_path / "set" / folder / "labels"
        labels.mkdir()
        (labels / "1.txt").write_text(f"{len(folder) - 5} 0.5 0.5 0.5 0.5\n")
        assert image.is_file()
    (tmp_path / "set" / "data.yaml").write_text(
        "path: ../datasets/faces\ntrain: ../first/images\nval: [second/images]\ntest:\nnames: [happy, sad]\n"
    )
    dataset, _ = import_dataset(tmp_path / "set", tmp_path / "out.parquet")
    assert [(split, label) for split, label, _ in faces_of(dataset)] == [("train", "happy"), ("validation", "sad")]


def test_texts_beside_photos_that_are_no_boxes(tmp_path):
    """Points of the face, captions, action units, the class as a vector, shares that fit into no photo."""
    texts = ["12.5 30 33 31 22 44", "5 persons smile", "1 0 0 1 0 1 0 0", "0 0 0 1 0 0 0", "0 0.1 0.2 0.3 0.4 0.5"]
    source = disk.write_folders(tmp_path / "set", ["train"], ["happy", "sad"])
    image = source / "train" / "happy" / "im0.png"
    for number, text in enumerate(texts):
        image.with_name(f"n{number}.png").write_bytes(image.read_bytes())
        image.with_name(f"n{number}.txt").write_text(text)
    assert find_layout(source).name == "folders"


def test_boxes_without_a_photo_beside_them(tmp_path):
    source = write_beside(tmp_path / "set")
    (source / "train" / "a.jpg").unlink()
    with pytest.raises(InputError, match=r"train/a\.txt: no photo of this name beside it"):
        import_dataset(source, tmp_path / "out.parquet")
