"""A file is there whole, or as it was before."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.errors import ModelError, OutputError, UsageError
from mien.files import (
    check_destination,
    file_key,
    json_text,
    numbered,
    read_json,
    replaced_file,
    write_atomically,
    write_json,
)


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow past 1000 bytes: what a full disk is to a writer. Not a fixture: pytest writes reports then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def lowest_free_descriptor() -> int:
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


def test_written_whole_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    free = lowest_free_descriptor()
    for content in (b"one", b"two"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    # Lower where what an earlier test left open was collected meanwhile.
    assert lowest_free_descriptor() <= free, "files are closed"
    write_json(path, {"name": "é"})
    assert path.read_text(encoding="utf-8").endswith("}\n")
    assert json.loads(path.read_bytes()) == {"name": "é"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("held", [2, 100])
def test_a_file_that_another_program_has_open_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """As Windows refuses then to put another in its place: for a moment, if it is looked through for viruses."""
    path, replace, tries = tmp_path / "a", Path.replace, []
    write_atomically(path, b"old")

    def refusing(part: Path, target: Path) -> Path:
        tries.append(part)
        if len(tries) <= held:
            raise PermissionError(errno.EACCES, "Permission denied", str(part))
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", refusing)
    with contextlib.nullcontext() if held == 2 else pytest.raises(OutputError, match=r"a: cannot be written \(Perm"):
        write_atomically(path, b"new")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"new" if held == 2 else b"old", [path])


def test_on_windows_a_file_that_stays_open_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table in a spreadsheet, or a dataset that a notebook holds, cannot be replaced there."""

    def refusing(part: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Access is denied", str(part))

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", refusing)
    monkeypatch.setattr("mien.files.sys.platform", "win32")
    with pytest.raises(
        OutputError, match=r"\(Permission denied\); is it open in another program, or as a dataset in th"
    ):
        write_atomically(tmp_path / "a", b"new")


@pytest.mark.parametrize("letter", ["a", "情", "😀"])
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path, letter: str) -> None:
    """An annotated copy of a photo with a long name ended the run: the unfinished file's name was longer still."""
    path = tmp_path / (letter * (250 // len(letter.encode())) + ".png")
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_users_umask_decides_who_may_read(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")
    with full_disk(), pytest.raises(OutputError, match=r"a: cannot be written \(File too large\)"):
        write_atomically(path, bytes(2000))
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


@pytest.mark.parametrize("durable", [True, False])
def test_the_content_is_on_the_disk_before_the_file_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    path, flushed = tmp_path / "a.txt", []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append((path.exists(), os.fstat(descriptor).st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_atomically(path, b"content", durable=durable)
    assert path.read_bytes() == b"content"
    assert flushed == ([(False, 7)] if durable else [])


def test_any_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replaced_file(tmp_path / "a") as part:
        part.write_bytes(bytes(1 // 0))
    with pytest.raises(OutputError, match=os.strerror(errno.ENOENT)):
        write_atomically(tmp_path / "missing" / "a", b"")
    assert list(tmp_path.iterdir()) == []


def test_a_destination_is_checked_before_the_work(tmp_path: Path) -> None:
    assert check_destination(str(tmp_path / "a.PARQUET")) == tmp_path / "a.PARQUET"
    (tmp_path / "b.html").mkdir()
    for path, suffixes, says in (
        ("a.csv", (), "ends in .parquet"),
        ("a.xlsx", (".csv", ".parquet"), "ends in .csv or .parquet"),
        ("b.html", (".html",), "is a folder"),
        ("missing/a.html", (".html",), "make it first"),
    ):
        with pytest.raises(UsageError, match=says):
            check_destination(tmp_path / path, *suffixes)


def test_a_dataset_on_a_full_disk(tmp_path: Path) -> None:
    from mien.data import import_dataset
    from tests.conftest import ROOT

    with full_disk(), pytest.raises(OutputError, match=r"x.parquet: cannot be written \(File too large\)"):
        import_dataset(ROOT / "examples" / "tiny-dataset", tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", [None, "utf8", "UTF-8", "ascii", "cp1252", "utf-16"])
def test_json_is_read_in_every_encoding(encoding: str | None) -> None:
    for value in ({"name": "ü写"}, ["\udcff"], ["\x1b[2J \x9b2J \x7f"]):
        text = json_text(value, encoding)
        assert json.loads(text) == value
        assert text.isprintable()  # no code that a terminal would obey
        text.encode()
        assert text.isascii() == (isinstance(value, list) or encoding not in (None, "utf8", "UTF-8"))
    assert json_text([math.nan], encoding) == "[NaN]"
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text([math.nan], encoding, finite=True)


def test_names_that_are_no_text_are_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": os.fsdecode(b"\xff.jpg")})
    assert os.fsencode(json.loads((tmp_path / "a.json").read_bytes())["name"]) == b"\xff.jpg"


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    path = tmp_path / "a.tar.png"
    assert numbered(path, set()) == path
    taken = set()
    for name in ("a.tar.png", "a.tar-2.png"):
        (tmp_path / name).touch()
        taken.add(file_key(tmp_path / name))
    assert numbered(path, taken) == tmp_path / "a.tar-3.png"
    assert numbered(path, set()) == path  # is there, but may be overwritten


def test_values_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    with pytest.raises(UsageError, match=r"values\.json: cannot be read \(No such file"):
        read_json(path)
    write_json(path, {"name": "Zoë", "share": 0.5})
    assert read_json(path) == {"name": "Zoë", "share": 0.5}
    deep = ("[" * 100_000, "cannot be read as JSON .it is nested too deeply")
    for text, problem in (deep, ("{", "cannot be read as JSON"), ("[]", "holds list"), (b"\xff\xfe", "as JSON")):
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(ModelError, match=problem):
            read_json(path, ModelError)
