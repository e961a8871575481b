from __future__ import annotations

import json
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.data import Dataset
from mien.data.photos import Photo, PhotoDataset, import_photos, write_photos
from mien.data.photos.change import darken, tilted_box
from mien.data.photos.importer import choose_photos
from mien.data.photos.sources import LAYOUTS
from mien.errors import InputError, UsageError


def jpeg(seed: int, size_wh: tuple[int, int] = (64, 48)) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    image = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".png", image)[1].tobytes()


def photo(number: int, source: str = "a", faces: int = 1) -> Photo:
    landmarks = np.full((faces, 5, 2), np.nan, np.float32)
    landmarks[:1] = np.arange(10).reshape(5, 2)
    return Photo(
        jpeg(number),
        f"{source}/{number}",
        source,
        box_xyxy=np.tile(np.asarray([[5, 6, 25, 30]], np.float32), (faces, 1)),
        landmarks_xy=landmarks,
        box_from=("label",) * faces,
        landmarks_from=("teacher",) * faces,
        ignore_xyxy=np.asarray([[40, 0, 50, 9]], np.float32),
        ignore_score=np.asarray([0.5], np.float32),
        ignore_landmarks_xy=np.full((1, 5, 2), np.nan, np.float32),
    )


def test_the_form_keeps_everything(tmp_path: Path) -> None:
    photos = [photo(0, faces=2), photo(1, faces=0), photo(2)]
    dataset = write_photos(tmp_path / "p.parquet", photos, {"step": "test"})
    assert len(dataset) == 3
    assert dataset.info["step"] == "test"
    for before, after in zip(photos, dataset.photos(), strict=True):
        assert (before.image, before.name, before.source, before.split) == (
            after.image,
            after.name,
            after.source,
            after.split,
        )
        for name in ("box_xyxy", "landmarks_xy", "ignore_xyxy", "ignore_score", "ignore_landmarks_xy"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
        assert (before.box_from, before.landmarks_from) == (after.box_from, after.landmarks_from)


def test_large_photos_are_stored_a_few_at_a_time(tmp_path: Path) -> None:
    """256 photos of 9 MB were written, and could not be read."""
    image = bytes(30 << 20)
    dataset = write_photos(tmp_path / "out.parquet", (Photo(image, str(number)) for number in range(7)), {})
    assert [len(own.image) for own in dataset.photos()] == [len(image)] * 7
    groups = pq.ParquetFile(tmp_path / "out.parquet").metadata
    assert [groups.row_group(group).num_rows for group in range(groups.num_row_groups)] == [3, 3, 1]


def test_a_name_that_is_not_utf8_becomes_an_escape(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    dataset = write_photos(tmp_path / "p.parquet", [Photo(jpeg(0), f"{name}.jpg", name)], {"source": name})
    assert [(own.name, own.source) for own in dataset.photos()] == [("caf\\udce9.jpg", "caf\\udce9")]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        PhotoDataset(tmp_path / "none.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="mien data photos"):
        PhotoDataset(tmp_path / "other.parquet")
    assert not PhotoDataset.is_one(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        PhotoDataset(tmp_path / "text.parquet")
    dataset = write_photos(tmp_path / "p.parquet", [photo(0)], {})
    with pytest.raises(InputError, match="holds photos with face boxes, for detectors"):
        Dataset(tmp_path / "p.parquet")
    with pytest.raises(InputError, match="no split 'test'"):
        list(dataset.photos("test"))


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(seed))


def test_wider_lists(tmp_path: Path) -> None:
    save(tmp_path / "0--Parade" / "a.png", 0)
    save(tmp_path / "0--Parade" / "b.png", 1)
    save(tmp_path / "0--Parade" / "c.png", 2)
    (tmp_path / "wider_face_val_bbx_gt.txt").write_text(
        "0--Parade/a.png\n3\n10 12 20 24 0 0 0 0 0 0\n1 2 9 9 0 0 0 1 0 0\n3 3 1 1 0 0 0 0 0 0\n"
        "0--Parade/b.png\n0\n0 0 0 0 0 0 0 0 0 0\n0--Parade/c.png\n1\n5 5 10 10\n"
    )
    a, b, c = LAYOUTS["wider"](tmp_path / "wider_face_val_bbx_gt.txt")
    np.testing.assert_array_equal(a.box_xyxy, [[10, 12, 30, 36]])
    np.testing.assert_array_equal(a.ignore_xyxy, [[1, 2, 10, 11], [3, 3, 4, 4]])
    assert (a.split, a.source, len(b.box_xyxy), len(b.ignore_xyxy)) == ("validation", "0--Parade", 0, 0)
    np.testing.assert_array_equal(c.box_xyxy, [[5, 5, 15, 15]])


def test_wider_face_as_its_archives_are_unpacked(tmp_path: Path) -> None:
    save(tmp_path / "WIDER_val" / "images" / "0--Parade" / "a b.png", 0)
    listing = tmp_path / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    listing.parent.mkdir()
    listing.write_text("0--Parade/a b.png\n1\n10 12 20 24 0 0 0 0 0 0\n")
    (photo,) = LAYOUTS["wider"](listing)
    assert isinstance(photo, Photo)
    assert (photo.name, photo.split) == ("0--Parade/a b.png", "validation")


def test_yolo_photos_of_every_kind_of_image_are_read(tmp_path: Path) -> None:
    for number, suffix in enumerate((".tif", ".gif", ".JPG")):
        save(tmp_path / "images" / f"{number}{suffix}", number)
    (tmp_path / "labels").mkdir()
    assert len(list(LAYOUTS["yolo"](tmp_path))) == 3


def test_yolo_photos_behind_a_link_are_read(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "a.png", 0)
    (tmp_path / "set" / "labels" / "val").mkdir(parents=True)
    (tmp_path / "set" / "labels" / "val" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "set" / "images").mkdir()
    try:
        (tmp_path / "set" / "images" / "val").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    (photo,) = LAYOUTS["yolo"](tmp_path / "set")
    assert isinstance(photo, Photo)
    assert (photo.split, len(photo.box_xyxy)) == ("validation", 1)


def test_coco_and_yolo_say_the_same(tmp_path: Path) -> None:
    save(tmp_path / "coco" / "images" / "a.png", 0)
    (tmp_path / "coco" / "instances_train.json").write_text(
        json.dumps(
            {
                "images": [{"id": 7, "file_name": "a.png"}],
                "annotations": [
                    {"image_id": 7, "bbox": [16, 12, 32, 24]},
                    {"image_id": 7, "bbox": [0, 0, 8, 8], "iscrowd": 1},
                ],
            }
        )
    )
    save(tmp_path / "yolo" / "images" / "val" / "a.png", 0)
    (tmp_path / "yolo" / "labels" / "val").mkdir(parents=True)
    (tmp_path / "yolo" / "labels" / "val" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (coco,) = LAYOUTS["coco"](tmp_path / "coco" / "instances_train.json")
    (yolo,) = LAYOUTS["yolo"](tmp_path / "yolo")
    np.testing.assert_allclose(coco.box_xyxy, [[16, 12, 48, 36]])
    np.testing.assert_allclose(yolo.box_xyxy, coco.box_xyxy)
    np.testing.assert_allclose(coco.ignore_xyxy, [[0, 0, 8, 8]])
    assert (coco.split, yolo.split) == ("train", "validation")


def test_coco_with_folders_of_splits(tmp_path: Path) -> None:
    """As Roboflow writes it."""
    for number, split in enumerate(("valid", "train", "test")):
        save(tmp_path / split / "a.png", number)
        text = json.dumps({"images": [{"id": 0, "file_name": "a.png"}],
                           "annotations": [{"image_id": 0, "bbox": [16, 12, 32, 24]}]})  # fmt: skip
        (tmp_path / split / "_annotations.coco.json").write_text(text)
    dataset, _ = import_photos(tmp_path, tmp_path / "out.parquet")
    assert dataset.split.tolist() == ["train", "test", "validation"]
    assert [photo.image for photo in dataset.photos("test")] == [jpeg(2)]


def test_yolo_with_folders_of_splits_outside(tmp_path: Path) -> None:
    for split in ("valid", "train", "test"):
        save(tmp_path / split / "images" / "a.png", 0)
        (tmp_path / split / "labels").mkdir()
        (tmp_path / split / "labels" / "a.txt").write_text("1 0.5 0.5 0.5 0.5 0.9\n\n")
    dataset, summary = import_photos(tmp_path, tmp_path / "out.parquet")
    assert summary.layout == "yolo"
    assert [(one.split, len(one.box_xyxy)) for one in dataset.photos()] == [
        ("train", 1),
        ("test", 1),
        ("validation", 1),
    ]


@pytest.mark.parametrize(
    "line", ["0 32 24 16 12", "0 0.5 0.5 -0.1 0.1", "0 0.5 nan 0.1 0.1", "0 0.5 0.5", "0 .1 .1 .2 .1 .2 .2 .1"]
)
def test_lines_that_are_no_boxes_of_yolo(tmp_path: Path, line: str) -> None:
    save(tmp_path / "images" / "a.png", 0)
    save(tmp_path / "images" / "b.png", 1)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(line)
    with pytest.raises(InputError, match=r"a\.txt line 1: .*in shares of the photo"):
        import_photos(tmp_path, tmp_path / "out.parquet")
    (tmp_path / "images" / "c.png").write_bytes(b"no image")
    dataset, summary = import_photos(tmp_path, tmp_path / "out.parquet", on_error="skip")
    assert [one.name for one in dataset.photos()] == ["images/b.png"]
    assert [error.source for error in summary.damaged] == ["labels/a.txt line 1", "images/c.png"]


def test_polygons_of_yolo_are_boxed(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", 0)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 .25 .25 .5 .25 .75 .5 .5 .75\n")
    (own,) = LAYOUTS["yolo"](tmp_path)
    assert isinstance(own, Photo)
    assert own.box_xyxy.tolist() == [[16, 12, 48, 36]]


@pytest.mark.parametrize(
    ("name", "text", "faces"),
    [
        ("data.yaml", "train: ../train/images\nnames: ['person', 'Face']\nnc: 2\n", [[48, 0, 64, 12]]),
        (
            "data.yaml",
            "names:\n  0: person\n  1: face # a front\nroboflow:\n  license: x\n",
            [[48, 0, 64, 12]],
        ),
        ("data.yaml", "names:\n- face\n- 'a head'\n\nnc: 2\n", [[16, 12, 48, 36]]),
        ("data.yml", "names: {\n  0: face,\n  1: car\n}\n", [[16, 12, 48, 36]]),
        ("classes.txt", "person\r\nhuman_faces\r\n", [[48, 0, 64, 12]]),
        ("labels/classes.txt", "head\nhelmet\n", [[16, 12, 48, 36], [48, 0, 64, 12]]),
        ("data.yaml", "path: face\n", [[16, 12, 48, 36], [48, 0, 64, 12]]),
    ],
)
def test_only_faces_of_yolo_are_faces(tmp_path: Path, name: str, text: str, faces: list[list[int]]) -> None:
    save(tmp_path / "images" / "a.png", 0)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n1 0.875 0.125 0.25 0.25\n")
    (tmp_path / name).write_text(text)
    (own,) = LAYOUTS["yolo"](tmp_path)
    assert isinstance(own, Photo)
    assert own.box_xyxy.tolist() == faces


def voc(path: Path, name: str, *objects: tuple[str, str], filename: str = "") -> None:
    """An XML file as LabelImg writes it; of each object its name and what else is in it."""
    path.mkdir(parents=True, exist_ok=True)
    text = "".join(
        f"<object><name>{label}</name>{more}<bndbox><xmin>10</xmin><ymin>5</ymin><xmax>30</xmax><ymax>25</ymax>"
        "</bndbox></object>"
        for label, more in objects
    )
    (path / f"{name}.xml").write_text(
        f"<annotation><folder>x</folder><filename>{filename or name + '.png'}</filename>{text}</annotation>"
    )


def test_pascal_voc(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        save(tmp_path / "set" / "JPEGImages" / f"{name}.png", number)
    places = tmp_path / "set" / "Annotations"
    voc(places, "a", ("Human face", ""), ("person", ""), filename="C:\\photos\\old name.png")
    voc(places, "b", ("Face", "<difficult>1</difficult>"))
    voc(places, "c")
    lists = tmp_path / "set" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\r\nc\r\n")
    (lists / "val.txt").write_text("b\n")
    dataset, summary = import_photos(tmp_path / "set", tmp_path / "out.parquet")
    assert summary.layout == "voc"
    assert [(own.name, own.split, len(own.box_xyxy), len(own.ignore_xyxy)) for own in dataset.photos()] == [
        ("JPEGImages/a.png", "train", 1, 0),
        ("JPEGImages/b.png", "validation", 0, 1),
        ("JPEGImages/c.png", "train", 0, 0),
    ]
    assert next(dataset.photos()).box_xyxy.tolist() == [[10, 5, 30, 25]]


def test_voc_beside_the_photos_in_folders_of_splits(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "valid")):
        save(tmp_path / split / "1.JPG", number)
        voc(tmp_path / split, "1", ("head", ""), ("helmet", ""))
    photos = list(LAYOUTS["voc"](tmp_path))
    assert [(own.name, own.split, len(own.box_xyxy)) for own in photos if isinstance(own, Photo)] == [
        ("train/1.JPG", "train", 2), ("valid/1.JPG", "validation", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<annotation>", "cannot be read as XML"),
        ("<project></project>", "starts with <project>; expected <annotation>"),
        ("<annotation><object><name>face</name></object></annotation>", "object 0: expected <bndbox>"),
        (
            "<annotation><object><bndbox><xmin>9</xmin><ymin>1</ymin><xmax>3</xmax><ymax>2</ymax></bndbox></object>"
            "</annotation>",
            "ends before it begins",
        ),
        ("<annotation><filename>1.png</filename></annotation>", "no photo '1.png' beside it"),
    ],
)
def test_damaged_files_of_voc_are_named(tmp_path: Path, text: str, problem: str) -> None:
    save(tmp_path / "a.png", 0)
    voc(tmp_path, "a", ("face", ""))
    if "<object>" in text:
        save(tmp_path / "z.png", 1)
    (tmp_path / "z.xml").write_text(text)
    dataset, summary = import_photos(tmp_path, tmp_path / "out.parquet", on_error="skip")
    assert (len(dataset), summary.layout, summary.damaged_rows) == (1, "voc", 1)
    assert problem in str(summary.damaged[0])


def coco(path: Path, categories: tuple[str, ...] = ("face",), **annotation: object) -> Path:
    """Two photos, named as Windows names files; the first has a box, and two categories take turns."""
    for name in ("a", "b"):
        save(path.parent.parent / path.stem.removeprefix("instances_") / f"{name}.png", ord(name))
    path.parent.mkdir(exist_ok=True)
    box = {"image_id": 0, "bbox": [16, 12, 32, 24], "category_id": 0, **annotation}
    values = {
        "images": [{"id": i, "file_name": f".\\{name}.png"} for i, name in enumerate("ab")],
        "annotations": [box, {**box, "category_id": 1}][: len(categories)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories)],
    }
    path.write_text(json.dumps(values), encoding="utf-8-sig")
    return path


def test_a_folder_as_coco_has_it(tmp_path: Path) -> None:
    coco(tmp_path / "annotations" / "instances_val2017.json")
    coco(tmp_path / "annotations" / "instances_train2017.json")
    dataset, summary = import_photos(tmp_path, tmp_path / "out.parquet")
    assert summary.layout == "coco"
    assert [(one.split, len(one.box_xyxy)) for one in dataset.photos()] == [
        ("train", 1), ("train", 0), ("validation", 1), ("validation", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("categories", "faces"), [(("face", "car"), 1), (("Human face", "Human head"), 1), (("mask", "no mask"), 2)]
)
def test_only_faces_of_coco_are_faces(tmp_path: Path, categories: tuple[str, ...], faces: int) -> None:
    first, _ = LAYOUTS["coco"](coco(tmp_path / "annotations" / "test.json", categories))
    assert isinstance(first, Photo)
    assert (first.split, len(first.box_xyxy)) == ("test", faces)


def test_a_category_of_coco_without_annotations_says_nothing(tmp_path: Path) -> None:
    """Roboflow writes the name of the collection as category 0."""
    path = coco(tmp_path / "annotations" / "test.json", ("masked", "bare"))
    values = json.loads(path.read_text(encoding="utf-8-sig"))
    values["categories"].append({"id": 99, "name": "faces"})
    path.write_text(json.dumps(values))
    first, _ = LAYOUTS["coco"](path)
    assert isinstance(first, Photo)
    assert len(first.box_xyxy) == 2


@pytest.mark.parametrize("annotation", [{"image_id": 9}, {"bbox": [1, 2, 3]}, {"bbox": None}])
def test_damaged_annotations_of_coco_are_named(tmp_path: Path, annotation: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"x\.json annotation 0"):
        import_photos(coco(tmp_path / "annotations" / "x.json", **annotation), tmp_path / "out.parquet")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("list.txt", "a.png\nmany\n", "followed by its faces"),
        ("list.txt", "a.png\n1\n1 2 3 4\n", "no such photo"),
        ("list.txt", "a.png\n2\n1 2 3 4\n", "followed by 1 of its 2 faces"),
        ("list.json", "{}", "COCO"),
        ("list.parquet", "no", "Parquet"),
        ("list.csv", "no", "layout is not recognised"),
    ],
)
def test_damaged_sources_are_named(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=expected):
        import_photos(tmp_path / name, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_dataset_of_faces_is_none_of_photos(tmp_path: Path) -> None:
    """The names were told as Python writes lists."""
    pq.write_table(pa.table({"image": [jpeg(0)], "label": [0]}), tmp_path / "faces.parquet")
    problem = "its columns are image, label, without boxes; expected 'image' and 'boxes'; faces .* 'mien data import'"
    with pytest.raises(InputError, match=problem):
        import_photos(tmp_path / "faces.parquet", tmp_path / "out.parquet")


def test_columns_as_the_training_photos_have_them(tmp_path: Path) -> None:
    rows = {
        "id": ["s/a", "s/b"],
        "source": ["s", "s"],
        "image": [{"bytes": jpeg(0), "path": "a"}, {"bytes": jpeg(1), "path": "b"}],
        "boxes": [[[1, 2, 30, 40]], []],
        "landmarks": [[list(range(10))], []],
        "ignore": [[[0, 0, 5, 5]], []],
        "ignore_scores": [[0.9], []],
        "ignore_landmarks": [[list(range(10))], []],
        "box_from": [["teacher"], []],
        "landmarks_from": [["label"], []],
    }
    pq.write_table(pa.table(rows), tmp_path / "faces.parquet")
    dataset, summary = import_photos(tmp_path / "faces.parquet", tmp_path / "out.parquet", validation=0.5)
    first, _ = dataset.photos()
    assert (first.box_from, first.landmarks_from) == (("teacher",), ("label",))
    np.testing.assert_allclose(first.landmarks_xy[0], np.arange(10).reshape(5, 2))
    np.testing.assert_allclose(first.ignore_score, [0.9])
    assert summary.photos == {"s": {"train": 1, "validation": 1}}
    # The own form is read too, and keeps its splits.
    again, _ = import_photos(tmp_path / "out.parquet", tmp_path / "again.parquet", validation=0.0)
    assert again.split.tolist() == dataset.split.tolist()


def test_a_source_is_never_written_over(tmp_path: Path) -> None:
    write_photos(tmp_path / "in.parquet", [photo(number) for number in range(3)], {})
    before = (tmp_path / "in.parquet").read_bytes()
    with pytest.raises(UsageError, match="is the source itself, which is never changed"):
        import_photos(tmp_path / "in.parquet", tmp_path / "in.parquet")
    assert (tmp_path / "in.parquet").read_bytes() == before


def test_near_copies_stay_together(tmp_path: Path) -> None:
    photos = [photo(number) for number in range(40)]
    # Every second photo comes again, recompressed.
    for number in range(0, 40, 2):
        image = cv2.imdecode(np.frombuffer(jpeg(number), np.uint8), cv2.IMREAD_COLOR)
        again = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()
        photos.append(Photo(again, f"again/{number}", "b"))
    write_photos(tmp_path / "in.parquet", photos, {})
    dataset, summary = import_photos(tmp_path / "in.parquet", tmp_path / "out.parquet", validation=0.2)
    assert summary.copies == 20
    side = dict(zip((own.name for own in dataset.photos()), dataset.split.tolist(), strict=True))
    assert all(side[f"a/{number}"] == side[f"again/{number}"] for number in range(0, 40, 2))
    assert set(side.values()) == {"train", "validation"}


@given(st.integers(0, 2**31), st.floats(0.05, 0.5), st.integers(2, 60))
def test_the_choice_is_a_share_of_every_source_and_takes_groups_whole(seed: int, share: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    sources = rng.choice(["a", "b"], count).tolist()
    groups = rng.integers(0, count, count)
    chosen = choose_photos(sources, groups, share, seed)
    np.testing.assert_array_equal(chosen, choose_photos(sources, groups, share, seed))
    for group in np.unique(groups):
        assert len(set(chosen[groups == group].tolist())) == 1
    largest = int(np.bincount(groups).max())
    for name in set(sources):
        own = np.asarray(sources) == name
        wanted = round(share * own.sum())
        assert chosen[own].sum() >= wanted - largest
        if name == "a":  # the other gets what groups bring along that this one began
            assert chosen[own].sum() <= max(2 * wanted, own.sum() / 2 if wanted else 0)


def test_a_group_that_is_larger_than_the_share_stays_in_training() -> None:
    groups = np.array([0] * 19 + [1])
    for seed in range(20):
        assert choose_photos(["clip"] * 20, groups, 0.1, seed).tolist() == [False] * 19 + [True]
    assert choose_photos(["clips"] * 20, np.repeat([0, 1], 10), 0.1, 0).sum() == 10, "one of two is the least there is"


def test_many_photos_of_many_sources_take_no_minutes() -> None:
    start_s = time.process_time()
    chosen = choose_photos([f"clip {row % 5000}" for row in range(100_000)], np.arange(100_000), 0.1, 0)
    assert chosen.sum() == 10_000
    assert time.process_time() - start_s < 20


def test_a_source_of_copies_alone_stays_in_training() -> None:
    assert not choose_photos(["clip"] * 30, np.zeros(30, np.int64), 0.1, 0).any()


def test_a_tilted_box_is_that_of_the_turned_ellipse() -> None:
    box = np.asarray([[10, 20, 30, 60]], np.float32)
    turn = np.asarray([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(tilted_box(box, turn), [[-60, 10, -20, 30]], atol=1e-4)
    circle = np.asarray([[0, 0, 10, 10]], np.float32)
    c = np.sqrt(0.5)
    np.testing.assert_allclose(tilted_box(circle, np.asarray([[c, -c, 0], [c, c, 0]]))[0, 2:] - (0, 5 * 2 * c),
                               [5, 5], atol=1e-4)  # fmt: skip


def test_low_light_takes_light_and_adds_noise() -> None:
    image = np.full((64, 64), 200, np.uint8)
    dark = darken(image, np.random.default_rng(0), 0.2)
    assert abs(float(dark.mean()) - 40) < 2
    assert dark.std() > 0.5


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="validation"):
        import_photos("x", "y.parquet", validation=0.9)
