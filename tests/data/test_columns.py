"""Tables and Parquet whose columns have names that nobody knows."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.data import import_dataset
from mien.data.faces import open_faces
from mien.errors import InputError, UsageError
from tests.data import layouts_on_disk as disk

NAMED = {"image_column": "Photo", "label_column": "mood of 2024", "split_column": "part"}
ROWS = [("a.png", "Anger", "train"), ("b.png", "happy", "val"), ("c.png", "happy", "train")]
EXPECTED = [("train", "angry"), ("validation", "happy"), ("train", "happy")]


def photos_in(folder):
    folder.mkdir()
    for seed, (name, _, _) in enumerate(ROWS):
        (folder / name).write_bytes(disk.jpeg(seed, extension=".png"))
    return folder


def write_csv(folder, mark=","):
    lines = [mark.join(("id", "photo", "Mood of 2024", "Part")), *(mark.join(("7", *row)) for row in ROWS)]
    return _written(photos_in(folder) / "table.csv", "\n".join(lines))


def write_json(folder):
    rows = [{"id": 7, "photo": name, "mood of 2024": mood, "part": part} for name, mood, part in ROWS]
    return _written(photos_in(folder) / "table.jsonl", "\n".join(map(json.dumps, rows)))


def write_parquet(folder, paths=False):
    photos_in(folder)
    images = [name if paths else (folder / name).read_bytes() for name, _, _ in ROWS]
    values = {"id": [7, 7, 7], "Photo": images, "mood of 2024": [row[1] for row in ROWS], "part": [r[2] for r in ROWS]}
    pq.write_table(pa.table(values), folder / "table.parquet")
    return folder / "table.parquet"


def _written(path, text):
    path.write_text(text)
    return path


def rows_of(dataset):
    return list(zip(dataset.split.tolist(), (dataset.labels[n] for n in dataset.label), strict=True))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    "write",
    [write_csv, lambda folder: write_csv(folder, ";"), write_json, write_parquet, lambda f: write_parquet(f, True)],
)
def test_columns_that_are_named(tmp_path, write, whole):
    source = write(tmp_path / "set")
    source = source.parent if whole else source
    dataset, _ = import_dataset(source, tmp_path / "out.parquet", **NAMED)
    assert rows_of(dataset) == EXPECTED
    assert dataset.info.history[0]["columns"] == {"image": "Photo", "label": "mood of 2024", "split": "part"}
    for name in NAMED:
        flag = name.replace("_", "-")
        with pytest.raises(
            UsageError, match=f"(?i)--{flag} is rating; .* has the columns id, photo, mood of 2024, part$"
        ):
            import_dataset(source, tmp_path / "out.parquet", **{**NAMED, name: "rating"})


def test_columns_that_are_not_named(tmp_path):
    """It was only said how the table starts."""
    table = write_csv(tmp_path / "set")
    named = (
        "a table with the columns id, photo, mood of 2024, part; 'mien data import --image-column NAME --label-column"
    )
    for call in (open_faces, lambda path: import_dataset(path, tmp_path / "out.parquet")):
        with pytest.raises(InputError, match=named):
            call(table)
    (table.parent / "bare.csv").write_text("a.png,Anger\nb.png,happy\n")
    with pytest.raises(InputError, match="a table without a header; put a line with .* above 'a.png,Anger'"):
        open_faces(table.parent / "bare.csv")
    (table.parent / "fer.csv").write_text(f"3,{'128 ' * 2304},Training\n")
    with pytest.raises(
        InputError, match=r"a table without a header; put a line with .{,120} above '3,128 128"
    ) as refused:
        open_faces(table.parent / "fer.csv")
    assert len(str(refused.value)) < 800, "its pixels are not told"
    (table.parent / "excel.csv").write_text("sep=;\npath;label\na.png;happy\n")
    with pytest.raises(InputError, match="its first line, 'sep=;', is for a spreadsheet; remove it"):
        open_faces(table.parent / "excel.csv")
    (table.parent / "table.xlsx").write_bytes(b"PK\3\4")
    with pytest.raises(InputError, match="a spreadsheet; save it as 'CSV UTF-8'"):
        open_faces(table.parent / "table.xlsx")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["Image Path", "image-path", "ImagePath"])
def test_known_columns_in_other_spellings(tmp_path, name, encoding):
    """With blanks they were not known; line ends and names of images are as on Windows, where a.PNG is a.png."""
    photos = photos_in(tmp_path / "set")
    lines = [f"{name};Class Name;Split", *(f"{file[0]}.PNG;{mood};{part}" for file, mood, part in ROWS)]
    (photos / "table.csv").write_bytes("\r\n".join(lines).encode(encoding))
    dataset, _ = import_dataset(photos, tmp_path / "out.parquet")
    assert rows_of(dataset) == EXPECTED
    assert (dataset.images(48)[0] != dataset.images(48)[1]).any(), "each row has its own picture"


def test_a_folder_says_why_its_table_is_none(tmp_path):
    """It was only said which files are in it."""
    table = write_csv(tmp_path / "set")
    named = r"table.csv is a table with the columns id, photo, mood of 2024, part; .* --image-column NAME"
    with pytest.raises(InputError, match=named):
        import_dataset(table.parent, tmp_path / "out.parquet")
    table.write_bytes("Größe;Gefühl".encode("cp1252"))
    with pytest.raises(InputError, match="table.csv is a file that is not UTF-8"):
        import_dataset(table.parent, tmp_path / "out.parquet")
    one = disk.write_folders(tmp_path / "one", [""], ["happy"])
    with pytest.raises(InputError, match="of class folders there is one, happy/, and there must be two at least"):
        import_dataset(one, tmp_path / "out.parquet")


@pytest.mark.parametrize("labels", [["happy", None, "sad"], [1.0, None, 0.0], [1.0, float("nan"), 0.0]])
def test_parquet_rows_without_a_label(tmp_path, labels):
    """``None`` was called a wrong number, also among names."""
    table = pa.table({"image": [disk.jpeg(seed) for seed in range(3)], "label": pa.array(labels)})
    pq.write_table(table, tmp_path / "in.parquet")
    classes = None if isinstance(labels[0], str) else "sad,happy"
    _, summary = import_dataset(tmp_path / "in.parquet", tmp_path / "out.parquet", classes=classes, on_error="skip")
    assert [(error.source, error.problem) for error in summary.damaged] == [
        ("in.parquet row 1", "no label; expected one of happy, sad")
    ]


def test_a_known_column_beside_one_that_is_named(tmp_path):
    """The number of a class was taken, not its name."""
    photos_in(tmp_path / "set")
    lines = ["path,label,feeling", *(f"{name},{number},{mood}" for number, (name, mood, _) in enumerate(ROWS))]
    table = _written(tmp_path / "set" / "table.csv", "\n".join(lines))
    dataset, _ = import_dataset(table, tmp_path / "out.parquet", label_column="feeling")
    assert [label for _, label in rows_of(dataset)] == ["angry", "happy", "happy"]


def test_pixels_in_a_column_that_is_named(tmp_path):
    lines = [f"{number},{disk.pixel_text(disk.pattern(number))}" for number in (0, 1, 1)]
    table = _written(tmp_path / "table.csv", "target,face\n" + "\n".join(lines))
    named = {"image_column": "face", "label_column": "target"}
    dataset, _ = import_dataset(table, tmp_path / "out.parquet", **named, classes="engaged,bored")
    assert (dataset.images(48) == [disk.pattern(number) for number in (0, 1, 1)]).all()
    assert [label for _, label in rows_of(dataset)] == ["engaged", "bored", "bored"]
    with pytest.raises(InputError, match="unknown class name '0'.*--classes"):
        import_dataset(table, tmp_path / "out.parquet", **named)


@pytest.mark.parametrize("kind", ["folders", "table", "parquet", "yolo"])
def test_numbers_that_stand_for_classes_of_ones_own(tmp_path, kind):
    """Only expressions could be named."""
    if kind == "folders":
        source = disk.write_folders(tmp_path / "set", ["train"], ["0", "1"])
    elif kind == "table":
        source = disk.write_table(tmp_path / "set.csv", ["0", "1"])
    elif kind == "yolo":
        source = disk.write_yolo(tmp_path / "set")
        (source / "data.yaml").unlink()
    else:
        source = tmp_path / "set.parquet"
        pq.write_table(pa.table({"image": [disk.jpeg(0), disk.jpeg(1)], "label": [0, 1]}), source)
    dataset, _ = import_dataset(source, tmp_path / "out.parquet", classes="neutral,Drowsy,yawning")
    assert {label for _, label in rows_of(dataset)} == {"neutral", "drowsy"}


def test_columns_of_a_layout_that_has_none(tmp_path):
    source = disk.write_fer2013(tmp_path / "fer2013.csv")
    with pytest.raises(UsageError, match="--label-column and --split-column is for parquet, table"):
        import_dataset(source, tmp_path / "out.parquet", layout="fer2013", label_column="emotion")
