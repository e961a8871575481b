"""Files, folders and patterns become a list of files."""

import os

import pytest

from mien.errors import InputError, MienWarning
from mien.source import SourceFile, expand_inputs
from mien.source.expand import OutputFolder, count_videos
from tests.clips import LIVE_CLIP, plain, write_clip


@pytest.fixture
def album(tmp_path):
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "sub/c.webp", "sub/.trash/d.jpg", "ü.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(items):
    return [item.relative if isinstance(item, SourceFile) else item.problem for item in items]


def test_a_folder_gives_its_photos_sorted(album):
    assert names(expand_inputs([str(album)])) == ["a.PNG", "b.jpg", "ü.jpg"]


def test_recursive_keeps_the_place_below_the_folder(album):
    assert names(expand_inputs([str(album)], recursive=True)) == ["a.PNG", "b.jpg", "ü.jpg", "sub/c.webp"]


def test_patterns(album):
    assert names(expand_inputs([f"{album}/*.jpg"])) == ["b.jpg", "ü.jpg"]
    assert names(expand_inputs([f"{album}/**/*.webp"])) == ["c.webp"]
    assert names(expand_inputs([f"{album}/*.gif"])) == ["the pattern matches no file"]


def test_the_clip_of_a_live_photo_is_no_video_of_its_own(tmp_path):
    for name in ("1.HEIC", "1.MOV", "2.jpg", "2.mov", "3.mov", "4.jpg", "4.mp4", "5.MOV", "5.png"):
        (tmp_path / name).write_bytes(LIVE_CLIP if name.lower().endswith(".mov") else b"")
    with pytest.warns(MienWarning, match=r"2 \.mov left out"):
        found = names(expand_inputs([f"{tmp_path}/*"]))
    assert found == ["1.HEIC", "2.jpg", "3.mov", "4.jpg", "4.mp4", "5.MOV", "5.png"]
    assert names(expand_inputs([f"{tmp_path}/*.mov", f"{tmp_path}/1.MOV"])) == ["2.mov", "3.mov", "1.MOV"]


def test_a_clip_beside_its_poster_is_a_video(tmp_path):
    """It was left out as that of a Live Photo, by its name alone."""
    write_clip(tmp_path / "a.mov", plain(3))
    (tmp_path / "b.mov").write_bytes(b"\0\0\0\x0fmoov damaged")
    for name in ("a.jpg", "b.heic"):
        (tmp_path / name).touch()
    assert names(expand_inputs([f"{tmp_path}/*"])) == ["a.jpg", "a.mov", "b.heic", "b.mov"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_a_folder_is_no_photo(album):
    """Whoever opened it waited for ever, and read nothing that came after it."""
    os.mkfifo(album / "aa.jpg")
    assert names(expand_inputs([str(album)])) == ["a.PNG", "is a named pipe; expected a file", "b.jpg", "ü.jpg"]
    assert names(expand_inputs([str(album / "aa.jpg")])) == ["aa.jpg"]


def test_a_named_file_is_read_whatever_its_suffix(album):
    assert names(expand_inputs([str(album / "notes.txt")])) == ["notes.txt"]


def test_an_address_is_no_pattern():
    addresses = ["rtsp://host/stream?channel=1", "camera:0"]
    assert [item.path for item in expand_inputs(addresses)] == addresses


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    (tmp_path / "photo[1].jpg").touch()
    assert names(expand_inputs([str(tmp_path / "photo[1].jpg")])) == ["photo[1].jpg"]


def test_nothing_is_read_twice_and_the_order_is_kept(album):
    items = expand_inputs([str(album / "b.jpg"), str(album), str(album / "missing.jpg")])
    assert names(items) == ["b.jpg", "a.PNG", "ü.jpg", "missing.jpg"]


def test_a_folder_without_photos_is_an_error(album, tmp_path):
    empty = tmp_path / "empty"
    (empty / "deep").mkdir(parents=True)
    (empty / "deep" / "x.jpg").touch()
    (problem,) = expand_inputs([str(empty)])
    assert isinstance(problem, InputError)
    assert "--recursive" in problem.problem
    (problem,) = expand_inputs([str(album / "sub" / ".trash" / "..")])
    assert isinstance(problem, SourceFile)


def test_what_is_hidden_is_not_held_out_as_a_hope(tmp_path):
    """The message said to add --recursive, and then to name the videos, where a folder's previews were hidden."""
    for name in (".previews/a.jpg", ".previews/b.mp4", "._c.mp4", "deep/.previews/d.jpg", "@eaDir/e.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for recursive in (False, True):
        assert names(expand_inputs([str(tmp_path)], recursive)) == ["no photos in this folder"]
        assert count_videos(str(tmp_path), recursive) == 0


def left_out(inputs, output, recursive=True):
    output = OutputFolder(str(output))
    return names(expand_inputs(map(str, inputs), recursive, output)), [path[-6:] for path in output.left_out]


def test_a_folder_that_is_written_to_is_left_out_of_those_around_it(album):
    kept = ["a.PNG", "b.jpg", "ü.jpg"]
    assert left_out([album], album / "sub") == (kept, ["c.webp"])
    assert left_out([album], album / "sub" / ".." / "sub") == (kept, ["c.webp"])
    assert left_out([f"{album}/**/*.webp"], album / "sub") == (["the pattern matches no file"], ["c.webp"])
    assert left_out([f"{album}/**/*.[jw]*"], album / "sub") == (kept[1:], ["c.webp"])
    assert left_out([album], album / "sub", recursive=False) == (kept, [])  # not looked into: nothing to say
    (album / "link").symlink_to(album / "sub")
    assert left_out([album], album / "link") == (kept, ["c.webp"])


def test_what_is_named_is_read_though_it_is_written_to(album):
    assert left_out([album / "sub"], album / "sub") == (["c.webp"], [])
    assert left_out([album / "sub" / "c.webp"], album / "sub") == (["c.webp"], [])
    assert left_out([f"{album}/sub/*"], album / "sub") == (["c.webp"], [])
    assert left_out([album / "sub"], album) == (["c.webp"], [])


def test_a_folder_of_nothing_but_outputs_is_empty(album):
    (album / "new" / "out").mkdir(parents=True)
    for name in ("x.jpg", "x.mp4"):
        (album / "new" / "out" / name).touch()
    assert left_out([album / "new"], album / "new" / "out") == (["no photos in this folder"], ["/x.jpg"])
    assert left_out([album / "new"], album / "new" / "out", recursive=False) == (["no photos in this folder"], [])
    assert count_videos(str(album / "new"), True) == 1
    assert count_videos(str(album / "new"), True, OutputFolder(str(album / "new" / "out"))) == 0
