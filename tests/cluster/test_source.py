"""What a person names, and what of it gets into the plan; from this machine, from memory://, and from a web server."""

import base64
import csv
import io
import ntpath
import os
import socket
import tarfile
from pathlib import PureWindowsPath
from types import SimpleNamespace

import fsspec
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

from mien.cluster import destination
from mien.cluster import source as listed
from mien.cluster.load import load_images
from mien.cluster.options import BatchOptions
from mien.cluster.source import Source, cut_parts, list_sources
from mien.errors import InputError, MienWarning, UsageError
from mien.source import VideoSource
from mien.source.name import A_PIPE
from tests.clips import LIVE_CLIP


def plan(address, **options):
    return list(list_sources(str(address), BatchOptions(**options)))


def load(address, **options):
    """Key and bytes of everything that an address names."""
    chosen = BatchOptions(**options)
    found = []
    for part in cut_parts(list_sources(str(address), chosen), chosen.part_size):
        found += load_images(part, 10.0, 0, chosen.column, chosen.key_column)
    return {image.key: image.error or image.data for image in found}


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def tar_bytes(members, mode="w"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def test_a_folder_gives_its_photos_in_order_with_keys_below_it(album):
    (album / "@eaDir").mkdir()
    (album / "@eaDir" / "photo01.jpg").touch()  # a thumbnail
    sources = plan(album)
    keys = [source.key for source in sources]
    assert len(keys) == 41
    assert keys[:2] == ["photo01.jpg", "photo02.jpg"]
    assert keys[-1] == "sub/photo35.jpg"
    assert sources[0] == Source("photo", "photo01.jpg", str(album / "photo01.jpg"))
    assert len({*keys}) == len(keys)


def test_the_clip_of_a_live_photo_is_no_video_of_its_own(tmp_path, memory):
    """As for `mien recognize`; it was read as a video, and each of its frames gave rows."""
    for name in ("deep/IMG_1.HEIC", "deep/IMG_1.MOV", "IMG_2.jpeg", "IMG_2.mov", "IMG_3.mov", "IMG_4.jpg", "IMG_4.mov"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data = b"" if name == "IMG_4.mov" else LIVE_CLIP
        (tmp_path / name).write_bytes(data)
        memory.pipe(f"/album/{name}", data)
    expected = ["IMG_2.jpeg", "IMG_3.mov", "IMG_4.jpg", "IMG_4.mov", "deep/IMG_1.HEIC"]
    for address in (tmp_path, "memory://album", f"{tmp_path}/**", "memory://album/**"):
        with pytest.warns(MienWarning, match=r"2 \.mov left out"):
            assert sorted(source.key for source in plan(address)) == expected
    assert [source.key for source in plan(tmp_path / "**" / "*.MOV")] == ["deep/IMG_1.MOV"]
    (tmp_path / "list.txt").write_text("IMG_2.jpeg\nIMG_2.mov\n")
    assert [source.key for source in plan(tmp_path / "list.txt")] == ["IMG_2.jpeg", "IMG_2.mov"]


def test_a_pattern_and_a_single_photo(album):
    assert [s.key for s in plan(album / "sub" / "photo1*.jpg")] == ["photo10.jpg", "photo15.jpg"]
    assert [s.key for s in plan(album / "**" / "photo1[05].jpg")] == ["sub/photo10.jpg", "sub/photo15.jpg"]
    assert [s.key for s in plan(album / "photo01.jpg")] == ["photo01.jpg"]


def test_parts_hold_a_number_of_photos_or_one_of_anything_else():
    photos = [Source("photo", str(n), str(n)) for n in range(5)]
    shard = Source("shard", "s.tar", "s.tar")
    parts = list(cut_parts([*photos[:3], shard, *photos[3:]], 2))
    assert [[s.key for s in part] for part in parts] == [["0", "1"], ["s.tar"], ["2", "3"], ["4"]]


def test_the_last_parts_are_small():
    photos = [Source("photo", str(n), str(n)) for n in range(20_000)]
    parts = list(cut_parts(iter(photos), 512))
    sizes = [len(part) for part in parts]
    assert [source for part in parts for source in part] == photos
    assert sizes[0] == max(sizes) == 512
    assert sizes == sorted(sizes, reverse=True)
    assert all(size <= 512 and size % 16 == 0 for size in sizes)
    assert sum(sizes[-2:]) <= 64
    assert [len(part) for part in cut_parts(photos[:2000], 512)][:2] == [128, 128]


def test_a_folder_in_a_bucket(memory, jpegs):
    for name in ("b.jpg", "a/c.png", "a/what?.jpg", ".x/d.jpg", "@eaDir/b.jpg", "e.txt"):
        memory.pipe_file(f"/bucket/set/{name}", jpegs[1])
    memory.pipe_file("/bucket/set/empty.jpg", b"")
    expected = {"a/c.png": jpegs[1], "a/what?.jpg": jpegs[1], "b.jpg": jpegs[1], "empty.jpg": b""}
    assert load("memory://bucket/set") == expected
    assert load("memory://bucket/set/b*.jpg") == {"b.jpg": jpegs[1]}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_table_of_paths_means_them_from_its_folder(album, kind):
    # The second as Windows writes it.
    paths = ["photo01.jpg", "sub\\photo05.jpg", "photo01.jpg", None, str(album / "photo02.jpg")]
    table = pyarrow.table({"id": ["00012", "b", "c", "d", "e"], "file": paths, "n": range(5)})
    path = album / f"table.{kind}"
    (pyarrow.parquet.write_table if kind == "parquet" else pyarrow.csv.write_csv)(table, str(path))
    assert [s.key for s in plan(path)] == ["photo01.jpg", "sub/photo05.jpg", str(album / "photo02.jpg")]
    found = load(path, key_column="id")
    assert sorted(found) == ["00012", "b", "c", "e"]
    assert found["00012"] == (album / "photo01.jpg").read_bytes()


@pytest.mark.parametrize(
    ("name", "head", "delimiter"),
    [
        ("t.csv", ["id", "file", "a, b; c"], ";"),
        ("t.csv", ["id", "picture", "note"], ";"),
        ("t.csv", ["id", "picture", "note"], "\t"),
        ("t.tsv", ["id", "file", "note"], "\t"),
        ("t.tsv", ["id", "file", "note"], ","),
        ("T.TSV", ["\ufeffid", "file", "note"], "\t"),
    ],
)
def test_a_table_with_other_separators(album, name, head, delimiter):
    rows = [head, ["00012", "sub\\photo05.jpg", "a, b"], ["b", "photo01.jpg", "c; d, e"]]
    with (album / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    column = None if head[1] == "file" else head[1]
    assert [s.key for s in plan(album / name, column=column)] == ["sub/photo05.jpg", "photo01.jpg"]
    found = load(album / name, column=column, key_column="id")
    assert found["00012"] == (album / "sub" / "photo05.jpg").read_bytes()
    assert found["b"] == (album / "photo01.jpg").read_bytes()


def test_a_table_of_images_with_semicolons(tmp_path, jpegs):
    lines = [f'{n};"data:image/jpeg;base64,{base64.b64encode(data).decode()}"' for n, data in enumerate(jpegs[:3])]
    (tmp_path / "set.csv").write_text("id;image\n" + "\n".join(lines) + "\n")
    assert load(tmp_path / "set.csv", key_column="id") == {str(n): data for n, data in enumerate(jpegs[:3])}


def test_a_list_as_windows_writes_it(album):
    (album / "list.txt").write_bytes(b"\xef\xbb\xbfphoto01.jpg\r\nsub\\photo05.jpg\r\n")
    found = load(album / "list.txt")
    assert found == {name: (album / name).read_bytes() for name in ("photo01.jpg", "sub/photo05.jpg")}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_a_list_as_powershell_writes_it(album, encoding):
    (album / "photo01.jpg").rename(album / "写真.jpg")
    mark = "" if encoding == "utf-16" else "\ufeff"
    (album / "list.txt").write_bytes(f"{mark}写真.jpg\r\nsub\\photo05.jpg\r\n".encode(encoding))
    found = load(album / "list.txt")
    assert found == {name: (album / name).read_bytes() for name in ("写真.jpg", "sub/photo05.jpg")}


def test_paths_of_windows_get_forward_slashes(monkeypatch):
    """What the system gives has its own separators; a key, and what lies beside a table, must not depend on them."""

    class There(PureWindowsPath):
        def absolute(self):
            return self

    monkeypatch.setattr("mien.cluster.destination.Path", There)
    pattern, folder, table = (destination._full(f"C:\\photos{rest}") for rest in ("\\*.jpg", "", "\\list.csv"))
    names = SimpleNamespace(**{**vars(ntpath), "isfile": lambda name: True, "isdir": lambda name: name == folder})
    found = [("C:/photos\\sub", [], ["a.jpg"])]
    monkeypatch.setattr("mien.cluster.source.os", SimpleNamespace(path=names, walk=lambda *_, **__: found))
    monkeypatch.setattr("mien.cluster.storage.os", SimpleNamespace(sep="\\"))
    monkeypatch.setattr("mien.cluster.source.glob.glob", lambda *_, **__: ["C:/photos\\b.jpg"])
    assert list(listed._files(pattern, tables=False)) == [("b.jpg", "C:/photos/b.jpg")]
    assert list(listed._files(folder, tables=False)) == [("sub/a.jpg", "C:/photos/sub/a.jpg")]
    assert listed._beside("sub/a.jpg", table) == "C:/photos/sub/a.jpg"
    assert listed._beside("D:/a.jpg", table) == "D:/a.jpg"


@pytest.mark.parametrize("layout", ["binary", "struct"])
def test_a_table_of_image_bytes_is_cut_by_rows(tmp_path, jpegs, layout):
    images = [*jpegs[:9], None]
    if layout == "struct":
        images = [None if image is None else {"bytes": image, "path": "x.jpg"} for image in images]
    path = tmp_path / "set.parquet"
    table = pyarrow.table({"image": images, "id": [f"i{n}" for n in range(10)]})
    pyarrow.parquet.write_table(table, path, row_group_size=3)
    sources = plan(path, part_size=4)
    assert [(s.start, s.stop) for s in sources] == [(0, 4), (4, 8), (8, 10)]
    expected = {f"set.parquet#{n}": data for n, data in enumerate(jpegs[:9])}
    assert load(path, part_size=4) == {**expected, "set.parquet#9": "the row holds no image"}
    assert list(load(path, part_size=4, key_column="id")) == [f"i{n}" for n in range(10)]


def test_a_csv_of_images_in_base64(tmp_path, jpegs):
    path = tmp_path / "set.csv"
    lines = [base64.b64encode(data).decode() for data in jpegs[:3]]
    path.write_text("image\n" + "\n".join([lines[0], f'"data:image/jpeg;base64,{lines[1]}"', lines[2]]) + "\n")
    assert list(load(path, part_size=2).values()) == jpegs[:3]


def test_a_table_in_a_folder_is_read_only_where_its_column_is_named(album, memory):
    """Else whoever gives away photos could have anything fetched; and a list of labels stopped the batch."""
    photos = [s.address for s in plan(album)]
    (album / "sub" / "where.csv").write_text("url,label\nhttp://127.0.0.1:9/x.jpg,happy\n")
    assert [s.address for s in plan(album)] == photos
    assert "http://127.0.0.1:9/x.jpg" in [s.address for s in plan(album, column="url")]
    memory.pipe_file("/photos/a.jpg", b"1")
    memory.pipe_file("/photos/labels.tsv", b"id\tlabel\n")
    assert [s.key for s in plan("memory://photos")] == ["a.jpg"]


def test_webdataset_shards(tmp_path, jpegs):
    members = [("000.jpg", jpegs[0]), ("000.json", b"{}"), ("001.jpg", jpegs[1]), ("001.jpg", jpegs[2])]
    members.insert(1, ("._000.jpg", b"what macOS knows of 000.jpg"))
    members.insert(1, ("@eaDir/000.jpg", b"a thumbnail"))
    (tmp_path / "00.tar").write_bytes(tar_bytes(members))
    (tmp_path / "01.tar.gz").write_bytes(tar_bytes(members[:1], "w:gz"))
    (tmp_path / "02.tar").write_bytes(tar_bytes([("a.jpg", jpegs[3]), ("b.jpg", jpegs[4])])[: 1024 + len(jpegs[3])])
    (tmp_path / "03.tar").write_bytes(b"no tar at all" * 100)
    found = load(tmp_path)
    assert found["00.tar/000.jpg"] == jpegs[0]
    assert found["00.tar/001.jpg"] == jpegs[1]
    assert found["00.tar/001.jpg#2"] == jpegs[2]
    assert "00.tar/._000.jpg" not in found
    assert found["01.tar.gz/000.jpg"] == jpegs[0]
    assert found["02.tar/a.jpg"] == jpegs[3]
    assert "breaks off after 1 photos" in str(found["02.tar"])
    assert "breaks off after 0 photos" in str(found["03.tar"])


def test_a_list_on_a_web_server(album, server):
    (album / "list.txt").write_text("# photos\nphoto01.jpg\nsub/photo05.jpg\n\nmissing.jpg\n")
    found = load(f"{server}/list.txt")
    assert found["photo01.jpg"] == (album / "photo01.jpg").read_bytes()
    assert found["sub/photo05.jpg"] == (album / "sub" / "photo05.jpg").read_bytes()
    assert "no such file" in str(found["missing.jpg"])


@pytest.fixture
def server(album):
    """A web server on this machine that serves the album."""
    import functools
    import http.server
    import threading

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=album)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def test_a_photo_that_never_comes_costs_only_itself(album):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes what is asked of it, and never answers
        never = f"http://127.0.0.1:{silent.getsockname()[1]}/never.jpg"
        addresses = (str(album / "photo01.jpg"), never, str(album / "photo02.jpg"))
        images = list(load_images([Source("photo", address, address) for address in addresses], 0.5, 0))
    assert [bool(image.data) for image in images] == [True, False, True]
    assert images[1].error == "could not be fetched within 0.5 s (raise --timeout)"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["faces.csv", "faces.parquet"])
def test_a_named_pipe_is_no_table(tmp_path, name):
    """Planning the batch waited for ever for whoever writes into it."""
    os.mkfifo(tmp_path / name)
    for address in (tmp_path, tmp_path / name):
        with pytest.raises(UsageError, match=rf"{name}: is a named pipe; expected a file"):
            list(list_sources(str(address), BatchOptions(column="image")))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_a_folder_is_waited_for_by_nobody(tmp_path):
    """A video held up the plan, and a shard its worker, for ever; a photo cost its whole time-out."""
    for name in ("a.jpg", "b.mp4", "c.tar"):
        os.mkfifo(tmp_path / name)
    photo, video, shard = plan(tmp_path)
    assert [image.error for source in (photo, shard) for image in load_images([source], 60.0, 0)] == 2 * [A_PIPE]
    assert (video.kind, video.start) == ("video", None)
    with pytest.raises(InputError, match=A_PIPE):
        VideoSource(video.address)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "no such file or folder"),
        ("nothing*.jpg", "matches no file"),
        ("empty", "holds no photos"),
        ("table.csv", "which column holds the images"),
        ("bytes.parquet", "has no column 'x'"),
        ("numbers.parquet", "holds int64; expected paths"),
        ("damaged.parquet", "cannot be read"),
    ],
)
def test_sources_that_name_nothing(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no photo")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    pyarrow.parquet.write_table(pyarrow.table({"image": [b"1"]}), tmp_path / "bytes.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"image": [1]}), tmp_path / "numbers.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UsageError, match=said):
        plan(tmp_path / name, column="x" if name == "bytes.parquet" else None)


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("head.csv", "image;Größe\na.jpg;1\n", "cp1252"),  # as Excel writes tables by default
        ("cells.csv", "image\nMüller.jpg\n", "cp1252"),
        ("wide.csv", "image\na.jpg\n", "utf-16"),
        ("list.txt", "Müller.jpg\n", "cp1252"),
    ],
)
def test_a_table_that_is_not_utf8_says_how_to_save_it(tmp_path, name, text, encoding):
    (tmp_path / name).write_text(text, encoding=encoding)
    with pytest.raises(UsageError, match=f"{name}: is not UTF-8; save it so, as spreadsheets do as 'CSV UTF-8'"):
        plan(tmp_path / name)


def test_keys_must_be_unique(tmp_path, jpegs):
    table = pyarrow.table({"image": jpegs[:3], "id": ["a", "b", "a"]})
    pyarrow.parquet.write_table(table, tmp_path / "set.parquet")
    with pytest.raises(UsageError, match="holds 'a' twice"):
        plan(tmp_path / "set.parquet", key_column="id")


def test_two_photos_of_a_table_under_one_key_are_refused(album):
    """The second would not be read, and nobody told."""
    path = album / "table.csv"
    path.write_text("id,file\na,photo01.jpg\n,photo02.jpg\n,sub/photo05.jpg\na,photo01.jpg\n")
    assert [s.key for s in plan(path, key_column="id")] == ["a", "photo02.jpg", "sub/photo05.jpg"]
    path.write_text("id,file\na,photo01.jpg\na,photo02.jpg\n")
    with pytest.raises(UsageError, match="key column 'id' holds 'a' for several images"):
        plan(path, key_column="id")


def test_an_address_of_an_unknown_kind():
    with pytest.raises(UsageError, match="cannot be opened"):
        plan("nonsense://bucket/x")
